"""Files that are whole or absent."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from asyrp.errors import AsyrpError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the place of `path` on success.

    On any error the temporary file is removed and what stood at `path` stays as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    umask = os.umask(0)
    os.umask(umask)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask)  # made by mkstemp and safetensors for their owner alone
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder whose files move to `path`, which may exist, when all are written.

    On any error the temporary folder is removed and `path` stays as it was.
    """
    base = next(parent for parent in path.absolute().parents if parent.is_dir())
    temporary = Path(tempfile.mkdtemp(dir=base, prefix=f".{path.name}."))
    try:
        yield temporary
        path.mkdir(parents=True, exist_ok=True)
        for file in sorted(temporary.iterdir()):
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> None:
    """Write tensors and a header of strings as safetensors, whole or not at all.

    Raises:
        OSError: they cannot be written (safetensors itself raises an error of its own).
    """
    own = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(own, temporary, dict(header))
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if not found:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error


class Kind(NamedTuple):
    """A kind of safetensors file: its name, the header's format and version, what makes it."""

    name: str
    format: str
    version: int
    maker: str


class Loaded(NamedTuple):
    """The header and the tensors of a file."""

    header: dict[str, str]
    tensors: dict[str, Tensor]


def load_tensors(path: Path, kind: Kind) -> Loaded:
    """Read a safetensors file of a kind of our own.

    Raises:
        AsyrpError: no such file, no safetensors, cut short, or of another kind or version.
    """
    if not path.is_file():
        raise AsyrpError(f"needed a {kind.name} file; {str(path)!r} does not exist")
    try:
        with safe_open(path, "pt") as file:
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
            return Loaded(header, {key: file.get_tensor(key) for key in file.keys()})
    except SafetensorError as error:
        raise AsyrpError(
            f"{str(path)!r} is not a safetensors file or is cut short ({error}); "
            f"make it again with: {kind.maker}"
        ) from error


def header_of(path: Path) -> dict[str, str]:
    """The header of a safetensors file.

    Raises:
        AsyrpError: it is none, or cut short.
    """
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise AsyrpError(
            f"{str(path)!r} is not a safetensors file or is cut short ({error})"
        ) from error
