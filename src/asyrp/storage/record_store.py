"""A folder of tensors under content addresses: sharded, append-only, whole after any kill.

A shard is a safetensors file with many records. It is written under a name of its own, put in
place by one rename and never changed, so any number of processes and machines may read and add at
the same time without locks, and a kill loses only records that were not flushed.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.storage.files import Kind, parse_json, reach_disk, read_object, save_tensors
from asyrp.storage.json_files import write_json
from asyrp.storage.unfinished import remove_abandoned
from asyrp.storage.untrusted.tensors import open_safetensors

KIND = Kind("shard of a store", "asyrp-store", 1, "asyrp invert --store")
MARKER = "store.json"  # says that a folder is a store
SUFFIX = ".safetensors"
SHARD_BYTES = 64 * 2**20
SHARD_SECONDS = 30.0
MOST_OPEN = 8  # shards that stay open for reading; their pages count as memory of the process

Record = dict[str, Tensor]


class Shard(NamedTuple):
    """An open shard: the SHA-256 of each record, and the names of its tensors."""

    file: Any
    digests: dict[str, str]
    names: dict[str, list[str]]


class RecordStore:
    """Records (named tensors) under keys; what is added is found again by every process.

    Args:
        folder: made if it does not exist.
        shard_bytes, shard_seconds: `write_due` writes a shard when so much waits, or when none was
            written for so long; a kill loses no more than that.

    Raises:
        AsyrpError: the folder is something else, of another version, or a shard is damaged.
    """

    def __init__(
        self, folder: Path, shard_bytes: int = SHARD_BYTES, shard_seconds: float = SHARD_SECONDS
    ):
        _check_folder(folder)
        self.folder, self.shard_bytes, self.shard_seconds = folder, shard_bytes, shard_seconds
        self._shards: set[Path] = set()
        self._index: dict[bytes, Path] = {}  # 32-byte keys keep it small
        self._pending: dict[str, Record] = {}
        self._pending_bytes, self._written = 0, time.monotonic()
        self._shard = lru_cache(MOST_OPEN)(_opened)
        remove_abandoned(folder)
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return key in self._pending or bytes.fromhex(key) in self._index

    def __len__(self) -> int:
        return len(self._index) + len(self._pending)

    def keys(self) -> Iterator[str]:
        """Every key, in no order."""
        yield from (key.hex() for key in self._index)
        yield from self._pending

    def refresh(self) -> int:
        """See what others have added since; returns the number of new records."""
        before = len(self._index)
        for path in sorted(self.folder.glob(f"[!.]*{SUFFIX}")):
            if path not in self._shards:
                self._list(path, _opened(path).digests)
        return len(self._index) - before

    def _list(self, path: Path, keys: Iterable[str]) -> None:
        self._shards.add(path)
        self._index |= dict.fromkeys(map(bytes.fromhex, keys), path)

    def add(self, key: str, record: Mapping[str, Tensor]) -> None:
        """Add a record, which waits in memory for `write_due` or `flush`; one that is there stays.

        Args:
            key: SHA-256 (hex) of all that the record depends on.
        """
        if key in self:
            return
        self._pending[key] = {name: value.detach().cpu() for name, value in record.items()}
        self._pending_bytes += sum(value.nbytes for value in record.values())

    def write_due(self) -> None:
        """Flush if enough waits, or if the last shard was long ago."""
        late = time.monotonic() - self._written >= self.shard_seconds
        if late or self._pending_bytes >= self.shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what was added as one shard, on the disk when this returns."""
        self._written = time.monotonic()
        if not self._pending:
            return
        path = self.folder / f"{time.time_ns():020d}-{secrets.token_hex(6)}{SUFFIX}"
        digests = {key: digest(record) for key, record in self._pending.items()}
        tensors = {f"{k}.{n}": v for k, r in self._pending.items() for n, v in r.items()}
        header = {"format": KIND.format, "version": str(KIND.version)}
        save_tensors(path, tensors, header | {"records": json.dumps(digests)})
        reach_disk(self.folder)
        self._list(path, digests)
        self._pending, self._pending_bytes = {}, 0

    def read(self, key: str) -> Record:
        """A record; AsyrpError where there is none, or its bytes are not its shard's any more."""
        if key in self._pending:
            return dict(self._pending[key])
        path = self._index.get(bytes.fromhex(key))
        if path is None:
            raise AsyrpError(f"the store {str(self.folder)!r} has no record {key}; invert again")
        shard = self._shard(path)
        try:
            names = shard.names[key]
            record = {name: shard.file.get_tensor(f"{key}.{name}").clone() for name in names}
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise _damaged(path, f"record {key[:12]}... cannot be read: {error}") from error
        if digest(record) != shard.digests[key]:
            raise _damaged(path, f"the bytes of record {key[:12]}... have changed")
        return record


def key_of(*parts: Any) -> str:
    """SHA-256 (hex) of parts that JSON can carry: the key of what depends on them alone."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def digest(record: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) of a record's names, shapes, precisions and bytes."""
    found = hashlib.sha256()
    for name, value in sorted(record.items()):
        found.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        plain = value.detach().cpu().contiguous().reshape(-1)
        found.update(plain.view(torch.uint8).numpy().data)
    return found.hexdigest()


def _check_folder(folder: Path) -> None:
    marker = folder / MARKER
    if not marker.exists():
        full = folder.exists() and (not folder.is_dir() or any(folder.glob("[!.]*")))
        if full and not marker.exists():  # asked again: another process may have begun the store
            raise AsyrpError(
                f"needed a store, or a folder that is empty or does not exist; {str(folder)!r} "
                "holds something else; give another folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_json(marker, {"format": KIND.format, "version": KIND.version})
    try:
        found = read_object(marker)
    except AsyrpError:
        found = {}
    if found.get("format") != KIND.format:
        raise AsyrpError(f"{str(marker)!r} is not that of a store; give another folder")
    if found.get("version") != KIND.version:
        raise AsyrpError(
            f"{str(folder)!r} is a store of version {found.get('version')}; this asyrp reads "
            f"version {KIND.version}; update asyrp"
        )


def _opened(path: Path) -> Shard:
    names: dict[str, list[str]] = {}
    try:
        file = open_safetensors(path).__enter__()
        for key, _, name in (full.partition(".") for full in file.keys()):
            names.setdefault(key, []).append(name)
        digests = parse_json((file.metadata() or {}).get("records", "{}"))
        if not isinstance(digests, dict) or {len(bytes.fromhex(key)) for key in digests} - {32}:
            raise ValueError("its records have no proper keys")
        return Shard(file, digests, names)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> AsyrpError:
    return AsyrpError(
        f"the shard {str(path)!r} is damaged ({reason[:300]}); delete it, and what it held is "
        "made again"
    )
