"""The checkpoint of a training: after every batch, and within long ones every 15 seconds."""

import json
import math
import time
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from asyrp.errors import AsyrpError
from asyrp.state import load_state, save_state
from asyrp.team import ALONE, Team

SECONDS = 15.0  # between checkpoints within a batch; a timestep that is under way comes on top


class Progress(NamedTuple):
    """How far a run is.

    batch: whole ones. steps, x: timesteps done of the next batch, and x after them of every lesson
    that still learns, (k, b, c, height, width). lowest, stale: each lesson's lowest validation
    loss, and validations since.
    """

    batch: int
    steps: int
    x: Tensor | None
    lowest: tuple[float, ...]
    stale: tuple[int, ...]


def beginning(lessons: int) -> Progress:
    """Of a run that has done nothing."""
    return Progress(0, 0, None, (math.inf,) * lessons, (0,) * lessons)


class Outcome(NamedTuple):
    """What a checkpoint says of its only lesson. batches: whole ones. loss: lowest validated."""

    batches: int
    loss: float


def outcome_of(path: Path) -> Outcome:
    """Read a checkpoint that a run of one lesson has kept."""
    with safe_open(path, "pt") as file:
        header = file.metadata()
    (lowest,) = json.loads(header["lowest"])
    return Outcome(int(header["batch"]), lowest)


class Keeper:
    """The checkpoint of a run; without a path it keeps nothing.

    Args:
        kept: the modules. identity: what a checkpoint must share with the run that continues from
            it. steps: of a batch. lessons: how many.
    """

    def __init__(
        self,
        path: Path | None,
        kept: Mapping[str, nn.Module],
        optimiser: torch.optim.Optimizer,
        identity: dict[str, str],
        steps: int,
        lessons: int,
        team: Team = ALONE,
    ):
        self.path, self.kept, self.optimiser, self.identity = path, kept, optimiser, identity
        self.steps, self.lessons, self.team = steps, lessons, team
        self.written = time.monotonic()

    def read(self) -> Progress:
        """Where to continue."""
        if self.path is None or not self.path.exists():
            return beginning(self.lessons)
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
        stale = tuple(map(int, json.loads(header["stale"])))
        if not len(lowest) == len(stale) == self.lessons:
            raise ValueError("other lessons")
        return Progress(*numbers, x, lowest, stale)

    def settle(self, at: Progress) -> None:
        """Write within a batch if the last time was long ago."""
        late = time.monotonic() - self.written >= SECONDS
        if late and self.team.size == 1:
            self.write(at)

    def write(self, at: Progress) -> None:
        """Replace the file."""
        self.written = time.monotonic()
        if self.path is None or self.team.rank:
            return
        numbers = {"batch": at.batch, "steps": at.steps, "lowest": at.lowest, "stale": at.stale}
        header = {name: json.dumps(value) for name, value in numbers.items()}
        more = {} if at.x is None else {"x": at.x}
        save_state(self.path, self.kept, self.optimiser, header | self.identity, more)


def _same_images(kept: str, identity: dict[str, str]) -> bool:
    ours, theirs = json.loads(identity["images"]), json.loads(kept)
    return [len(part) for part in ours] == [len(part) for part in theirs] and all(
        abs(a - b) < 1e-3 for a, b in zip(chain(*ours), chain(*theirs), strict=True)
    )
