"""The noise schedule and the grids of timesteps, as explicit (t, s) pairs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from asyrp.errors import AsyrpError

LONGEST = 100_000  # timesteps
CLEAN = -1  # the timestep of the image itself, where alpha_bar = 1


class Pair(NamedTuple):
    """One step between two timesteps: from `t` to `s` (CLEAN stands for the image itself)."""

    t: int
    s: int


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


_NAMED = {"linear": linear, "scaled_linear": scaled_linear}


def from_config(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule of a diffusers scheduler's config.

    What else a config says `scheduler_config.read_scheduler` refuses or names.

    Raises:
        AsyrpError: a beta_schedule other than linear, scaled_linear or squaredcos_cap_v2, or
            zero-terminal-SNR rescaling (P_t does not exist where alpha_bar = 0).
    """
    if config.get("rescale_betas_zero_snr"):
        raise AsyrpError(
            "this network was trained down to alpha_bar = 0, where no x0 can be predicted from "
            "noise, and on any other schedule it draws something else; needed: a network that was "
            "trained without rescale_betas_zero_snr"
        )
    try:
        return _from_config(config)
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


def paper_grid(steps: int = 40, length: int = 1000) -> tuple[Pair, ...]:
    """`int(linspace(0, 1, n) * (T - 1) + 1e-6)`, from T - 1 down to 0 and on to the clean image.

    The official code's grid; n = 40 is the paper's editing setting.
    """
    check_steps(steps, length)
    times = [int(u * (length - 1) + 1e-6) for u in np.linspace(0, 1, steps)]
    return pairs(times)


def leading_grid(steps: int = 50, length: int = 1000, offset: int = 0) -> tuple[Pair, ...]:
    """diffusers' spacing `leading`: multiples of T // n, plus `offset`."""
    check_steps(steps, length)
    return pairs([i * (length // steps) + offset for i in range(steps)])


def trailing_grid(steps: int = 50, length: int = 1000) -> tuple[Pair, ...]:
    """diffusers' spacing `trailing`: from T - 1 down in strides of T / n."""
    check_steps(steps, length)
    times = [round(length - i * length / steps) - 1 for i in range(steps)]
    return pairs(sorted(times))


def pairs(times: Sequence[int]) -> tuple[Pair, ...]:
    """Ascending timesteps -> descending (t, s) pairs, the last of which ends at CLEAN."""
    if any(a >= b for a, b in pairwise([CLEAN, *times])):
        raise AsyrpError(f"timesteps must ascend strictly from 0 or more; got {list(times)[:8]}")
    return tuple(Pair(t, s) for t, s in pairwise([*reversed(times), CLEAN]))


def times(grid: Sequence[Pair]) -> tuple[int, ...]:
    """The grid's timesteps, ascending."""
    return tuple(pair.t for pair in reversed(grid))


def below(grid: Sequence[Pair], t_top: int | None) -> tuple[Pair, ...]:
    """The pairs of a grid from timestep t_top down; all of them for None."""
    return tuple(pair for pair in grid if t_top is None or pair.t <= t_top)


def check_steps(steps: int, length: int) -> None:
    """Raise AsyrpError unless 2 <= steps <= length."""
    if not 2 <= steps <= length:
        raise AsyrpError(f"the number of steps must lie in 2..{length}; got {steps}")
