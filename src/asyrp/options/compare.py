"""Options of compare, study and reproduce."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from asyrp.options.shared import Flat, Guides, Inverting, Network, unset
from asyrp.settings import TrainSettings


@dataclass(frozen=True)
class Counts:
    """How many faces."""

    test_faces: int = 64
    """Test faces of each task that do not show its value."""
    pool: int = 112
    """Test faces to choose them from."""
    train_faces: int = 64
    """Faces to train on."""
    validation_faces: int = 12
    """Faces that every method is tuned on, for each task."""


@dataclass(frozen=True)
class Own:
    """A network and pictures of your own, in place of the built-in world."""

    images: Annotated[Path | None, unset("the built-in world", "PATH")] = None
    """Own network: folder of images to test on."""
    train_images: Annotated[Path | None, unset("the built-in world", "PATH")] = None
    """Own network: folder of images to train and tune on; --validation-faces of them to tune."""
    source: str = ""
    """Own network: what the images show."""
    target: str = ""
    """Own network: what they should show."""
    judge: str = ""
    """Own network: FILE.json of questions to a text-image encoder, which judges success and what
    else changed; with --attribute and --value."""
    attribute: str = ""
    """Own network: attribute of the judge that is edited, as in 'smile'."""
    value: str = ""
    """Own network: its text that should fit the edits, as in 'a smiling face'."""
    t_start: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """Own network: first timestep of editing; with --t-edit and --t-boost in place of curves."""
    t_edit: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """Own network: last timestep of editing."""
    t_boost: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """Own network: timestep below which noise is added."""


@dataclass(frozen=True)
class Beside:
    """What else compare takes for a network of your own."""

    target_prompt: str = ""
    """Text-to-image network: caption of the edits, with --prompt that of the images, for `swap`."""
    labels: Annotated[tuple[int, int] | None, unset("none", "INT INT")] = None
    """Class-conditional network: class of the images, and of the edits for `swap`."""
    segmenter: str = ""
    """Own network: segmentation network for SC."""
    identity: str = ""
    """Own network: ONNX file of a face-recognition network."""
    features: str = "encoder"
    """Own network: whose features FID and KID compare, encoder (the guide's own) or an image
    network."""


@dataclass(frozen=True)
class Compare:
    """Our edits beside their rivals, on the built-in world or a network of your own.

    All have the same network, pictures and budget.
    """

    out: Path = Path("compare")
    """Folder for table.md, table.csv, table.json, figures, and what is kept between runs."""
    tasks: Annotated[tuple[str, ...], unset("all ten", "[STR ...]")] = ()
    """Edits to make, as in smiling or glasses."""
    methods: Annotated[tuple[str, ...], unset("all nine", "[STR ...]")] = ()
    """Methods to compare, as in asyrp, sdedit or diffusionclip; on a network of your own all that
    need neither labels nor paintings."""
    workers: int = 2
    """Processes of one thread each; results do not depend on it."""
    own: Annotated[Own, Flat] = field(default_factory=Own)
    beside: Annotated[Beside, Flat] = field(default_factory=Beside)
    network: Annotated[Network, Flat] = field(default_factory=Network)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)
    counts: Annotated[Counts, Flat] = field(default_factory=Counts)
    training: Annotated[TrainSettings, tyro.conf.arg(name="train")] = field(
        default_factory=TrainSettings
    )


@dataclass(frozen=True)
class Study:
    """Measure one claim of the paper: NAME.json, a figure, and a verdict in words."""

    name: tyro.conf.Positional[
        Literal[
            "theorem1",
            "homogeneity",
            "linearity",
            "robustness",
            "consistency",
            "layers",
            "intervals",
            "diagnose",
        ]
    ]
    """Which claim."""
    out: Path
    """Folder for NAME.json, NAME.png, and what is kept between runs."""
    direction: str = ""
    """diagnose: your direction, FILE or FILE:STRENGTH, with --images; without both it trains one on
    the built-in world."""
    steps: int = 40
    """Timesteps of the grid (2 to T), for images of your own."""
    faces: int = 24
    """Test images of an average."""
    workers: int = 2
    """Processes of one thread each."""
    own: Annotated[Own, Flat] = field(default_factory=Own)
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)
    counts: Annotated[Counts, Flat] = field(default_factory=Counts)
    training: Annotated[TrainSettings, tyro.conf.arg(name="train")] = field(
        default_factory=TrainSettings
    )


@dataclass(frozen=True)
class Reproduce:
    """Compare and all studies on the built-in world: writes results.md and its figures."""

    docs: Path = Path("docs")
    """Folder for results.md and results/, its figures."""
    keep: Path = Path("build/reproduce")
    """Folder for what is kept between runs; a run that was stopped goes on from it."""
    workers: int = 2
    """Processes of one thread each; numbers do not depend on it, seconds do."""
    faces: int = 48
    """Test faces of an average in the studies."""
    tasks: Annotated[tuple[str, ...], unset("all ten", "[STR ...]")] = ()
    """Edits to compare, as in smiling or glasses."""
    methods: Annotated[tuple[str, ...], unset("all nine", "[STR ...]")] = ()
    """Methods to compare, as in asyrp, sdedit or diffusionclip."""
    studies: Annotated[tuple[str, ...], unset("all eight", "[STR ...]")] = ()
    """Studies to run, as in theorem1 or linearity."""
    counts: Annotated[Counts, Flat] = field(default_factory=Counts)
    training: Annotated[TrainSettings, tyro.conf.arg(name="train")] = field(
        default_factory=TrainSettings
    )
