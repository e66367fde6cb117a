"""Files that are whole or absent."""

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.storage.outputs import WRITTEN, check_targets, tell, told
from asyrp.storage.unfinished import NAMES, unfinished
from asyrp.storage.untrusted.tensors import open_safetensors
from asyrp.storage.untrusted.texts import read_bounded


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path on the same disk that takes the place of `path` on success.

    On any error the temporary file is removed and what stood at `path` stays as it was.

    Raises:
        AsyrpError: a folder that is not finished holds a file of that name already, as on a disk to
            which A and a are one.
    """
    if path.exists() and any(NAMES.fullmatch(parent.name) for parent in path.parents):
        raise AsyrpError(
            f"two results would be one file, {path.name!r}, as this disk takes names; rename one "
            "of the inputs, or give an --out elsewhere"
        )
    with unfinished(path.parent) as place:
        temporary = place / f"new{path.suffix}"
        temporary.touch(exist_ok=False)
        rights = temporary.stat().st_mode & 0o777  # safetensors writes for its owner alone
        yield temporary
        temporary.chmod(rights)
        reach_disk(temporary)  # a disk may find only now that it is full
        os.replace(temporary, path)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes `path` when all of its files are written.

    Where `path` holds files already they stay, and each new one takes its place whole. On any
    error the temporary folder is removed and `path` stays as it was.

    Raises:
        AsyrpError: a folder stands where a file belongs, or the other way round; or a file that
            may not be replaced, see `outputs.check_targets`.
    """
    if not path.exists():  # a link to what is not there yet is no folder to rename onto
        path = Path(os.path.realpath(path))
    with unfinished(beside(path)) as place:
        temporary = place / "new"
        temporary.mkdir()
        yield temporary
        made = sorted(file for file in temporary.rglob("*") if not file.is_dir())
        names = [str(file.relative_to(temporary)) for file in made]
        _check_places(temporary, path)
        check_targets(path, names)
        tell(path if path.is_dir() else temporary, told(temporary, names))
        for file in temporary.rglob("*"):
            reach_disk(file)
        _put_in_place(temporary, path)


def beside(path: Path) -> Path:
    """A folder that can be written to, and from where a rename reaches `path`: its own at best."""
    parent = next(parent for parent in path.absolute().parents if parent.is_dir())
    if not path.is_dir():
        return parent
    reached = path.stat().st_dev == parent.stat().st_dev and os.access(parent, os.W_OK)
    return parent if reached and not path.is_symlink() else path


def _check_places(temporary: Path, path: Path) -> None:
    for file in temporary.rglob("*"):
        place = path / file.relative_to(temporary)
        if place.exists() and place.is_dir() != file.is_dir():
            kind = "folder" if place.is_dir() else "file"
            raise AsyrpError(
                f"{str(place)!r} is a {kind} already; rename it, or give another --out"
            )


def _put_in_place(temporary: Path, path: Path) -> None:
    """Move what is in a folder into another one, and folders inside it alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or not (path.is_symlink() or any(path.iterdir())):
        try:
            os.rename(temporary, path)  # all at once
        except OSError as error:  # another process of the group was there first
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            return
    for file in sorted(temporary.iterdir()):
        if file.name == WRITTEN:  # of another process as well, which was there first
            tell(path, file.read_text())
        elif file.is_dir():
            _put_in_place(file, path / file.name)
        else:
            os.replace(file, path / file.name)


def reach_disk(path: Path) -> None:
    """Wait until a file or folder would outlast a power cut; OSError where the disk is full."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and a header as safetensors, whole or not at all; else OSError."""
    own = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(own, temporary, dict(header))
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


def parse_json(text: str | bytes) -> Any:
    """JSON that somebody else may have written; bytes may be any UTF, with or without its mark.

    Raises:
        ValueError: no JSON, too deep, with a name twice in an object, or with halves of letters.
    """
    try:
        content = json.loads(text, object_pairs_hook=_once)
        json.dumps(content, ensure_ascii=False).encode()  # halves of a surrogate pair fail here
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a name that comes twice nobody knows which value is meant."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has {name[:80]!r} twice")
        found[name] = value
    return found


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file; AsyrpError where it is none, or far too large."""
    try:
        content = parse_json(read_bounded(path))
    except (OSError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} is not readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise AsyrpError(f"{str(path)!r} must hold a JSON object")
    return content


class Kind(NamedTuple):
    """A kind of safetensors file: its name, the header's format and version, what makes it."""

    name: str
    format: str
    version: int
    maker: str


class LoadedTensors(NamedTuple):
    """The header and the tensors of a file."""

    header: dict[str, str]
    tensors: dict[str, Tensor]


def load_tensors(path: Path, kind: Kind) -> LoadedTensors:
    """A safetensors file of a kind of our own; AsyrpError for any other file, or one cut short."""
    if not path.is_file():
        raise AsyrpError(f"needed a {kind.name} file; {str(path)!r} does not exist")
    with _opened(path, f"; make it again with: {kind.maker}") as file:
        header = dict(file.metadata() or {})
        if header.get("format") != kind.format:
            raise AsyrpError(
                f"{str(path)!r} is a safetensors file but not an asyrp {kind.name}; "
                f"make one with: {kind.maker}"
            )
        if header.get("version") != str(kind.version):
            raise AsyrpError(
                f"{str(path)!r} has format version {header.get('version')}; this asyrp reads "
                f"version {kind.version}; update asyrp"
            )
        return LoadedTensors(header, {key: file.get_tensor(key) for key in file.keys()})


def header_of(path: Path) -> dict[str, str]:
    """The header of a safetensors file; AsyrpError where it is none, or cut short."""
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path, do: str = "") -> Iterator[Any]:
    try:
        with open_safetensors(path) as file:
            yield file
    except SafetensorError as error:
        told = f"{str(path)!r} is not a safetensors file or is cut short ({error}){do}"
        raise AsyrpError(told) from error
