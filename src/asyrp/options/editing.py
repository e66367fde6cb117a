"""Options of the commands that invert, train, edit and sample."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from asyrp.options.shared import (
    Applying,
    Flat,
    Guides,
    Inversion,
    InversionName,
    Inverting,
    Network,
    Overwrite,
    Repeated,
    Steps,
    Training,
    unset,
)
from asyrp.settings import RECIPES, Like, Recipe, TrainSettings


@dataclass(frozen=True)
class Invert:
    """Find the latents x_T of images, and report the reconstruction error."""

    images: Path
    """Folder of images, or one image."""
    out: Path
    """Folder for latents.safetensors, the reconstructions and run.json."""
    store: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder of a latent store to keep the latents in; images it has are not inverted again. --out
    then gets run.json and the first batch of reconstructions."""
    steps: Steps = 40
    inversion: Inversion = "ddim"
    overwrite: Overwrite = False
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)


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
    steps: Steps = 40
    inversion: Inversion = "ddim"
    threshold_edit: Annotated[float | None, unset("that of the distance", "FLOAT")] = None
    """LPIPS(x, P_t) at t_edit for texts of cosine 1."""
    threshold_boost: Annotated[float | None, unset("that of the distance", "FLOAT")] = None
    """LPIPS(x, x_t) at t_boost."""
    threshold_start: Annotated[float | None, unset("that of the distance", "FLOAT")] = None
    """LPIPS(x, P_t) at t_start; a distance without one begins at T, as the paper does."""
    overwrite: Overwrite = False
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)


@dataclass(frozen=True)
class Train:
    """Find the direction from one text to another, or several at once."""

    source: str
    """What the images show, as in 'face'."""
    target: Annotated[tuple[str, ...], Repeated]
    """What they should show, as in 'smiling face'; given several times, all are learnt side by side
    in the same network calls, which takes less time than one after the other, and more memory."""
    out: Path
    """The direction file to write (.safetensors); for several targets a folder."""
    recipe: Recipe = "default"
    """Settings by one word: paper and official fill all of --train, the inversion, and the interval
    and lambdas that were published for the network and the texts; other options change them."""
    keep: Annotated[tuple[str, ...], Repeated] = ()
    """What should stay as it is, as in 'face with glasses'; several times for several things."""
    keep_others: bool = False
    """Keep what the other tasks of --domain are about; without one, all attributes of drawn faces
    that the target says nothing of."""
    bound: bool = False
    """Edit only where --domain says that the target shows: --train.region of its task."""
    images: Annotated[Path | None, unset("--random is needed", "PATH")] = None
    """Folder of images to train on, 64 or more."""
    random: int = 0
    """Train on this many random samples of the network instead of images."""
    store: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder of a latent store that keeps latents and unedited walks for the next attribute."""
    begin_from: Annotated[Path | None, unset("dh = 0", "PATH")] = None
    """A direction file of the same network whose weights training begins with: a neighbour."""
    validation: int = 16
    """Images held out to find phases and the best state: the last by name, at most a quarter."""
    previews: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder for latest.png, the held-out images edited with the best direction so far."""
    t_start: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """First timestep of editing; the grid's first where the distance has no threshold for it."""
    t_edit: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """Last timestep of editing."""
    t_boost: Annotated[int | None, unset("from the LPIPS curves", "INT")] = None
    """Timestep below which noise is added (quality boosting); 0 for none."""
    strength: Annotated[float | None, unset("where held-out images saturate", "FLOAT")] = None
    """Factor on dh that --strength 1 of edit will stand for."""
    inversion: InversionName = "ddim"
    """How images get the latents that training begins at: see edit. Its steps are DDIM's always."""
    overwrite: Overwrite = False
    training: Training = field(default_factory=TrainSettings)
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)


def train_of(recipe: Recipe) -> type[Train]:
    """`Train` with the defaults of a recipe, which options that are given change."""

    @dataclass(frozen=True)
    class Followed(Train):
        training: Training = field(default_factory=RECIPES[recipe])
        inverting: Annotated[Inverting, Flat] = field(
            default_factory=lambda: Inverting(refinements=0)
        )
        validation: int = 0

    Followed.__doc__ = Train.__doc__
    return Train if recipe == "default" else Followed


@dataclass(frozen=True)
class Edit:
    """Edit images with directions: one PNG an input, and a run.json that repeats the run."""

    images: Path
    """Folder of images, or one image."""
    out: Path
    """Folder for the edited images."""
    align: Annotated[Like | None, unset("images are aligned already", "LIKE")] = None
    """Align photographs first, like celeba, celeba-hq or ffhq, into OUT/aligned, and put the edited
    faces back into them, into OUT/pasted (extra align)."""
    store: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder of a latent store that keeps the latents; the reconstruction error is not measured."""
    steps: Steps = 40
    strengths: Annotated[tuple[float, ...], unset("--strength alone", "[FLOAT ...]")] = ()
    """Several factors on --strength: one PNG an input and factor, NAME_+1.5.png, and
    sheet/sheet.png with a row for each of the first images; what the edits share is made once."""
    enough: bool = True
    """Edit each image only as much as it needs, where the card of the direction says how much that
    is and no strength is given; --no-enough gives all images the card's strength."""
    inversion: Inversion = "ddim"
    solver: Literal["ddim", "second-order"] = "ddim"
    """How a step is made; second-order is made for few --steps (8 to 20)."""
    overwrite: Overwrite = False
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
    steps: Steps = 40
    overwrite: Overwrite = False
    applying: Annotated[Applying, Flat] = field(default_factory=Applying)
    network: Annotated[Network, Flat] = field(default_factory=Network)


@dataclass(frozen=True)
class Inspect:
    """Say what a direction file, a latent file or a network is."""

    what: tyro.conf.Positional[str]
    """A direction or latent file, or a network by any name that --model of other commands takes."""
    prompt: str = ""
    """Prompt of a text-to-image network, which is a part of its fingerprint."""
    guidance: float = 1.0
    """Weight of the prompt, likewise."""
    class_label: Annotated[int | None, unset("none", "INT")] = None
    """Class of a class-conditional network, likewise."""


@dataclass(frozen=True)
class Directions:
    """List the trained directions that ship with the built-in domains, and how good each is.

    `asyrp edit --domain DOMAIN --direction NAME` uses one.
    """

    domain: Annotated[str, unset("all", "NAME")] = ""
    """Those of one domain."""
    out: Annotated[Path | None, unset("none", "PATH")] = None
    """Folder for a strip of each: a sample unedited, and at 0.5, 1 and 1.5 times its strength."""
    overwrite: Overwrite = False


@dataclass(frozen=True)
class Doctor:
    """Say what this machine is, what is installed and ships, and which command to run next."""
