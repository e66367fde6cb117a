"""The checkpoint of a training: after every batch, and within long ones every 15 seconds."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from asyrp.storage.files import header_of
from asyrp.storage.training_state import load_state, save_state

SECONDS = 15.0  # between checkpoints within a batch; a timestep that is under way comes on top


class Progress(NamedTuple):
    """How far a run is.

    batch: whole ones. steps, x: timesteps done of the next batch, and x after them of every goal
    that still learns, (k, b, c, height, width). lowest, best, stale: each goal's lowest
    validation loss, the whole batches before it, and validations since.
    """

    batch: int
    steps: int
    x: Tensor | None
    lowest: tuple[float, ...]
    best: tuple[int, ...]
    stale: tuple[int, ...]


def beginning(goals: int) -> Progress:
    """Of a run that has done nothing."""
    none = (0,) * goals
    return Progress(0, 0, None, (math.inf,) * goals, none, none)


class Outcome(NamedTuple):
    """The best try of a goal. batches: whole ones before it. loss: that validated."""

    batches: int
    loss: float


def outcomes_of(path: Path) -> list[Outcome | None]:
    """The best try of each goal by a checkpoint; None for those that were never validated."""
    header = header_of(path)
    pairs = zip(json.loads(header["best"]), json.loads(header["lowest"]), strict=True)
    return [Outcome(*pair) if math.isfinite(pair[1]) else None for pair in pairs]


@dataclass
class TrainingCheckpoint:
    """The checkpoint of a run; without a path it keeps nothing.

    kept: the modules. identity: what a checkpoint must share with the run that continues from it.
    steps: of a batch. goals: how many. written: when it was last, by a clock of its own.
    """

    path: Path | None
    kept: Mapping[str, nn.Module]
    optimiser: torch.optim.Optimizer
    identity: dict[str, str]
    steps: int
    goals: int
    processes: ProcessGroup = SINGLE_PROCESS
    written: float = field(default_factory=lambda: time.monotonic(), init=False)

    def read(self) -> Progress:
        """Where to continue."""
        if self.path is None or not self.path.exists():
            return beginning(self.goals)
        header, rest = load_state(self.path, self.kept, self.optimiser)
        try:
            return self._progress(header, rest.get("x"))
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise AsyrpError(
                f"{str(self.path)!r} belongs to a run with another network, other images, "
                "settings, texts or interval; delete it to start anew"
            ) from error

    def _progress(self, header: dict[str, str], x: Tensor | None) -> Progress:
        if header["run"] != self.identity["run"]:
            raise ValueError("another run")
        if not _same_images(header["images"], self.identity):
            raise ValueError("other images")
        numbers = int(header["batch"]), int(header.get("steps", "0"))
        if (x is None) != (numbers[1] == 0) or not 0 <= numbers[1] <= self.steps:
            raise ValueError("no x for its timestep")
        lowest = tuple(map(float, json.loads(header["lowest"])))
        best, stale = (tuple(map(int, json.loads(header[name]))) for name in ("best", "stale"))
        if not len(lowest) == len(best) == len(stale) == self.goals:
            raise ValueError("other goals")
        return Progress(*numbers, x, lowest, best, stale)

    def write_due(self, at: Progress) -> None:
        """Write within a batch if the last time was long ago."""
        late = time.monotonic() - self.written >= SECONDS
        if late and self.processes.size == 1:
            self.write(at)

    def write(self, at: Progress) -> None:
        """Replace the file."""
        self.written = time.monotonic()
        if self.path is None or self.processes.rank:
            return
        named = {name: value for name, value in at._asdict().items() if name != "x"}
        header = {name: json.dumps(value) for name, value in named.items()}
        more = {} if at.x is None else {"x": at.x}
        save_state(self.path, self.kept, self.optimiser, header | self.identity, more)


def _same_images(kept: str, identity: dict[str, str]) -> bool:
    ours, theirs = json.loads(identity["images"]), json.loads(kept)
    return [len(part) for part in ours] == [len(part) for part in theirs] and all(
        abs(a - b) < 1e-3 for a, b in zip(chain(*ours), chain(*theirs), strict=True)
    )
