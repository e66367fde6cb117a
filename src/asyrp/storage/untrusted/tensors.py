"""Files of tensors, opened without running anything: safetensors and torch checkpoints."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from asyrp.errors import AsyrpError, first_line
from asyrp.storage.untrusted.bounds import DEEPEST_CHECKPOINT, LARGEST_HEADER, MOST_VIEWS
from asyrp.storage.untrusted.pickles import foreign_names

PRECISIONS = frozenset(
    ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "C64", "BOOL"]
    + [f"{kind}{bits}" for kind in "IU" for bits in (8, 16, 32, 64)]
)


def open_safetensors(path: Path | str) -> Any:
    """`safe_open` after a look at the header's length and at precisions; it raises the same."""
    if Path(path).exists() and not Path(path).is_file():
        raise SafetensorError(f"{str(path)!r} is no ordinary file")
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if length > LARGEST_HEADER:
        raise SafetensorError(f"HeaderTooLarge: {length:,} bytes")
    found = safe_open(path, "pt")
    strange = {str(found.get_slice(key).get_dtype()) for key in found.keys()} - PRECISIONS
    if strange:
        raise SafetensorError(f"a precision that is not read: {min(strange)}")
    return found


def load_safetensors(path: Path | str) -> dict[str, Tensor]:
    """Every tensor of a safetensors file; SafetensorError or OSError where it is damaged."""
    with open_safetensors(path) as file:
        return {key: file.get_tensor(key) for key in file.keys()}


def read_checkpoint(path: Path) -> Any:
    """The content of a file: a dict of tensors, or dicts and lists around such a dict.

    The format is read off the first bytes, not the name. Pickles are opened by torch's
    restricted reader, which builds tensors and calls nothing else.

    Raises:
        AsyrpError: no such file, another format, cut short, a zip bomb, or a pickle with code.
    """
    if not path.is_file():
        raise AsyrpError(f"needed a checkpoint file; {str(path)!r} does not exist")
    with path.open("rb") as file:
        head = file.read(16)
    if head[:2] == b"PK":
        _check_zip(path)
        return _checked(path, _torch(path, mmap=True))
    if head[8:9] == b"{":
        try:
            found = load_safetensors(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise AsyrpError(
                f"{str(path)!r} is no whole safetensors file ({error}); download it again"
            ) from error
        return _checked(path, found)
    if head[:1] == b"\x80":  # torch before 1.6
        return _checked(path, _torch(path, mmap=False))
    raise AsyrpError(
        f"{str(path)!r} is neither a safetensors file nor a torch checkpoint (it begins with "
        f"{head[:8]!r}); download it again, or name the right file"
    )


def tensor_dicts(content: Any) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dict of named tensors in a checkpoint, with the place where it lies ("" at the top).

    Entries that are no tensors (a step count, say) are left out of the dicts.
    """
    yield from _tensor_dicts(content, "", 0, set())


def _tensor_dicts(
    content: Any, place: str, depth: int, seen: set[int]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if depth > DEEPEST_CHECKPOINT or isinstance(content, Tensor) or id(content) in seen:
        return
    seen.add(id(content))  # a list may hold itself, a thousand times
    if isinstance(content, Mapping):
        pairs = [(k, v) for k, v in content.items() if isinstance(v, Tensor)]
        named = {str(k): v.detach() for k, v in pairs if isinstance(k, str | int)}
        if named:
            yield place, named
        children: Any = content.items()
    elif isinstance(content, list | tuple):
        children = enumerate(content)
    else:
        return
    for key, value in children:
        yield from _tensor_dicts(value, f"{place}/{key}".lstrip("/"), depth + 1, seen)


def _check_zip(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # a damaged index fails in any way
        raise AsyrpError(f"{str(path)!r} is cut short or damaged; download it again") from error
    unpacked = sum(entry.file_size for entry in entries)
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or unpacked > path.stat().st_size:
        raise AsyrpError(
            f"{str(path)!r} was not opened: its {path.stat().st_size:,} bytes would unpack to "
            f"{unpacked:,}, and torch never packs its checkpoints; get the file from its source"
        )


def _torch(path: Path, mmap: bool) -> Any:
    """The content of a checkpoint that would call nothing but what builds tensors."""
    try:
        foreign = foreign_names(path)
        if not foreign:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # a damaged pickle fails in any way
        told = first_line(error, 120)
        raise AsyrpError(
            f"{str(path)!r} is cut short or damaged ({told}); download it again"
        ) from error
    code = foreign[0].replace(" ", ".")
    raise AsyrpError(
        f"{str(path)!r} was not opened: it asks to run {code}, and only plain tensors are read "
        "here; ask its authors for the bare state dict or a safetensors file"
    )


def _checked(path: Path, content: Any) -> Any:
    """The content, if every tensor has the values it claims, and the file has them.

    Storages are no larger than the file that they came from, and not read many times over.
    """
    stored: dict[int, int] = {}
    claimed = 0
    for place, tensors in tensor_dicts(content):
        for key, value in tensors.items():
            name, size = f"{place}/{key}".lstrip("/"), value.numel() * value.element_size()
            if value.layout != torch.strided or value.is_quantized:
                raise AsyrpError(f"{str(path)!r} holds no plain tensor at {name!r}; needed: dense")
            storage = value.untyped_storage()
            if size > storage.nbytes():
                raise AsyrpError(
                    f"{str(path)!r} was not opened: {name!r} claims {value.numel():,} values and "
                    f"stores {storage.nbytes():,} bytes; get it from its source"
                )
            stored[storage.data_ptr()] = storage.nbytes()
            claimed += size
    size = path.stat().st_size
    if sum(stored.values()) > size or claimed > MOST_VIEWS * size:
        raise AsyrpError(
            f"{str(path)!r} was not opened: its {size:,} bytes would become {claimed:,}; get it "
            "from its source"
        )
    return content
