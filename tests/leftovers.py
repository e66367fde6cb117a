"""What a writer leaves behind that was killed."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from asyrp.storage.unfinished import STALE_SECONDS, unfinished

FORK = multiprocessing.get_context("fork")
Fill = Callable[[Path], object]


def touched(place: Path) -> None:
    (place / "half").write_bytes(b"half")


def aged(path: Path, seconds: float = 3 * STALE_SECONDS) -> Path:
    """A file or folder, and what is in it, as it would look so much later."""
    moment = time.time() - seconds
    for one in [*path.rglob("*"), path]:
        os.utime(one, (moment, moment), follow_symlinks=False)
    return path


def abandoned(folder: Path, fill: Fill = touched, seconds: float = 3 * STALE_SECONDS) -> Path:
    """The hidden folder of a process that was killed while it wrote, so many seconds ago."""
    before = set(folder.iterdir())

    def killed() -> None:
        with unfinished(folder) as place:
            fill(place)
            os.kill(os.getpid(), signal.SIGKILL)

    process = FORK.Process(target=killed)
    process.start()
    process.join()
    (left,) = set(folder.iterdir()) - before
    return aged(left, seconds)
