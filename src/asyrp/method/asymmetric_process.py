"""The asymmetric reverse process (Kwon et al. 2023, sections 3.2, 4.1 and 4.2).

Three phases: on [T, t_edit] the shifted bottleneck reaches P_t alone; then plain DDIM; below
t_boost eta = 1 (quality boosting).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.ddim import draw_noise, predict_x0, step
from asyrp.method.directions import Direction
from asyrp.method.editing_interval import EditInterval, edit_interval
from asyrp.method.hspace import Encoded, HSpaceUNet
from asyrp.method.region import confined
from asyrp.method.schedule import Pair, full_length
from asyrp.settings import Region

Change = Callable[[Tensor], Tensor]
Predictions = tuple[Tensor, Tensor]  # eps for P_t, eps for D_t
Shift = Callable[[HSpaceUNet, Encoded, Change], Predictions]


@dataclass(frozen=True)
class Attribute:
    """A direction as it is applied.

    t_edit: the last timestep at which it acts. strength: factor on dh, negative to reverse.
    trained_steps: S, the length of the grid it was trained on. t_start: the first timestep at
    which it acts; None is the paper's T. region: where P_t changes, () for everywhere.
    """

    direction: Direction
    t_edit: int
    strength: float = 1.0
    trained_steps: int = 40
    t_start: int | None = None
    region: Region = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.strength):
            raise AsyrpError(f"the strength of a direction is a number; got {self.strength}")
        self.interval()

    def interval(self, t_boost: int = 0) -> EditInterval:
        """When it acts, and where boosting begins below it."""
        return edit_interval(self.t_start, self.t_edit, t_boost)

    def acts(self, t: int) -> bool:
        """Whether t lies in its editing interval [t_start, t_edit]."""
        return self.t_edit <= t and (self.t_start is None or t <= self.t_start)

    def dh(self, h: Tensor, emb: Tensor, t: int, steps: int) -> Tensor:
        """strength * S / S~ * dh_t: the sum of dh over a walk is that of training (section 4.1).

        steps: S~, the length of the whole grid that is walked.
        """
        dh = self.strength * self.trained_steps / steps * self.direction(h, emb, t)
        return dh.to(h.dtype)


class ReverseStep(NamedTuple):
    """One step of an edited walk.

    x: x_s. x0: P_t as edited. x0_source: P_t of the same x_t unedited. edited: whether a direction
    acted.
    """

    t: int
    s: int
    x: Tensor
    x0: Tensor
    x0_source: Tensor
    edited: bool


def asymmetric(model: HSpaceUNet, encoded: Encoded, change: Change) -> Predictions:
    """Asyrp: only P_t sees the shifted bottleneck (equation 5)."""
    eps = model.decode(encoded)
    return model.decode(encoded, encoded.h + change(encoded.h)), eps


def symmetric(model: HSpaceUNet, encoded: Encoded, change: Change) -> Predictions:
    """Both halves see it: the edit that Theorem 1 shows to cancel."""
    eps = model.decode(encoded, encoded.h + change(encoded.h))
    return eps, eps


def epsilon_space(model: HSpaceUNet, encoded: Encoded, change: Change) -> Predictions:
    """The shift is added to eps instead of h; directions get eps in h's place (appendix D.1)."""
    eps = model.decode(encoded)
    return eps + change(eps), eps


def reverse_process(
    model: HSpaceUNet,
    x: Tensor,
    grid: Sequence[Pair],
    attributes: Sequence[Attribute] = (),
    t_boost: int = 0,
    generators: Sequence[torch.Generator] = (),
    shift: Shift = asymmetric,
) -> Iterator[ReverseStep]:
    """Walk from x_T down the grid with edits; without attributes, the plain reconstruction.

    Args:
        x: (b, c, height, width), x_T of each image.
        grid: the whole of one or, with x where it begins, a part of one.
        attributes: each acts on its own interval [t_start, t_edit].
        t_boost: eta is 1 at every t < t_boost, else 0; at most every t_edit.
        generators: one an image, needed where t_boost > 0.

    Raises:
        AsyrpError: t_boost above a t_edit, or generators that do not match the images.
    """
    intervals_of(attributes, t_boost)
    for pair in grid:
        active = [a for a in attributes if a.acts(pair.t)]
        encoded = model.encode(x, pair.t)
        eps_x0, eps = predictions(model, encoded, active, pair.t, full_length(grid), shift)
        boosted = pair.t < t_boost
        noise = draw_noise(x, generators) if boosted else None
        done = step(x, eps_x0, eps, model.schedule, pair, noise, eta=float(boosted))
        source = predict_x0(x, eps, model.schedule.alpha_bar(pair.t)) if active else done.x0
        yield ReverseStep(pair.t, pair.s, done.x, done.x0, source, bool(active))
        x = done.x.detach()


def predictions(
    model: HSpaceUNet,
    encoded: Encoded,
    active: Sequence[Attribute],
    t: int,
    steps: int,
    shift: Shift,
) -> Predictions:
    """eps for P_t and eps for D_t, with the attributes that act at t; the same one without any.

    steps: S~, the length of the walk.
    """
    if not active:
        eps = model.decode(encoded)
        return eps, eps

    def change(h: Tensor) -> Tensor:
        return sum((a.dh(h, encoded.emb, t, steps) for a in active), torch.zeros_like(h))

    eps_x0, eps = shift(model, encoded, change)
    return confined(eps_x0, eps, [a.region for a in active if a.strength]), eps


def check_acts(attributes: Sequence[Attribute], grid: Sequence[Pair]) -> None:
    """Raise AsyrpError for an attribute whose interval holds no timestep of a whole walk's grid."""
    for one in attributes:
        if not any(one.acts(pair.t) for pair in grid):
            raise no_timestep(len(grid), one.t_start, one.t_edit)


def no_timestep(steps: int, t_start: int | None, t_edit: int) -> AsyrpError:
    """The error of an editing interval between two timesteps of the grid."""
    start = "T" if t_start is None else t_start
    return AsyrpError(
        f"no timestep of the {steps}-step grid lies between t_start {start} and t_edit {t_edit}; "
        "raise t_start or lower t_edit"
    )


def intervals_of(attributes: Sequence[Attribute], t_boost: int) -> list[EditInterval]:
    """The phases of each direction of a walk that is boosted below t_boost.

    Raises:
        AsyrpError: unless 0 <= t_boost <= every t_edit.
    """
    if not attributes and t_boost:
        edit_interval(None, max(t_boost, 0), t_boost)  # plain sampling may be boosted at any t
    return [one.interval(t_boost) for one in attributes]
