"""Tests: gaps between groups, p of an interval, and Holm over several claims."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from asyrp.errors import AsyrpError
from asyrp.reporting.statistics import DRAWS, TAIL, Estimate


class GapTest(NamedTuple):
    """Largest minus smallest mean of groups of images.

    by_chance: what random groups of these sizes stay below in 95 % of draws. p: share of random
    groups whose gap is as large.
    """

    gap: float
    by_chance: float
    p: float


def of_gap(groups: Sequence[np.ndarray], seed: int = 0, draws: int = DRAWS) -> GapTest:
    """A permutation test of whether groups differ: a largest gap is above 0 by noise alone."""
    from scipy.stats import permutation_test  # slow to import

    known = [np.asarray(g, np.float64)[~np.isnan(np.asarray(g, np.float64))] for g in groups]
    if len(known) < 2:
        raise AsyrpError(f"a gap needs at least 2 groups of images; got {len(known)}")

    def gap(*parts: np.ndarray, axis: int = -1) -> np.ndarray:
        found: np.ndarray = np.ptp(np.stack([part.mean(axis) for part in parts]), axis=0)
        return found

    rng = np.random.default_rng([seed, sum(map(len, known))])
    found = permutation_test(
        known, gap, vectorized=True, n_resamples=draws, alternative="greater", rng=rng
    )
    by_chance = float(np.quantile(found.null_distribution, 0.95))
    return GapTest(float(found.statistic), by_chance, float(found.pvalue))


def p_value(found: Estimate, bound: float) -> float:
    """Two-sided p of a number being `bound`, from its interval (Altman and Bland 2011)."""
    reach = found.high - found.value if bound > found.value else found.value - found.low
    if reach <= 0:
        return float(bound == found.value)
    df = found.df or np.inf
    far = abs(bound - found.value) / reach * special.stdtrit(df, TAIL)
    return float(2 * special.stdtr(df, -far))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p of several claims, so that one false finding in all has at most the level."""
    order, found = np.argsort(p_values), np.empty(len(p_values))
    steps = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return [float(p) for p in found]
