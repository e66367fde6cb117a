"""t_start, t_edit and t_boost from LPIPS curves (Kwon et al. 2023, sections 4.1 and 4.2)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.protocols import PerceptualDistance, Thresholds, distance_from
from asyrp.method.schedule import LONGEST


@dataclass(frozen=True)
class EditInterval:
    """The phases of an edit: dh acts on [t_start, t_edit], and eta is 1 below t_boost.

    Raises:
        AsyrpError: unless 0 <= t_boost <= t_edit <= t_start.
    """

    t_start: int
    t_edit: int
    t_boost: int = 0

    def __post_init__(self) -> None:
        if self.t_boost < 0:
            raise AsyrpError(f"t_boost is a timestep of 0 or more; got {self.t_boost}")
        if self.t_boost > self.t_edit:
            raise AsyrpError(
                f"boosting begins where editing has ended: t_boost must be at most t_edit; got "
                f"t_boost {self.t_boost} > t_edit {self.t_edit}; lower t_boost or raise t_edit"
            )
        if self.t_start < self.t_edit:
            raise AsyrpError(
                "editing begins at the higher timestep: t_start must be at least t_edit; got "
                f"t_start {self.t_start} < t_edit {self.t_edit}; raise t_start or lower t_edit"
            )


def edit_interval(t_start: int | None, t_edit: int, t_boost: int = 0) -> EditInterval:
    """An interval that begins at T, the paper's choice, where t_start is None."""
    return EditInterval(max(LONGEST, t_edit) if t_start is None else t_start, t_edit, t_boost)


class HasStates(Protocol):
    """A step of a reverse walk: the x it led to, and P_t."""

    @property
    def t(self) -> int: ...
    @property
    def x(self) -> Tensor: ...
    @property
    def x0(self) -> Tensor: ...


class Curves(NamedTuple):
    """Distances to the image along its own reconstruction.

    times: (n,) ascending timesteps. x0: LPIPS(x, P_t), (n, images). xt: LPIPS(x, x_t), same.
    """

    times: tuple[int, ...]
    x0: np.ndarray
    xt: np.ndarray


class Interval(NamedTuple):
    """A timestep and the bootstrap band over images in which it falls (5 % to 95 %)."""

    t: int
    low: int
    high: int


class Found(NamedTuple):
    """The ends of the phases and the curves they were read off."""

    t_start: int
    t_edit: Interval
    t_boost: Interval
    curves: Curves

    @property
    def interval(self) -> EditInterval:
        """The phases alone; AsyrpError where timesteps that were given are in no order."""
        return EditInterval(self.t_start, self.t_edit.t, self.t_boost.t)


@torch.no_grad()
def curve_points(
    images: Tensor, x: Tensor, steps: Iterable[HasStates], distance: PerceptualDistance
) -> Iterator[Curves]:
    """The curves at each timestep of the plain reverse walk, from the first down.

    Args:
        images, x: (b, 3, height, width), and x_T from which the steps were walked; the first b rows
            of x and of the steps count.
    """
    rows, away = slice(0, len(images)), distance_from(distance, images)
    for done in steps:
        far = torch.stack([away(part[rows]) for part in (done.x0, x)]).cpu().double().numpy()
        yield Curves((done.t,), far[0][None], far[1][None])
        x = done.x


def measure_curves(
    images: Tensor, x: Tensor, steps: Iterable[HasStates], distance: PerceptualDistance
) -> Curves:
    """Curves of one batch of images (b, 3, height, width), from x_T and the plain reverse walk."""
    times, rows, away = [], [], distance_from(distance, images)
    for done in steps:
        times.append(done.t)
        rows.append(torch.stack([away(done.x0), away(x)]))
        x = done.x
    x0, xt = torch.stack(rows, dim=1).cpu().double().numpy()[:, np.argsort(times)]
    return Curves(tuple(sorted(times)), x0, xt)


def over_time(points: Sequence[Curves]) -> Curves:
    """The curves of single timesteps as one, ascending."""
    ordered = sorted(points, key=lambda point: point.times)
    x0 = np.concatenate([point.x0 for point in ordered])
    times = tuple(point.times[0] for point in ordered)
    return Curves(times, x0, np.concatenate([point.xt for point in ordered]))


def joined(batches: Sequence[Curves]) -> Curves:
    """The curves of several batches of images as one."""
    x0 = np.concatenate([curves.x0 for curves in batches], axis=1)
    return Curves(batches[0].times, x0, np.concatenate([c.xt for c in batches], axis=1))


def first_reaching(times: Sequence[int], values: Sequence[float] | np.ndarray, level: float) -> int:
    """The lowest timestep whose value is at least `level`.

    Raises:
        AsyrpError: the level is never reached.
    """
    for t, value in zip(times, values, strict=True):
        if value >= level:
            return t
    raise AsyrpError(
        f"the threshold {level:.3f} is never reached: the largest mean distance is "
        f"{float(np.max(values)):.3f}; lower the threshold of this distance, or set the timestep"
    )


def find_t_edit(curves: Curves, cosine: float, thresholds: Thresholds, seed: int = 0) -> Interval:
    """The lowest t with mean LPIPS(x, P_t) >= edit threshold x cos(source text, target text).

    Raises:
        AsyrpError: the threshold is never reached, or is not above 0, as where texts have a
            cosine below 0.
    """
    return _banded(curves.times, curves.x0, thresholds.edit * cosine, "t_edit", seed)


def find_t_boost(curves: Curves, thresholds: Thresholds, seed: int = 0) -> Interval:
    """The lowest t with mean LPIPS(x, x_t) >= boost threshold.

    Raises:
        AsyrpError: the threshold is never reached.
    """
    return _banded(curves.times, curves.xt, thresholds.boost, "t_boost", seed)


def find_t_start(curves: Curves, thresholds: Thresholds) -> int:
    """The highest t with mean LPIPS(x, P_t) <= start threshold; T without one, as in the paper.

    Above it P_t is not yet this image but an average of many, and an edit there changes who it is
    (docs/training-tried.md has both).

    Raises:
        AsyrpError: the distance lies above the threshold at every timestep.
    """
    if thresholds.start is None:
        return curves.times[-1]
    below = np.flatnonzero(curves.x0.mean(1) <= thresholds.start)
    if not len(below):
        raise AsyrpError(
            f"no t_start: LPIPS(x, P_t) is above {thresholds.start:.3f} at every timestep; raise "
            "the threshold, or set the timestep yourself with --t-start"
        )
    return curves.times[int(below[-1])]


class Given(NamedTuple):
    """Timesteps that are told rather than read off the curves."""

    t_start: int | None = None
    t_edit: int | None = None
    t_boost: int | None = None


NOTHING = Given()


def find_intervals(
    curves: Curves, cosine: float, thresholds: Thresholds, given: Given = NOTHING
) -> Found:
    """The three phases; editing has one timestep at least, and boosting none of its own.

    Raises:
        AsyrpError: the threshold of a timestep that is not given is never reached.
    """
    t_edit = _told(given.t_edit) or find_t_edit(curves, cosine, thresholds)
    start = given.t_start
    t_start = max(find_t_start(curves, thresholds), t_edit.t) if start is None else start
    t_boost = _told(given.t_boost)
    if t_boost is None:
        t_boost = find_t_boost(curves, thresholds)
        t_boost = t_boost._replace(t=min(t_boost.t, t_edit.t))
    return Found(t_start, t_edit, t_boost, curves)


def _told(t: int | None) -> Interval | None:
    return None if t is None else Interval(t, t, t)


def _banded(
    times: Sequence[int], values: np.ndarray, level: float, name: str, seed: int, draws: int = 500
) -> Interval:
    if not level > 0:
        raise AsyrpError(
            f"no {name}: its threshold must be above 0; got {level:.3f} (that of t_edit is times "
            f"the texts' cosine); set the timestep yourself with --{name.replace('_', '-')}"
        )
    try:
        t = first_reaching(times, values.mean(1), level)
    except AsyrpError as error:
        raise AsyrpError(f"no {name}: {error} yourself with --{name.replace('_', '-')}") from error
    rng = np.random.default_rng(seed)
    images = values.shape[1]
    resampled = values[:, rng.integers(images, size=(draws, images))].mean(2) >= level
    ceiling = np.asarray([*times, times[-1]])
    first = np.where(resampled.any(0), resampled.argmax(0), len(times))
    low, high = np.quantile(ceiling[first], [0.05, 0.95], method="nearest")
    return Interval(t, int(low), int(high))
