"""What the exact inversions share: latents of several x, and an edit that moves any step.

A method that remembers more than x_t keeps all of it in one tensor, side by side in channels, so
that whoever stores, divides or gathers latents need not know. x itself comes first.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.method.asymmetric_process import (
    Attribute,
    ReverseStep,
    Shift,
    asymmetric,
    intervals_of,
    predictions,
    reverse_process,
)
from asyrp.method.ddim import predict_x0
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import NoiseSchedule, Pair, full_length


def packed(*parts: Tensor) -> Tensor:
    """k tensors (b, c, height, width), x first -> a latent (b, k c, height, width)."""
    return torch.cat(parts, dim=1)


def widened(x: Tensor) -> Tensor:
    """x in float64, where its device has that.

    What grows on one way must find the same bits on the other: carried in float64, both ways round
    to the same float32 before the network, which then answers the same, and nothing is lost at all.
    Carried in float32, EDICT's 40 steps come back to 4e-8 only.
    """
    return x if x.device.type == "mps" else x.double()


class Predicted(NamedTuple):
    """What the network says of x_t.

    eps: unedited. x0, x0_source: P_t edited and unedited. edited: whether a direction acted.
    """

    eps: Tensor
    x0: Tensor
    x0_source: Tensor
    edited: bool

    @property
    def move(self) -> Tensor:
        """How far the edit moves P_t; zeros, exactly, where it does nothing.

        The asymmetric process for any sampler. Equation 5 of Kwon et al. 2023 edits P_t inside
        x_s = sqrt(abar_s) P_t + D_t. Whatever a sampler makes of the unedited eps, call D_t what
        is left of its x_s without sqrt(abar_s) P_t; then the edit adds sqrt(abar_s) move to x_s,
        and D_t stays. (DDIM's D_t is sqrt(1 - abar_s) eps, which is equation 5 itself.)
        """
        return self.x0 - self.x0_source


class Walk(NamedTuple):
    """A walk down with the directions of an edit. steps: S~, of the whole grid."""

    model: HSpaceUNet
    attributes: Sequence[Attribute]
    steps: int
    shift: Shift

    def predicted(self, x: Tensor, t: int) -> Predicted:
        """P_t of x with the attributes that act at t, each scaled by S / S~."""
        active, model = [a for a in self.attributes if a.acts(t)], self.model
        encoded = model.encode(x, t)
        eps_x0, eps = predictions(model, encoded, active, t, self.steps, self.shift)
        source = predict_x0(x, eps, model.schedule.alpha_bar(t))
        x0 = predict_x0(x, eps_x0, model.schedule.alpha_bar(t)) if active else source
        return Predicted(eps, x0, source, bool(active))


Retracing = Callable[[Walk, tuple[Tensor, ...], Sequence[Pair]], Iterator[ReverseStep]]
"""(walk, the x of a latent, pairs) -> a step for each pair."""


def retraced(down: Retracing) -> Callable[..., Iterator[ReverseStep]]:
    """`reverse_process` for latents that hold several x, with `down` for its steps above t_boost.

    Below t_boost the steps are DDIM's with noise, of x alone. Each step is told in the precision
    in which DDIM would have made it.
    """

    def walker(
        model: HSpaceUNet,
        x: Tensor,
        grid: Sequence[Pair],
        attributes: Sequence[Attribute] = (),
        t_boost: int = 0,
        generators: Sequence[torch.Generator] = (),
        shift: Shift = asymmetric,
    ) -> Iterator[ReverseStep]:
        intervals_of(attributes, t_boost)
        dtype = torch.promote_types(model.dtype, torch.float32)
        parts = x.split(model.image_shape[0], dim=1)
        quiet = [pair for pair in grid if pair.t >= t_boost]
        x = parts[0].to(dtype)
        for done in down(Walk(model, attributes, full_length(grid), shift), parts, quiet):
            x, x0, source = (part.to(dtype) for part in (done.x, done.x0, done.x0_source))
            yield done._replace(x=x, x0=x0, x0_source=source)
            x = x.detach()
        yield from reverse_process(model, x, grid[len(quiet) :], (), t_boost, generators)

    return walker


def signal(schedule: NoiseSchedule, t: int) -> float:
    """sqrt(abar_t), the share of x0 in x_t."""
    return math.sqrt(schedule.alpha_bar(t))


def noise_to_signal(schedule: NoiseSchedule, t: int) -> float:
    """sigma = sqrt((1 - abar_t) / abar_t), 0 at CLEAN; along it d(x / sqrt(abar)) = eps d sigma."""
    alpha_bar = schedule.alpha_bar(t)
    return math.sqrt((1 - alpha_bar) / alpha_bar)
