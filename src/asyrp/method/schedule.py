"""The noise schedule and the grids of timesteps, as explicit (t, s) pairs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple, overload

import numpy as np

from asyrp.errors import AsyrpError

LONGEST = 100_000  # timesteps
STEEPEST = 200.0  # sqrt((1 - abar) / abar) where a walk may begin; the paper's schedule ends at 157
LAST = (
    2.0**-24
)  # stands for alpha_bar = 0 at T, as in the solvers of diffusers, or half its neighbour
CLEAN = -1  # the timestep of the image itself, where alpha_bar = 1


class Pair(NamedTuple):
    """One step between two timesteps: from `t` to `s` (CLEAN stands for the image itself)."""

    t: int
    s: int


@dataclass(frozen=True)
class Timesteps(Sequence[Pair]):
    """A grid of timesteps, or a part of one, as descending (t, s) pairs.

    full: S~, the length of the whole grid; slicing keeps it, so that S / S~ stays right on a part.
    """

    pairs: tuple[Pair, ...]
    full: int

    def __len__(self) -> int:
        return len(self.pairs)

    @overload
    def __getitem__(self, place: int) -> Pair: ...
    @overload
    def __getitem__(self, place: slice) -> "Timesteps": ...
    def __getitem__(self, place: int | slice) -> "Pair | Timesteps":
        found = self.pairs[place]
        return found if isinstance(found, Pair) else Timesteps(found, self.full)

    def between(self, t_start: int, t_edit: int) -> "Timesteps":
        """The pairs with t in [t_start, t_edit], both ends included."""
        return Timesteps(tuple(p for p in self.pairs if t_edit <= p.t <= t_start), self.full)


@dataclass(frozen=True)
class NoiseSchedule:
    """alpha_bar of every training timestep (DDPM's cumulative product; the DDIM paper's alpha).

    alpha_bars: float64, length T, strictly decreasing in (0, 1).
    """

    alpha_bars: tuple[float, ...]

    def __post_init__(self) -> None:
        table = np.asarray(self.alpha_bars)
        if not (len(table) > 1 and table[-1] > 0 and table[0] < 1 and (np.diff(table) < 0).all()):
            raise AsyrpError(
                "a noise schedule needs at least two alpha_bar values that fall strictly between "
                f"1 and 0; got {len(table)} values from {table[:1]} to {table[-1:]}"
            )

    @property
    def length(self) -> int:
        """T, the number of training timesteps."""
        return len(self.alpha_bars)

    def alpha_bar(self, t: int) -> float:
        """alpha_bar at `t`; exactly 1 at CLEAN."""
        if not CLEAN <= t < self.length:
            raise AsyrpError(f"a timestep lies in {CLEAN}..{self.length - 1}; got {t}")
        return 1.0 if t == CLEAN else self.alpha_bars[t]

    @property
    def steady_top(self) -> int:
        """The highest timestep where P_t moves at most STEEPEST times as far as eps.

        P_t = x_t / sqrt(abar) - sqrt((1 - abar) / abar) eps: near alpha_bar = 0, where the cosine
        schedule ends, it is made of the errors of eps.
        """
        least = 1 / (1 + STEEPEST**2)
        return max((t for t, bar in enumerate(self.alpha_bars) if bar >= least), default=0)


def linear(length: int = 1000, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:
    """Linear betas: the default, and every network of the paper (Ho et al. 2020)."""
    return from_betas(np.linspace(start, end, length))


def scaled_linear(length: int = 1000, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:
    """Betas whose square roots are linear (latent diffusion)."""
    return from_betas(np.linspace(start**0.5, end**0.5, length) ** 2)


def cosine(length: int = 1000, max_beta: float = 0.999) -> NoiseSchedule:
    """Nichol and Dhariwal 2021, equation 17, with betas capped at `max_beta`."""

    def ideal(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    edges = pairwise(i / length for i in range(length + 1))
    return from_betas(np.array([min(1 - ideal(b) / ideal(a), max_beta) for a, b in edges]))


def from_betas(betas: Sequence[float] | np.ndarray) -> NoiseSchedule:
    """alpha_bar_t = prod_{i<=t} (1 - beta_i), in float64."""
    return NoiseSchedule(tuple(np.cumprod(1.0 - np.asarray(betas, np.float64)).tolist()))


def zero_terminal(schedule: NoiseSchedule) -> NoiseSchedule:
    """A schedule moved to end at alpha_bar = 0 (Lin et al. 2024, algorithm 1).

    sqrt(abar) falls by its last value, and is stretched so that the first stays. At T then v = -x0,
    and P_T = -v. A number next to 0 stands for alpha_bar_T, so that P_T can be had from eps like
    any other P_t: to about 1e-3 in float32.
    """
    roots = np.sqrt(np.asarray(schedule.alpha_bars))
    moved = ((roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])) ** 2
    return NoiseSchedule((*moved[:-1].tolist(), min(LAST, float(moved[-2]) / 2)))


_NAMED = {"linear": linear, "scaled_linear": scaled_linear}


def from_config(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule of a diffusers scheduler's config.

    What else a config says `scheduler_config.read_scheduler` refuses or names.

    Raises:
        AsyrpError: a beta_schedule other than linear, scaled_linear or squaredcos_cap_v2, or
            zero-terminal-SNR rescaling of a network that predicts eps.
    """
    try:
        found = _from_config(config)
        if not config.get("rescale_betas_zero_snr"):
            return found
        if config.get("prediction_type", "epsilon") == "epsilon":
            raise AsyrpError(
                "this scheduler ends at alpha_bar = 0, where x_T is noise alone: the eps that its "
                "network predicts there is x_T and says nothing of x0; needed: a network of "
                "v_prediction or sample, or a scheduler without rescale_betas_zero_snr"
            )
        return zero_terminal(found)
    except AsyrpError:
        raise
    except (TypeError, ValueError, OverflowError) as error:
        raise AsyrpError(f"this scheduler's config cannot be used: {str(error)[:300]}") from error


def _from_config(config: Mapping[str, Any]) -> NoiseSchedule:
    if config.get("trained_betas") is not None:
        return from_betas(config["trained_betas"])
    length = int(config.get("num_train_timesteps", 1000))
    if not 2 <= length <= LONGEST:
        raise ValueError(f"num_train_timesteps must lie in 2..{LONGEST:,}")
    name = config.get("beta_schedule", "linear")
    if name == "squaredcos_cap_v2":
        return cosine(length)
    if not isinstance(name, str) or name not in _NAMED:
        known = ", ".join([*_NAMED, "squaredcos_cap_v2"])
        raise AsyrpError(f"beta_schedule must be one of {known}; got {name!r:.80}")
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    return _NAMED[name](length, float(start), float(end))


def paper_grid(steps: int = 40, length: int = 1000) -> Timesteps:
    """`int(linspace(0, 1, n) * (T - 1) + 1e-6)`, from T - 1 down to 0 and on to the clean image.

    The official code's grid; n = 40 is the paper's editing setting.
    """
    check_steps(steps, length)
    times = [int(u * (length - 1) + 1e-6) for u in np.linspace(0, 1, steps)]
    return pairs(times)


def pairs(times: Sequence[int]) -> Timesteps:
    """Ascending timesteps -> a whole grid, whose last pair ends at CLEAN."""
    if any(a >= b for a, b in pairwise([CLEAN, *times])):
        raise AsyrpError(f"timesteps must ascend strictly from 0 or more; got {list(times)[:8]}")
    found = tuple(Pair(t, s) for t, s in pairwise([*reversed(times), CLEAN]))
    return Timesteps(found, len(found))


def times(grid: Sequence[Pair]) -> tuple[int, ...]:
    """The grid's timesteps, ascending."""
    return tuple(pair.t for pair in reversed(grid))


def below(grid: Sequence[Pair], t_top: int | None) -> Timesteps:
    """The part of a grid from timestep t_top down; all of it for None."""
    top = LONGEST if t_top is None else t_top
    return Timesteps(tuple(grid), full_length(grid)).between(top, CLEAN)


def full_length(grid: Sequence[Pair]) -> int:
    """S~ of a grid, or of the grid that it is a part of; pairs by themselves are a whole one."""
    return grid.full if isinstance(grid, Timesteps) else len(grid)


def check_steps(steps: int, length: int) -> None:
    """Raise AsyrpError unless 2 <= steps <= length."""
    if not isinstance(steps, Integral) or not 2 <= steps <= length:
        raise AsyrpError(f"the number of steps must lie in 2..{length}; got {steps}")
