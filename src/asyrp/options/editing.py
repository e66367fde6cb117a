"""Options of the commands that invert, train, edit and sample."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from asyrp.options.shared import Applying, Flat, Guides, Inverting, Network
from asyrp.settings import TrainSettings


@dataclass(frozen=True)
class Invert:
    """Find the latents x_T of images and report how well they lead back."""

    images: Path
    """Folder of images, or one image."""
    out: Path
    """Folder for latents.safetensors, the reconstructions and run.json."""
    store: Path | None = None
    """Folder of a latent store, made if needed, to keep the latents in instead; images it has are
    not inverted again, and only the first batch is reconstructed, as a check."""
    steps: int = 40
    """Timesteps of the grid (2 to T)."""
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
    store: Path | None = None
    """Folder of a latent store, made if needed: latents and unedited walks are read from it and
    kept in it, for every attribute and every run."""
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
    strength: float | None = None
    """Factor that `--strength 1` will stand for; default: where held-out images saturate."""
    training: Annotated[TrainSettings, tyro.conf.arg(name="train")] = field(
        default_factory=TrainSettings
    )
    network: Annotated[Network, Flat] = field(default_factory=Network)
    inverting: Annotated[Inverting, Flat] = field(default_factory=Inverting)
    guides: Annotated[Guides, Flat] = field(default_factory=Guides)


@dataclass(frozen=True)
class Edit:
    """Edit images with directions: one PNG an input, and a run.json that repeats the run."""

    images: Path
    """Folder of images, or one image."""
    out: Path
    """Folder for the edited images."""
    store: Path | None = None
    """Folder of a latent store, made if needed: latents are read from it and kept in it, and how
    well they lead back is not checked."""
    steps: int = 40
    """Timesteps of the grid (2 to T)."""
    strengths: tuple[float, ...] = ()
    """Several factors on --strength: one PNG an input and factor, NAME_+1.5.png; what the edits
    share is computed once."""
    solver: Literal["ddim", "second-order"] = "ddim"
    """How a step is made; second-order is made for few --steps (8 to 20)."""
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
