"""Untrusted text files: ordinary files alone, and no longer than a bound."""

from pathlib import Path

from asyrp.storage.untrusted.bounds import LARGEST_JSON


def read_bounded(path: Path, most: int = LARGEST_JSON) -> bytes:
    """The bytes of a file; ValueError for one too long, or a device or pipe, which never ends."""
    size = path.stat().st_size
    if not path.is_file():
        raise ValueError("it is no ordinary file")
    if size > most:
        raise ValueError(f"it has {size:,} bytes")
    return path.read_bytes()
