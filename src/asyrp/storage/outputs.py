"""Whose files a folder of results holds: none is replaced but those that were written here.

`.asyrp-written` of a folder tells what was: a line for each file, its SHA-256 and its name as JSON.
A file that is not told of, or that has changed since, is somebody's own.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from asyrp.errors import AsyrpError
from asyrp.storage.untrusted.bounds import LARGEST_LIST
from asyrp.storage.untrusted.texts import read_bounded

WRITTEN = ".asyrp-written"


class Rules(NamedTuple):
    """What may not be replaced: inputs never, files of others only where that was asked for.

    inputs: files whatever they are called, each by its device and number.
    """

    inputs: set[tuple[int, int]]
    overwrite: bool


_rules: ContextVar[Rules | None] = ContextVar("rules", default=None)  # none for the library


@contextmanager
def protecting(inputs: Iterable[Path], overwrite: bool) -> Iterator[None]:
    """Keep inputs, and files that asyrp did not write, from being replaced meanwhile.

    Args:
        inputs: files, and folders of files or of the parts of a network.
        overwrite: replace files of others.
    """
    token = _rules.set(Rules(set(), overwrite))
    for path in inputs:
        protect(path)
    try:
        yield
    finally:
        _rules.reset(token)


def protect(path: Path) -> None:
    """Count a file, or the files of a folder, among the inputs of this command."""
    rules = _rules.get()
    if rules is not None:
        for file in _files(path):
            with suppress(OSError):
                told = file.stat()  # of what a link leads to
                rules.inputs.add((told.st_dev, told.st_ino))


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for one in path.iterdir():
        if not one.is_dir():
            yield one
        elif any(one.glob("*config.json")):
            yield from (part for part in one.iterdir() if not part.is_dir())


def check_targets(folder: Path, names: Iterable[str]) -> None:
    """Raise AsyrpError for files of a folder that are inputs, or that were not written here."""
    rules = _rules.get()
    if rules is None or not folder.is_dir():
        return
    wanted = [*names]
    for name in wanted:
        check_input(folder / name)
    found = [] if rules.overwrite else others(folder, wanted)
    if found:
        more = f", nor are {len(found) - 1} others" if found[1:] else ""
        raise AsyrpError(
            f"{str(folder / found[0])!r} is not what asyrp wrote there{more}; give another --out, "
            "or --overwrite to replace what others made"
        )


def others(folder: Path, names: Iterable[str]) -> list[str]:
    """The files of a folder that were not written there by asyrp, or were changed since."""
    known = _told(folder)
    return [
        name
        for name in dict.fromkeys(names)
        if _is_file(folder / name) and not _is_ours(folder, name, known)
    ]


def check_input(target: Path) -> None:
    """Raise AsyrpError for a target that is an input of this command, under whatever name."""
    rules = _rules.get()
    with suppress(OSError):
        told = target.stat()
        if rules is not None and (told.st_dev, told.st_ino) in rules.inputs:
            raise AsyrpError(
                f"{str(target)!r} is an input, and would be replaced; give another --out"
            )


def check_file(path: Path, ours: bool) -> None:
    """The same for a single output file.

    Args:
        ours: whether what stands there is of a kind that asyrp writes.
    """
    check_input(path)
    rules = _rules.get()
    if rules is not None and _is_file(path) and not (ours or rules.overwrite):
        raise AsyrpError(
            f"{str(path)!r} exists and holds something else; give another --out, or --overwrite"
        )


def told(made: Path, names: Iterable[str]) -> str:
    """The lines that tell of files of a folder."""
    return "".join(f"{digest_of(made / name)} {json.dumps(name)}\n" for name in names)


def tell(folder: Path, lines: str) -> None:
    """Tell in a folder what stands there, or will in a moment: a kill between must not harm."""
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    how |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(folder / WRITTEN, how, 0o666), "w", encoding="ascii") as file:
        file.write(f"\n{lines}")  # at once, as processes of a group do at the same time


def _told(folder: Path) -> set[tuple[str, str]]:
    """Names and digests."""
    found: set[tuple[str, str]] = set()
    with suppress(OSError, ValueError):
        lines = read_bounded(folder / WRITTEN, LARGEST_LIST).decode(errors="replace")
        for line in lines.split("\n"):
            digest, _, name = line.partition(" ")
            with suppress(ValueError, RecursionError):
                found.add((str(json.loads(name)), digest))
    return found


def _is_ours(folder: Path, name: str, known: set[tuple[str, str]]) -> bool:
    with suppress(OSError):
        path = folder / name
        ordinary = path.is_file() and not path.is_symlink()  # a pipe would be read for ever
        return ordinary and (name, digest_of(path)) in known
    return False


def _is_file(path: Path) -> bool:
    """Whether something stands there that a rename would replace, a broken link too."""
    return os.path.lexists(path) and not path.is_dir()


def digest_of(path: Path, kind: str = "sha256") -> str:
    """The hash (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
