"""95 % intervals by resampling images (Efron 1979). Every draw comes from one seed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from asyrp.errors import AsyrpError

DRAWS = 1000
TAILS = (0.025, 0.975)


class Estimate(NamedTuple):
    """A number, its 95 % interval, and how many images it comes from."""

    value: float
    low: float
    high: float
    images: int
    seed: int

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return self._asdict()


def of_mean(values: Sequence[float] | np.ndarray, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """The mean over images with its percentile interval; NaN marks images without a value.

    Where all images agree the interval has no width; then rates up to about 3 / count are still
    possible (the rule of three).

    Raises:
        AsyrpError: fewer than two images have a value.
    """
    known = np.asarray(values, np.float64).ravel()
    known = known[~np.isnan(known)]
    rows = resamples(len(known), seed, draws)
    low, high = np.quantile(known[rows].mean(1), TAILS)
    return Estimate(float(known.mean()), float(low), float(high), len(known), seed)


def of_runs(values: np.ndarray, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """The mean over runs and images, both resampled: runs are edits with other seeds of the noise.

    Args:
        values: (runs, n); NaN marks images without a value.
    """
    if len(values) == 1:
        return of_mean(values[0], seed, draws)
    known = values[:, ~np.isnan(values).all(0)]
    rows = resamples(known.shape[1], seed, draws)
    runs = np.random.default_rng([seed, len(known)]).integers(len(known), size=(draws, len(known)))
    drawn = [np.nanmean(known[some][:, chosen]) for some, chosen in zip(runs, rows, strict=True)]
    low, high = np.nanquantile(drawn, TAILS)
    return Estimate(float(np.nanmean(known)), float(low), float(high), known.shape[1], seed)


def of_statistic(
    statistic: Callable[[np.ndarray], float], count: int, seed: int = 0, draws: int = DRAWS
) -> Estimate:
    """A statistic of the images at some rows, with its interval laid around the estimate.

    The resampled values are shifted so that their mean is the estimate: repeated images push a
    Frechet distance up, which a plain percentile interval would report as if it were spread.
    Draws in which the statistic is NaN are left out.

    Raises:
        AsyrpError: it has a value in fewer than two draws.
    """
    value = statistic(np.arange(count))
    drawn = np.array([statistic(rows) for rows in resamples(count, seed, draws)])
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        raise AsyrpError(
            f"an interval needs a statistic that most resamples of {count} images have; "
            f"{len(drawn)} of {draws} have it; take more images"
        )
    low, high = np.quantile(drawn - drawn.mean(), TAILS)
    return Estimate(float(value), float(value + low), float(value + high), count, seed)


def of_pairs(
    values: np.ndarray, pairs: np.ndarray, count: int, seed: int = 0, draws: int = DRAWS
) -> Estimate:
    """The mean of a value of pairs of images, resampling the images that the pairs join.

    A pair counts once for every time that both of its images were drawn.

    Args:
        values: (p,). pairs: (p, 2) rows of images. count: number of images.
    """
    times = _multiplicities(resamples(count, seed, draws), count)
    weights = times[:, pairs[:, 0]] * times[:, pairs[:, 1]]
    totals = weights.sum(1)
    drawn = (weights @ values)[totals > 0] / totals[totals > 0]
    low, high = np.quantile(drawn, TAILS)
    return Estimate(float(values.mean()), float(low), float(high), count, seed)


def of_strata(
    values: Sequence[np.ndarray],
    owners: Sequence[Sequence[int]],
    seed: int = 0,
    draws: int = DRAWS,
) -> Estimate:
    """The mean over strata of their means, where one image may stand in several strata.

    Images are resampled, and with each all of its values.

    Args:
        values: of each stratum, (n,); NaN is left out. owners: the image of every value.
    """
    ids = np.unique(np.concatenate([np.asarray(own) for own in owners]))
    times = _multiplicities(resamples(len(ids), seed, draws), len(ids))
    centres, drawn = [], []
    for row, own in zip(values, owners, strict=True):
        known = ~np.isnan(row)
        weights = times[:, np.searchsorted(ids, np.asarray(own)[known])]
        totals = weights.sum(1)
        centres.append(row[known].mean())
        drawn.append(np.where(totals > 0, weights @ row[known] / np.maximum(totals, 1), np.nan))
    means = np.ma.masked_invalid(drawn).mean(0).compressed()  # over the strata that were drawn
    low, high = np.quantile(means, TAILS)
    return Estimate(float(np.mean(centres)), float(low), float(high), len(ids), seed)


def of_largest_gap(groups: Sequence[np.ndarray], seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Largest minus smallest mean of groups of images, each group resampled by itself.

    The interval is laid around the estimate, since noise alone widens a largest gap.
    """
    known = [np.asarray(g, np.float64)[~np.isnan(np.asarray(g, np.float64))] for g in groups]
    if len(known) < 2:
        raise AsyrpError(f"a gap needs at least 2 groups of images; got {len(known)}")
    means = np.stack([g[resamples(len(g), seed + k, draws)].mean(1) for k, g in enumerate(known)])
    centres = [g.mean() for g in known]
    drawn = np.ptp(means, axis=0)
    low, high = np.quantile(drawn - drawn.mean(), TAILS)
    value = float(max(centres) - min(centres))
    return Estimate(value, max(0.0, value + low), value + high, sum(map(len, known)), seed)


def gap_by_chance(groups: Sequence[np.ndarray], seed: int = 0, draws: int = DRAWS) -> float:
    """The gap that random groups of the same sizes stay below in 95 % of draws."""
    sizes = np.cumsum([len(g) for g in groups])[:-1]
    pooled = np.concatenate(groups)
    rng = np.random.default_rng([seed, len(pooled)])
    gaps = []
    for _ in range(draws):
        parts = np.split(rng.permutation(pooled), sizes)
        gaps.append(np.ptp([np.nanmean(part) for part in parts]))
    return float(np.quantile(gaps, 0.95))


def resamples(count: int, seed: int, draws: int) -> np.ndarray:
    """Rows drawn with replacement, (draws, count).

    Raises:
        AsyrpError: fewer than two images.
    """
    if count < 2:
        raise AsyrpError(f"an interval over images needs at least 2 of them; got {count}")
    return np.random.default_rng([seed, count]).integers(count, size=(draws, count))


def _multiplicities(rows: np.ndarray, count: int) -> np.ndarray:
    """How often each image was drawn, (draws, count)."""
    times = np.zeros((len(rows), count))
    np.add.at(times, (np.arange(len(rows))[:, None], rows), 1.0)
    return times
