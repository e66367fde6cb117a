"""Options of the commands of the built-in world."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from asyrp.options.shared import Overwrite, Repeated, Training, unset
from asyrp.settings import TrainSettings


@dataclass(frozen=True)
class World:
    """Make a built-in domain again, or one like it from pictures of yours: train its networks."""

    part: tyro.conf.Positional[
        Literal["draw", "train", "diffusion", "encoder", "judge", "segmenter"]
    ]
    """What to make: draw writes faces in seconds; train makes all networks, one after the other."""
    out: Path
    """Folder for the result."""
    domain: Literal["avatars-64", "photographs-64"] = "avatars-64"
    """Which domain; photographs-64 needs --images and --attributes."""
    images: Annotated[Path | None, unset("none", "PATH")] = None
    """photographs-64: a folder or zip of aligned photographs, which are cropped as CelebA's."""
    attributes: Annotated[Path | None, unset("none", "FILE")] = None
    """photographs-64: a table (tab separated): file, then a column of 0 and 1 an attribute."""
    begin_from: Annotated[Path | None, unset("random weights", "DIR")] = None
    """photographs-64: the unet/ folder of a diffusion network to go on from."""
    count: int = 64
    """draw: number of faces."""
    split: Literal["train", "validation", "test"] = "train"
    """draw: which faces; the splits share none."""
    steps: Annotated[int | None, unset("those of the shipped weights", "INT")] = None
    """Training steps."""
    cache: Path = Path("world-cache")
    """Folder for pictures and checkpoints; a run that was stopped continues from it."""
    overwrite: Overwrite = False


@dataclass(frozen=True)
class Demo:
    """Edit a domain's images, judge the edits, and write a report with pictures."""

    out: Path = Path("demo")
    """Folder for report.html, report.json and the pictures."""
    domain: str = "photographs-64"
    """Network, guides, images, judge and tasks: avatars-64, photographs-64, or FILE.toml."""
    task: Annotated[tuple[str, ...], Repeated, unset("the first two that ship", "NAME")] = ()
    """The edits to make, as in glasses, by the directions that ship."""
    photo: Annotated[Path | None, unset("none", "FILE")] = None
    """A photograph to edit besides: its face is found, edited and put back (extra align)."""
    anew: bool = False
    """Train directions here instead, on images of the domain; so are tasks for which none ships."""
    source: Annotated[str, unset("the task's", "STR")] = ""
    """What the images show; with --target a direction is trained."""
    target: Annotated[str, unset("the task's", "STR")] = ""
    """What they should show."""
    factor: Annotated[str, unset("the task's", "STR")] = ""
    """The attribute that the judge looks at."""
    value: Annotated[str, unset("the task's", "STR")] = ""
    """The value it should take."""
    test_images: int = 12
    """Test images that do not show the value yet."""
    train_images: int = 96
    """Images to train on."""
    validation_images: int = 16
    """Images to find the phases, the strength and the best state on."""
    overwrite: Overwrite = False
    training: Training = field(default_factory=TrainSettings)
