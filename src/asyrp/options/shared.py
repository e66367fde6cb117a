"""Options that several commands share."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

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
    prompt: str = ""
    """Prompt of a text-to-image network (Stable Diffusion), the same for all images."""
    guidance: float = 1.0
    """Weight of the prompt (classifier-free guidance); 1 is the prompt alone."""


@dataclass(frozen=True)
class Inverting:
    """How images become latents."""

    convention: Literal["source", "target"] = "source"
    """Where the noise of an inversion step is evaluated: at its start (the paper's code) or end."""
    refinements: int = 1
    """Fixed-point iterations a step, one more network call each; 0 is the paper's code."""


@dataclass(frozen=True)
class Guides:
    """The networks that guide and measure."""

    encoder: str = "avatars-64-clip"
    """Text-image encoder."""
    distance: str = "st-lpips-alex"
    """Perceptual distance."""


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
