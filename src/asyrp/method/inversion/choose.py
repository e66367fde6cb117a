"""An inversion by its name: the way up, the way down, and how many x its latent holds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import ReverseStep, reverse_process
from asyrp.method.ddim import InversionStep, invert_steps
from asyrp.method.inversion import bdia, belm, edict, noise_maps, two_step
from asyrp.method.inversion.state import retraced, widened

Name = Literal["ddim", "belm", "bdia", "edict", "ddpm"]

Riser = Callable[..., Iterator[InversionStep]]
"""(model, schedule, images, grid) -> steps; the x of the last is the latent."""
Walker = Callable[..., Iterator[ReverseStep]]
"""`reverse_process`, or another with its arguments."""


@dataclass(frozen=True)
class InversionMethod:
    """A way from images to latents and back.

    up, down: see `Riser` and `Walker`. parts: steps of the grid -> x that a latent holds, side by
    side in channels, x at the top first. wide: whether latents are float64.
    """

    up: Riser
    down: Walker
    parts: Callable[[int], int]
    wide: bool = False

    def empty(self, images: Tensor, steps: int) -> Tensor:
        """Latents of no images."""
        none = images[:0].repeat(1, self.parts(steps), 1, 1)
        return widened(none) if self.wide else none


def _two(steps: int) -> int:
    return 2


def _two_step(weight: two_step.Weight) -> InversionMethod:
    down = retraced(partial(two_step.reverse, weight))
    return InversionMethod(partial(two_step.raised, weight), down, _two, True)


INVERSIONS: Mapping[Name, InversionMethod] = {
    "ddim": InversionMethod(invert_steps, reverse_process, lambda steps: 1),
    "belm": _two_step(belm.weight),
    "bdia": _two_step(bdia.weight),
    "edict": InversionMethod(edict.raised, edict.reverse, _two, True),
    "ddpm": InversionMethod(noise_maps.raised, noise_maps.reverse, lambda steps: 1 + steps),
}


def inversion_of(name: str) -> InversionMethod:
    """An inversion by name.

    Raises:
        AsyrpError: unknown name.
    """
    for known in get_args(Name):
        if known == name:
            return INVERSIONS[known]
    raise AsyrpError(f"the inversion is one of {', '.join(get_args(Name))}; got {name!r}")


def top_of(latents: Tensor, channels: int) -> Tensor:
    """x at the top of latents of any inversion, (n, channels, height, width)."""
    return latents[:, :channels]
