"""Disks that are full or read-only: a clear line, and what was there before is still there."""

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from faults.running import (
    Fault,
    Place,
    convert_of,
    edit_of,
    furnished,
    invert_of,
    nothing,
    refused,
    run,
    train_of,
    tree,
)

SMALL = 64 * 2**20
Words = Callable[[Path], list[object]]


class Disk(NamedTuple):
    """A folder that can be full or locked. mounted: a disk of its own."""

    path: Path
    mounted: bool

    def fill(self, left: int) -> Callable[[], None]:
        """Leave so many bytes; what a command's process must do before it begins."""
        if not self.mounted:  # files end at the size that is left, as at a full quota
            return lambda: _short_files(max(left, 8192))
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_bsize
        with (self.path / ".filler").open("wb") as file:
            file.write(bytes(max(0, free - left)))
        return nothing

    def empty(self) -> None:
        """Make room again."""
        (self.path / ".filler").unlink(missing_ok=True)

    def lock(self, locked: bool) -> None:
        """Make it read-only, or writable again."""
        if self.mounted:
            how = f"remount,{'ro' if locked else 'rw'}"
            subprocess.run(["mount", "-o", how, str(self.path)], check=True)
        else:
            self.path.chmod(0o555 if locked else 0o755)


def _short_files(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@contextmanager
def small_disk(root: Path) -> Iterator[Disk]:
    """A tmpfs of 64 MB; a plain folder where this user may not mount one."""
    path = root / "disk"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(path)]
    mounted = not os.geteuid() and not subprocess.run(words, capture_output=True).returncode
    try:
        yield Disk(path, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(path)], check=True)


def works(place: Place) -> dict[str, Words]:
    """What is written -> the command that writes it below a folder."""
    direction = place.root / "made.safetensors"
    return {
        "direction": lambda d: ["convert", place.released, "--out", d / "d.safetensors"],
        "converted network": lambda d: convert_of(place, d / "net"),
        "original network, .pt": lambda d: back_of(place, d / "n.pt"),
        "original network, safetensors": lambda d: back_of(place, d / "n.safetensors"),
        "latent store": lambda d: invert_of(place, place.root / "inverted", "--store", d / "store"),
        "latent file and pictures": lambda d: invert_of(place, d / "inverted"),
        "edited pictures": lambda d: edit_of(place, direction, d / "edited"),
        "training checkpoint": lambda d: train_of(place, d / "t.safetensors"),
        "report": lambda d: ["report", d / "report.html"],
    }


def back_of(place: Place, out: Path) -> list[object]:
    """A conversion back to an original file."""
    return ["convert", place.root / "net", "--back", "--overwrite", "--out", out]


def full(place: Place, disk: Disk, name: str, words: Words, times: int) -> Fault:
    """Write on a disk that fills up at several points, over something that is there."""
    begun, faults, rng = time.perf_counter(), list[str](), random.Random(name)
    for folder in disk.path.iterdir():
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    first = run(words(disk.path), place.log())
    before = tree(disk.path)
    size = sum(map(len, before.values()))
    if first.code or not before:
        return Fault(f"full disk: {name}", 0, "", (f"it never worked: {first.last}",), 0)
    if name == "latent store":  # a store that has all would write nothing
        shutil.rmtree(disk.path / "store")
        before = {}
    for count in range(times):
        starved = disk.fill(0 if count == 0 else rng.randrange(max(2, size)))
        done = run(words(disk.path), place.log(), starved)
        after = tree(disk.path)
        kept = {k: v for k, v in after.items() if k in before}
        new = [k for k in after if k not in before and not k.endswith(".checkpoint.safetensors")]
        disk.empty()
        faults += filter(
            None, [refused(done) if done.code else "", _judged(name, kept == before, new)]
        )
        if name == "latent store" or not done.code:
            shutil.rmtree(disk.path / "store", ignore_errors=True)
    again = run(words(disk.path), place.log())
    faults += [f"with room again: {again.last[:150]}"] if again.code else []
    told = "exit 2 and one line; the old file was untouched; the same command worked with room"
    return Fault(f"full disk: {name}", times, told, tuple(faults), time.perf_counter() - begun)


def _judged(name: str, kept: bool, new: list[str]) -> str:
    if not kept:
        return "what was there has changed"
    if new and name != "latent store":
        return f"half written: {new[:3]}"
    return ""


def read_only(place: Place, disk: Disk, name: str, words: Words) -> Fault:
    """Write where nothing can be written."""
    begun, faults, before = time.perf_counter(), list[str](), tree(disk.path)
    disk.lock(True)
    try:
        faults += filter(None, [refused(run(words(disk.path), place.log()))])
    finally:
        disk.lock(False)
    faults += [] if tree(disk.path) == before else ["what was there has changed"]
    told = "exit 2 and one line; nothing changed"
    return Fault(f"read-only folder: {name}", 1, told, tuple(faults), time.perf_counter() - begun)


def every(root: Path, times: int) -> Iterator[Fault]:
    """All of them."""
    place = furnished(root)
    run(train_of(place, root / "made.safetensors", "--train.epochs", 1), place.log())
    run(convert_of(place, root / "net"), place.log())
    with small_disk(root) as disk:
        for name, words in works(place).items():
            yield full(place, disk, name, words, times)
        for name, words in works(place).items():
            yield read_only(place, disk, name, words)
