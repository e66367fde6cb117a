"""Hidden folders for what is being written; one that lost its writer is known again and removed.

Nothing is removed for its name alone. An abandoned folder has a name that only this module makes,
a marker inside that repeats that name, has lain still for a day by the clock, and nobody holds the
lock that its writer kept: a clock that jumps takes nothing from a writer that is at work.
"""

import hashlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asyrp.errors import AsyrpError

try:
    import fcntl
except ImportError:  # where files cannot be locked nothing is ever removed
    fcntl = None  # type: ignore[assignment]

STALE_SECONDS = 24 * 3600.0  # without a change before a folder may have lost its writer
MARKER = "unfinished-asyrp"
NAMES = re.compile(r"\.asyrp-[0-9a-f]{16}")
LOCKS = re.compile(r"\.asyrp-lock-[0-9a-f]{16}")


@contextmanager
def unfinished(folder: Path, stale: float = STALE_SECONDS) -> Iterator[Path]:
    """A hidden folder of one's own inside of `folder`, which is gone at the end.

    Args:
        stale: seconds without a change before others there may have lost their writers.
    """
    remove_abandoned(folder, stale)
    place = folder / f".asyrp-{secrets.token_hex(8)}"
    try:
        place.mkdir(mode=0o700)
    except OSError as error:  # the name that the user knows
        raise OSError(error.errno, error.strerror, str(folder)) from error
    try:
        with (place / MARKER).open("x") as marker:
            _others_hold(marker.fileno())
            marker.write(_text(place.name))
            marker.flush()
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def remove_abandoned(folder: Path, stale: float = STALE_SECONDS) -> None:
    """Remove what writers in a folder left behind that were killed long ago."""
    for path in list(folder.glob(".asyrp-*")):
        with suppress(OSError):  # gone meanwhile, or of another user
            if NAMES.fullmatch(path.name) and _is_abandoned(path, stale):
                shutil.rmtree(path, ignore_errors=True)
            if LOCKS.fullmatch(path.name) and time.time() - path.lstat().st_mtime > STALE_SECONDS:
                _remove_lock(path)


def _remove_lock(path: Path) -> None:
    """Remove the lock of a writer that was killed: an empty file that nobody holds."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        told = os.fstat(file)
        if stat.S_ISREG(told.st_mode) and not told.st_size and _others_hold(file) is False:
            path.unlink()
    finally:
        os.close(file)


def _is_abandoned(place: Path, stale: float) -> bool:
    if place.is_symlink() or not place.is_dir():
        return False
    changed = max(path.lstat().st_mtime for path in (place, *place.iterdir()))
    if stale and time.time() - changed < stale:
        return False
    try:
        marker = os.open(place / MARKER, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        ours = os.read(marker, 1000) == _text(place.name).encode()
        return ours and _others_hold(marker) is False
    finally:
        os.close(marker)


def _text(name: str) -> str:
    return f"{name}: what asyrp was writing here is not finished; this folder may be deleted\n"


def _others_hold(file: int) -> bool | None:
    """Lock a file, or say that another process has; None where nobody can lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (AttributeError, OSError):
        return None
    return False


@contextmanager
def alone(path: Path, beside: Path) -> Iterator[None]:
    """Keep other processes from writing to `path` at the same time.

    Args:
        beside: the folder for a lock file, which is there as long as the work, and which tells
            before the work begins whether anything can be written.

    Raises:
        AsyrpError: another process is at it.
        OSError: the folder is missing or cannot be written to.
    """
    name = hashlib.sha256(path.name.casefold().encode(errors="replace")).hexdigest()[:16]
    lock = beside / f".asyrp-lock-{name}"
    try:
        file = _locked(lock)
    except OSError as error:  # the name that the user knows
        raise OSError(error.errno, error.strerror, str(beside)) from error
    if file is None:
        raise AsyrpError(
            f"another process is writing to {str(path)!r}; wait until it has ended, or give "
            "another --out"
        )
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # first: whoever opened it before finds out by its links
        os.close(file)


def _locked(lock: Path) -> int | None:
    """The lock file, open and ours; None where another process has it."""
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if _others_hold(file):
            os.close(file)
            return None
        if os.fstat(file).st_nlink:
            return file
        os.close(file)
