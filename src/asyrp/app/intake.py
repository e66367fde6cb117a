"""How much may come in: a bound for a request, one for all uploads together, and their end."""

import asyncio
import contextlib
import os
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]

FORM = 65_536  # bytes of a form around the file in it
OTHER = 1_000_000  # bytes of any other request
LEAST = 4096  # bytes that a file takes on a disk, however small
TOGETHER = 10  # uploads of the largest size at a time
SECONDS = 120.0  # that an upload may take, and that it is kept
LOOKS = 15.0  # seconds between looks for old ones


class Refused(Exception):
    """A request that is too large, and the HTTP status that says so."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


class Intake:
    """The uploads of all people.

    Args:
        folder: where they lie; None for none at all.
        each: bytes of the largest.
    """

    def __init__(self, folder: Path | None = None, each: int = 0):
        self.folder, self.each = folder, each
        self._lock, self._coming = threading.Lock(), 0

    @contextmanager
    def admitted(self, length: str | None, method: str, upload: bool) -> Iterator[None]:
        """Let a body of so many bytes in, as its Content-Length tells; its room is kept meanwhile.

        Raises:
            Refused: it does not tell, or is too large, or all uploads together are.
        """
        if method != "POST":
            yield
            return
        if not length or not (length.isascii() and length.isdecimal()):
            raise Refused(411, "its length is needed")
        size, most = int(length), (self.each + FORM) if upload else OTHER
        if size > most:
            raise Refused(413, f"at most {most:,} bytes at a time")
        with self._reserved(size if upload else 0):
            yield

    @contextmanager
    def _reserved(self, size: int) -> Iterator[None]:
        with self._lock:
            if size and self._coming + self.kept() + size > TOGETHER * (self.each + FORM):
                raise Refused(503, "too many uploads at a time; try again in two minutes")
            self._coming += size
        try:
            yield
        finally:
            with self._lock:
                self._coming -= size

    def kept(self) -> int:
        """Bytes of what was uploaded and is still there."""
        return sum(max(LEAST, size) for _, size in _files(self.folder))

    def timed(self, receive: Callable[[], Awaitable[Message]]) -> Callable[[], Awaitable[Message]]:
        """What comes in, cut off when it takes too long."""
        end, whole = time.monotonic() + SECONDS, False

        async def received() -> Message:
            nonlocal whole
            if whole:  # what follows a body is the end of the connection, hours later
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, end - time.monotonic()))
            except TimeoutError:
                return {"type": "http.disconnect"}
            whole = not message.get("more_body", False)
            return message

        return received


@contextmanager
def swept(folder: Path) -> Iterator[None]:
    """Remove what lies in a folder for two minutes, aborted uploads as well, until the end."""
    over = threading.Event()
    seen: dict[Path, float] = {}

    def sweep() -> None:
        while not over.wait(LOOKS):
            sweep_once(folder, seen)

    thread = threading.Thread(target=sweep, daemon=True, name="asyrp-sweeper")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        shutil.rmtree(folder, ignore_errors=True)


def sweep_once(folder: Path, seen: dict[Path, float]) -> None:
    """Remove the files first seen two minutes ago, by a clock that nobody can set."""
    now = time.monotonic()
    there = {path for path, _ in _files(folder)}
    for path in set(seen) - there:
        del seen[path]
    for path in there:
        if now - seen.setdefault(path, now) >= SECONDS:
            with contextlib.suppress(OSError):
                path.unlink()
                if path.parent != folder:
                    path.parent.rmdir()  # Gradio's, of this file alone


def _files(folder: Path | None) -> list[tuple[Path, int]]:
    """The files below a folder and their bytes; one may go at any moment."""
    found: list[tuple[Path, int]] = []
    for parent, _, names in os.walk(folder) if folder else ():
        for name in names:
            with contextlib.suppress(OSError):
                path = Path(parent, name)
                found.append((path, path.lstat().st_size))
    return found
