"""Reading a file under watch: time, memory, what it raises, and whether it ran anything."""

import contextlib
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch

from asyrp.errors import AsyrpError
from faults.kinds import Files, Kind
from faults.pickled import CANARY

SECONDS = 10.0  # of the processor, so that a busy machine is no fault; six times that by the clock
TIMERS = (
    (signal.SIGPROF, signal.ITIMER_PROF, SECONDS),
    (signal.SIGALRM, signal.ITIMER_REAL, 6 * SECONDS),
)
BYTES = 2**30
ROOM = 3 * 2**30  # of address space, so that a file that asks for terabytes harms nobody
FORK = multiprocessing.get_context("fork")


class Verdict(NamedTuple):
    """What a file did. fault: "" for one that was read or refused as it should be."""

    number: int
    refused: bool
    fault: str
    seconds: float
    memory: int


class Late(BaseException):
    """The time is over; no handler of the library may catch it."""


def files_of(kind: Kind, number: int, seed: int = 0) -> Files:
    """The spoilt files of a number, the same at every call."""
    if kind.listed:
        return kind.spoil(number)
    return kind.spoil(random.Random(f"{kind.name} {seed} {number}"))


def read_one(kind: Kind, number: int, files: Files) -> Verdict:
    """Write, read, judge."""
    folder = Path(tempfile.mkdtemp(prefix="asyrp-fault-"))
    try:
        for place, content in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(content)
        before, started = _fresh_peak(), time.perf_counter()
        refused, fault = _judged(kind, folder / next(iter(files)))
        seconds, memory = time.perf_counter() - started, _field("VmHWM") - before
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if CANARY.exists():
        CANARY.unlink()
        fault = "RAN CODE"
    if memory > BYTES:
        fault = fault or f"took {memory / 1e6:.0f} MB"
    return Verdict(number, refused, fault, seconds, max(0, memory))


def _judged(kind: Kind, path: Path) -> tuple[bool, str]:
    for event, _, _ in TIMERS:
        signal.signal(event, _late)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _, timer, seconds in TIMERS:
                signal.setitimer(timer, seconds)
            kind.read(path)
        return False, ""
    except AsyrpError as error:
        return True, _line_of(error)
    except Late:
        return False, f"took more than {SECONDS:g} s"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = [f for f in traceback.extract_tb(error.__traceback__) if "/src/asyrp/" in f.filename]
        place = own[-1] if own else last
        text = str(error).splitlines()[0][:120] if str(error) else ""
        return False, f"{type(error).__name__}: {text} ({Path(place.filename).name}:{place.lineno})"
    finally:
        for _, timer, _ in TIMERS:
            signal.setitimer(timer, 0)


def _line_of(error: AsyrpError) -> str:
    """A refusal must be one line that a terminal can print."""
    text = str(error)
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"an error that cannot be printed: {text!a}"[:200]
    return f"an error of {len(text):,} letters" if len(text) > 3000 else ""


def _late(*_: object) -> None:
    raise Late


def _fresh_peak() -> int:
    """The memory in use now; from here on the peak is counted anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _field("VmRSS")


def _field(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def watched(kind: Kind, numbers: range, seed: int = 0) -> Iterator[Verdict]:
    """Read files in a process of their own; one that dies or hangs costs the file it was at."""
    left = list(numbers)
    while left:
        ours, theirs = FORK.Pipe(duplex=False)
        worker = FORK.Process(target=_work, args=(kind, left, seed, theirs))
        worker.start()
        theirs.close()
        for verdict in _heard(ours):
            left.pop(0)
            yield verdict
        worker.kill()
        worker.join()
        if left and worker.exitcode != 0:
            yield Verdict(left.pop(0), False, f"the process died ({worker.exitcode})", SECONDS, 0)


def _heard(ours: Connection) -> Iterator[Verdict]:
    with contextlib.suppress(EOFError):
        while ours.poll(3 * SECONDS):
            yield Verdict(*ours.recv())


def _work(kind: Kind, numbers: list[int], seed: int, answers: Connection) -> None:
    torch.set_num_threads(1)
    sys.stderr = open("/dev/null", "w")  # noqa: SIM115 - libraries warn of every file
    for number in numbers:
        files = files_of(kind, number, seed)
        room = _field("VmSize") + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
        answers.send(read_one(kind, number, files))
    answers.close()
