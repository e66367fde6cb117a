"""Options of the commands of the built-in world."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from asyrp.options.shared import unset
from asyrp.settings import TrainSettings


@dataclass(frozen=True)
class World:
    """Make the built-in world again: draw faces, train its networks."""

    part: tyro.conf.Positional[Literal["draw", "diffusion", "encoder", "judge", "segmenter"]]
    """What to make: draw takes seconds, a network minutes to 2 hours (diffusion) on 2 cores."""
    out: Path
    """Folder for the result."""
    count: int = 64
    """draw: number of faces."""
    split: Literal["train", "validation", "test"] = "train"
    """draw: which faces; the splits share none."""
    steps: Annotated[int | None, unset("those of the shipped weights", "INT")] = None
    """Training steps."""
    cache: Path = Path("world-cache")
    """Folder for drawn pictures and checkpoints; a run that was stopped continues from it."""


@dataclass(frozen=True)
class Demo:
    """The whole job on the built-in world: invert, intervals, train, edit, report."""

    out: Path = Path("demo")
    """Folder for report.html, report.json and the pictures."""
    source: str = "face"
    """What the faces show."""
    target: str = "smiling face"
    """What they should show."""
    factor: str = "mouth"
    """The factor of the world that the judge looks at."""
    value: str = "smiling"
    """The value it should take."""
    test_faces: int = 40
    """Held-out faces that do not show the value yet."""
    train_faces: int = 96
    """Faces to train on."""
    validation_faces: int = 16
    """Faces to find the phases, the strength and the best state on."""
    training: Annotated[TrainSettings, tyro.conf.arg(name="train")] = field(
        default_factory=TrainSettings
    )
