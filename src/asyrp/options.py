"""The options of every command, as data. Imports nothing heavy, so that --help is instant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from asyrp.settings import TrainSettings

Repeated: Any = tyro.conf.UseAppendAction
Flat = tyro.conf.arg(name="")


@dataclass(frozen=True)
class Network:
    """Which network, where and how precise."""

    model: str = "avatars-64"
    """Built-in name, diffusers folder, or Hub id."""
    device: str = "cpu"
    """Torch device, as in cpu, cuda or cuda:1."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of the network."""
    batch_size: int = 16
    """Images a batch; results do not depend on it."""


@dataclass(frozen=True)
class Inverting:
    """How images become latents."""

    convention: Literal["source", "target"] = "source"
    """Where the noise of an inversion step is evaluated: at its start (the paper's code) or end."""
    refinements: int = 1
    """Fixed-point iterations a step, one more network call each; 0 is the paper's code."""


@dataclass(frozen=True)
class Invert:
    """Find the latents x_T of images and report how well they lead back."""

    images: Path
    """Folder of images, or one image."""
    out: Path
    """Folder for latents.safetensors, the reconstructions and run.json."""
    steps: int = 40
    """Timesteps of the grid (2 to T)."""
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)


@dataclass(frozen=True)
class Guides:
    """The networks that guide and measure."""

    encoder: str = "avatars-64-clip"
    """Text-image encoder."""
    distance: str = "st-lpips-alex"
    """Perceptual distance."""


@dataclass(frozen=True)
class Intervals:
    """Find t_edit and t_boost from LPIPS curves over your images."""

    images: Path
    """Folder of images, or one image; 16 to 32 are enough."""
    source: str
    """What the images show, as in 'face'."""
    target: str
    """What they should show, as in 'smiling face'."""
    out: Path
    """Folder for intervals.json and the plot of the curves."""
    steps: int = 40
    """Timesteps of the grid (2 to T)."""
    threshold_edit: float | None = None
    """LPIPS(x, P_t) at t_edit for texts of cosine 1; default: that of the distance."""
    threshold_boost: float | None = None
    """LPIPS(x, x_t) at t_boost; default: that of the distance."""
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)


@dataclass(frozen=True)
class Train:
    """Find the direction from one text to another."""

    source: str
    """What the images show, as in 'face'."""
    target: str
    """What they should show, as in 'smiling face'."""
    out: Path
    """The direction file to write (.safetensors)."""
    images: Path | None = None
    """Folder of images to train on."""
    random: int = 0
    """Train on this many random samples instead of images."""
    validation: int = 16
    """Images held out to find the phases and the best state on: the last of the folder by name,
    at most a quarter."""
    previews: Path | None = None
    """Folder for latest.png, the held-out images edited with the best direction so far."""
    t_start: int | None = None
    """First timestep of editing; default: from the LPIPS curves where the distance has a
    threshold for it, else T as in the paper."""
    t_edit: int | None = None
    """Last timestep of editing; default: from the LPIPS curves."""
    t_boost: int | None = None
    """Timestep below which noise is added; default: from the LPIPS curves."""
    training: Annotated[TrainSettings, tyro.conf.arg(name="train")] = field(
        default_factory=TrainSettings
    )
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)


@dataclass(frozen=True)
class Applying:
    """Which directions, and how strongly."""

    direction: Annotated[tuple[str, ...], Repeated] = ()
    """FILE or FILE:STRENGTH; several add up, each on its own interval."""
    strength: float = 1.0
    """Factor on every direction; negative reverses it."""
    t_start: int | None = None
    """First timestep of editing for every direction; default: each file's own."""
    t_edit: int | None = None
    """Last timestep of editing for every direction; default: each file's own."""
    t_boost: int | None = None
    """Timestep below which noise is added; default: the lowest of the files'."""
    seed: int = 0
    """Of the noise: one generator an image."""
    force: bool = False
    """Use directions of another network, at your own risk."""


@dataclass(frozen=True)
class Edit:
    """Edit images with directions: one PNG an input, and a run.json that repeats the run."""

    images: Path
    """Folder of images, or one image."""
    out: Path
    """Folder for the edited images."""
    steps: int = 40
    """Timesteps of the grid (2 to T)."""
    applying: Annotated[Applying, Flat] = field(default_factory=Applying)
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)


@dataclass(frozen=True)
class Sample:
    """Draw images from noise, plain or edited."""

    out: Path
    """Folder for the samples and run.json."""
    count: int = 16
    """Number of samples."""
    steps: int = 40
    """Timesteps of the grid (2 to T)."""
    applying: Annotated[Applying, Flat] = field(default_factory=Applying)
    network: Annotated[Network, Flat] = field(default_factory=Network)


@dataclass(frozen=True)
class Inspect:
    """Say what a direction file, a latent file or a network is."""

    what: tyro.conf.Positional[str]
    """A direction or latent file, or a network (built-in name, folder, Hub id)."""


@dataclass(frozen=True)
class World:
    """Make the built-in world again: draw faces, train its networks."""

    part: tyro.conf.Positional[Literal["draw", "diffusion", "encoder", "judge"]]
    """What to make."""
    out: Path
    """Folder for the result."""
    count: int = 64
    """draw: number of faces."""
    split: Literal["train", "validation", "test"] = "train"
    """draw: which faces."""
    steps: int | None = None
    """Training steps; default: those of the shipped weights."""
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
    train_faces: int = 64
    """Faces to train on."""
    validation_faces: int = 16
    """Faces to find the phases, the strength and the best state on."""
    training: Annotated[TrainSettings, tyro.conf.arg(name="train")] = field(
        default_factory=TrainSettings
    )


COMMANDS: dict[str, Any] = {
    "demo": Demo,
    "invert": Invert,
    "intervals": Intervals,
    "train": Train,
    "edit": Edit,
    "sample": Sample,
    "inspect": Inspect,
    "world": World,
}
