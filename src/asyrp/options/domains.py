"""Options of the commands on a whole domain: compare, study, reproduce, domain, world, demo."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from asyrp.options.shared import (
    Flat,
    Inverting,
    OnDomain,
    Overwrite,
    Repeated,
    Steps,
    Training,
    unset,
)
from asyrp.settings import Precision, TrainSettings


@dataclass(frozen=True)
class Counts:
    """How many images, and on which grid they are edited."""

    test_faces: int = 64
    """Test images of each task that do not show its value."""
    pool: int = 112
    """Test images to choose them from."""
    train_faces: int = 64
    """Images to train on."""
    validation_faces: int = 40
    """Validation images; every method is tuned on those that lack a task's value."""
    steps: Steps = 40
    rates: tuple[float, ...] = (0.3, 1.0, 3.0)
    """Learning rates that compare tries for each method, times the one that it is known for."""


@dataclass(frozen=True)
class Compare:
    """Our edits beside those of other methods, on any domain.

    All have the same network, images and budget.
    """

    out: Path = Path("compare")
    """Folder for table.md, table.csv, table.json, figures, and what is kept between runs."""
    tasks: Annotated[tuple[str, ...], unset("those that the domain compares", "[STR ...]")] = ()
    """Edits to make, as in smiling or glasses."""
    methods: Annotated[tuple[str, ...], unset("all that the domain can run", "[STR ...]")] = ()
    """Methods to compare, as in asyrp, sdedit or diffusionclip; or MODULE:NAME of your own."""
    finders: bool = False
    """Compare f_t with every other finder of directions instead, on the edits whose values enough
    training images show."""
    overwrite: Overwrite = False
    on: Annotated[OnDomain, Flat] = field(default_factory=OnDomain)
    counts: Annotated[Counts, Flat] = field(default_factory=Counts)
    training: Training = field(default_factory=TrainSettings)


@dataclass(frozen=True)
class Study:
    """Measure one claim of the paper: NAME.json, a figure, and a verdict in words."""

    name: tyro.conf.Positional[str]
    """Which claim: theorem1, homogeneity, linearity, robustness, consistency, layers, intervals,
    diagnose; or MODULE:NAME of your own."""
    out: Path
    """Folder for NAME.json, NAME.png, and what is kept between runs."""
    faces: int = 24
    """Test images of an average."""
    direction: str = ""
    """diagnose: your direction, FILE or FILE:STRENGTH, with --images."""
    images: Annotated[Path | None, unset("test images of the domain", "PATH")] = None
    """theorem1, diagnose: folder of images to look at instead."""
    overwrite: Overwrite = False
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    on: Annotated[OnDomain, Flat] = field(default_factory=OnDomain)
    counts: Annotated[Counts, Flat] = field(default_factory=Counts)
    training: Training = field(default_factory=TrainSettings)


@dataclass(frozen=True)
class Reproduce:
    """Compare and all studies on a domain: writes results-DOMAIN.md, its figures and results.md."""

    docs: Path = Path("docs")
    """Folder for the pages; results.md has all domains that were worked into it side by side."""
    keep: Path = Path("build/reproduce")
    """Folder for what is kept of each domain; a run that was stopped goes on from it."""
    faces: int = 48
    """Test images of an average in the studies."""
    tasks: Annotated[tuple[str, ...], unset("those that the domain compares", "[STR ...]")] = ()
    """Edits to compare, as in smiling or glasses."""
    methods: Annotated[tuple[str, ...], unset("all that the domain can run", "[STR ...]")] = ()
    """Methods to compare, as in asyrp, sdedit or diffusionclip."""
    studies: Annotated[tuple[str, ...], unset("all that the domain can run", "[STR ...]")] = ()
    """Studies to run, as in theorem1 or linearity."""
    further: tuple[Literal["keeping", "finders"], ...] = ("keeping", "finders")
    """Compare too: what keeps the rest of a picture, and the finders of directions; or neither."""
    overwrite: Overwrite = False
    on: Annotated[OnDomain, Flat] = field(default_factory=OnDomain)
    counts: Annotated[Counts, Flat] = field(default_factory=Counts)
    training: Training = field(default_factory=TrainSettings)


@dataclass(frozen=True)
class Domain:
    """Write or check the file of a domain of your own: network, guides, images, judge, tasks."""

    action: tyro.conf.Positional[Literal["init", "check"]]
    """init writes a commented file; check says what is there, what is missing and what will run."""
    file: tyro.conf.Positional[str]
    """The TOML file; for check also the name of a built-in domain."""
    device: str = "cpu"
    """check: torch device to load the networks on."""


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
    dtype: Precision = "auto"
    """Precision of the products of the networks, as of other commands."""
    test_images: int = 12
    """Test images that do not show the value yet."""
    train_images: int = 96
    """Images to train on."""
    validation_images: int = 16
    """Images to find the phases, the strength and the best state on."""
    overwrite: Overwrite = False
    training: Training = field(default_factory=TrainSettings)
