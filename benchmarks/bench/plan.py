"""The parts of the bench, and how each runs in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asyrp.errors import AsyrpError
from asyrp.runtime.resumable import Stage
from bench.busy import Busy
from bench.growth import Growth, InversionMemory, Processes, TrainingMemory
from bench.inverting import Inverting
from bench.reduced import ReducedTraining, ReducedWalk
from bench.traded import Traded
from bench.works import Machine, Training, Walking, Work

KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        Machine,
        Walking,
        Training,
        Growth,
        InversionMemory,
        TrainingMemory,
        Processes,
        Traded,
        Inverting,
        Busy,
        ReducedWalk,
        ReducedTraining,
    )
}

FULL: Mapping[str, Work] = {
    "machine": Machine(),
    "walk-avatars-64": Walking("avatars-64", 16, 16, 20, budget=60),
    "walk-ddpm-128": Walking("ddpm-128", 1, 1, 40, budget=80),
    "walk-ddpm-128-by-4": Walking("ddpm-128", 4, 4, 40, budget=70),
    "walk-ddpm-256": Walking("ddpm-256", 1, 1, 40, budget=100),
    "train-avatars-64": Training("avatars-64", 2, 40, budget=60, runs=9),
    "train-ddpm-64": Training("ddpm-64", 1, 40, budget=60),
    "images": Growth("images", (2, 4, 8, 16)),
    "steps": Growth("steps", (5, 10, 20, 40)),
    "batch": Growth("batch", (1, 2, 4, 8, 16), images=16),
    "resolution": Growth("resolution", ("ddpm-64", "ddpm-128", "ddpm-256-half"), images=1, steps=3),
    "memory-train": TrainingMemory("ddpm-256", False),
    "memory-train-checkpointing": TrainingMemory("ddpm-256", True),
    "memory-100": InversionMemory(100),
    "memory-10000": InversionMemory(10_000),
    "processes": Processes(),
    "traded": Traded(faces=64, chosen_on=64, train=40, epochs=2, timed=2),
    "inverting": Inverting(),
    "busy": Busy(),
    "reduced-walk-avatars-64": ReducedWalk("avatars-64", 16, 10),
    "reduced-walk-ddpm-128": ReducedWalk("ddpm-128", 1, 6),
    "reduced-train-avatars-64": ReducedTraining("avatars-64"),
    "reduced-train-photographs-64": ReducedTraining("photographs-64"),
}
QUICK: Mapping[str, Work] = {
    "machine": Machine(256),
    "walk-avatars-64": Walking("avatars-64", 2, 2, 3, runs=2, size=256),
    "walk-ddpm-128": Walking("ddpm-16", 1, 1, 2, runs=1, size=256),
    "train-avatars-64": Training("avatars-64", 1, 2, runs=1, size=256),
    "images": Growth("images", (1, 2), "ddpm-16", steps=2, runs=1, size=256),
    "resolution": Growth("resolution", ("ddpm-16",), images=1, steps=2, runs=1, size=256),
    "memory-train": TrainingMemory("ddpm-16", False),
    "memory-train-checkpointing": TrainingMemory("ddpm-16", True),
    "memory-100": InversionMemory(16),
    "memory-10000": InversionMemory(64),
    "processes": Processes("ddpm-16", 2, 2, 1, runs=1, size=256),
    "traded": Traded(2, 2, 2, 1, 1, (4,), 1, 4, 1, 256),
    "inverting": Inverting(2, (3,)),
    "busy": Busy("ddpm-16", (1,), 2, (0, 1), 1),
    "reduced-walk-ddpm-128": ReducedWalk("ddpm-16", 1, 2, 1, 256),
    "reduced-train-avatars-64": ReducedTraining("avatars-64", "smiling", 2, 2, 1, 6, 8, 1),
}


@dataclass(frozen=True)
class Apart:
    """A work, done by a new process, so that its memory is its own."""

    work: Work
    baseline: Path

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """The numbers.

        Raises:
            AsyrpError: the process failed.
        """
        fields = json.dumps(asdict(self.work))  # type: ignore[call-overload]
        command = [sys.executable, "-m", "bench.worker", type(self.work).__name__, fields]
        paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [*command, str(self.baseline)],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise AsyrpError(f"a part of the bench failed ({last}); run it alone with --only")
        found: dict[str, Any] = json.loads(done.stdout.rpartition("\n=")[2])
        return found


def stages(parts: Mapping[str, Work], baseline: Path) -> list[Stage]:
    """One stage a part; none needs another."""
    return [Stage(name, Apart(work, baseline)) for name, work in parts.items()]


def chosen(parts: Mapping[str, Work], only: tuple[str, ...]) -> dict[str, Work]:
    """The parts to work.

    Raises:
        AsyrpError: unknown name.
    """
    unknown = [name for name in only if name not in parts]
    if unknown:
        raise AsyrpError(f"unknown part {unknown[0]!r}; needed one of: {', '.join(parts)}")
    return {name: work for name, work in parts.items() if not only or name in only}
