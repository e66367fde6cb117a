"""95 % intervals of numbers that were measured on samples: of images, runs, tuning images.

Nearly every one is a t interval whose variance is a sum of parts, one for each kind of thing that
was sampled (Satterthwaite 1946); shares of images that answer yes have Wilson's (1927).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from asyrp.errors import AsyrpError

DRAWS = 1000
TAIL = 0.975
Z = float(special.ndtri(TAIL))
HOW = (
    "95 %: Wilson's for shares of images, at the effective number where images repeat; for paired "
    "shares Bonett and Price's; t intervals over images, runs and tuning images for all else "
    f"(Frechet distances: variance from {DRAWS} or fewer resamples)"
)


class Estimate(NamedTuple):
    """A number, its 95 % interval, and how many images it comes from.

    seed: of resampling, where there was any. df: degrees of freedom; None for those of a normal.
    """

    value: float
    low: float
    high: float
    images: int
    seed: int = 0
    df: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return self._asdict()


class Part(NamedTuple):
    """The variance of a number by one kind of thing that was sampled."""

    variance: float
    df: int


def of_mean(values: Sequence[float] | np.ndarray) -> Estimate:
    """The mean over images; NaN marks images without a value. Answers of 0 and 1 make a rate.

    AsyrpError where fewer than two images have a value.
    """
    known = np.asarray(values, np.float64).ravel()
    known = known[~np.isnan(known)]
    check_count(len(known))
    mean = float(known.mean())
    if is_answers(known):
        return Estimate(mean, *wilson(mean, len(known)), len(known))
    return around(mean, [part_of((known - mean) / len(known))], len(known))


def of_difference(a: np.ndarray, b: np.ndarray, share: float = 1.0) -> Estimate:
    """The mean of a - share * b over the same images.

    Where both are answers, each side gets an image more (Bonett and Price 2012): images that all
    agree leave a difference possible.
    """
    values = np.asarray(a, np.float64) - share * np.asarray(b, np.float64)
    values = values[~np.isnan(values)]
    check_count(len(values))
    mean = float(values.mean())
    if not (is_answers(a) and is_answers(b)):
        return around(mean, [part_of((values - mean) / len(values))], len(values))
    more = np.append(values, (1.0, -share))
    half = Z * float(more.std()) / len(more) ** 0.5
    low, high = max(-share, float(more.mean()) - half), min(1.0, float(more.mean()) + half)
    return Estimate(mean, low, high, len(values))


def of_runs(values: np.ndarray, seed: int = 0) -> Estimate:
    """The mean over runs (other seeds, trainings) and images, both of which vary: few runs, wide.

    values: (runs, n); NaN marks images without a value.
    """
    if len(values) == 1:
        return of_mean(values[0])._replace(seed=seed)
    known = values[:, ~np.isnan(values).all(0)]
    runs, images = known.shape
    check_count(images)
    mean, of_run, of_image = np.nanmean(known), np.nanmean(known, 1), np.nanmean(known, 0)
    parts = [part_of((of_run - mean) / runs), part_of((of_image - mean) / images)]
    found = around(float(mean), parts, images, known.size * is_answers(known))
    return found._replace(seed=seed)


def of_strata(
    values: Sequence[np.ndarray],
    owners: Sequence[Sequence[int]],
    against: Sequence[np.ndarray] | None = None,
    more: Sequence[Part] = (),
) -> Estimate:
    """The mean over strata of their means, where one image may stand in several strata.

    Args:
        values: of each stratum, (n,); NaN is left out. owners: the image of every value.
        against: values to be subtracted, image by image. more: variance by other things.
    """
    known, images = [np.asarray(row, np.float64) for row in values], [np.asarray(o) for o in owners]
    yes = all(is_answers(row) for row in (*known, *(against or ())))
    if against is not None:
        known = [row - other for row, other in zip(known, against, strict=True)]
    ids = np.unique(np.concatenate(images))
    check_count(len(ids))
    moves, value = np.zeros(len(ids)), float(np.mean([np.nanmean(row) for row in known]))
    for row, own in zip(known, images, strict=True):
        shares = (row - np.nanmean(row)) / (~np.isnan(row)).sum() / len(known)
        np.add.at(moves, np.searchsorted(ids, own), np.nan_to_num(shares))
    count = sum(int((~np.isnan(row)).sum()) for row in known)
    if against is not None and yes:  # as `of_difference` does
        moves = np.append(moves, (1 / count, -1 / count))
        yes = False
    return around(value, [part_of(moves), *more], len(ids), count * yes)


def of_means(means: Sequence[Estimate]) -> Estimate:
    """The mean of means over the same images, as wide as if all of them moved together."""
    value, low, high = (float(np.mean(ends)) for ends in zip(*(m[:3] for m in means), strict=True))
    return Estimate(value, low, high, means[0].images, means[0].seed)


def of_pairs(values: np.ndarray, pairs: np.ndarray, count: int) -> Estimate:
    """The mean of a value of pairs of images, some of which share an image (Aronow et al. 2015).

    values: (p,). pairs: (p, 2) rows of images. count: number of images.
    """
    check_count(count)
    rest, moves = (values - values.mean()) / len(values), np.zeros(count)
    np.add.at(moves, pairs.ravel(), np.repeat(rest, 2))
    together = max((moves**2).sum() - (rest**2).sum(), (rest**2).sum() / 2)
    shared = 4 * len(pairs) / count - 1
    part = Part(float(together) * len(pairs) / max(1.0, len(pairs) - shared), count - 1)
    return around(float(values.mean()), [part], count)


def of_statistic(
    statistic: Callable[..., float], counts: int | Sequence[int], seed: int = 0, draws: int = DRAWS
) -> Estimate:
    """A statistic of rows of images, and of further things that were sampled, by resampling.

    Each kind is resampled (with replacement, Efron 1979) while the others stay; the variances add
    up, and few runs count as few. The interval lies around the estimate: repeated images push a
    Frechet distance up, which would be reported as if it were spread. Draws in which the statistic
    is NaN are left out.

    Args:
        statistic: of one array of rows a kind. counts: how many of each, the images first.

    Raises:
        AsyrpError: it has a value in fewer than two draws.
    """
    every = [np.arange(count) for count in ([counts] if isinstance(counts, int) else counts)]
    parts = []
    for place, kind in enumerate(every):
        drawn = np.array(
            [
                statistic(*every[:place], rows, *every[place + 1 :])
                for rows in resamples(len(kind), seed, draws)
            ]
        )
        drawn = drawn[~np.isnan(drawn)]
        if len(drawn) < 2:
            raise AsyrpError(
                f"an interval needs a statistic that most resamples of {len(kind)} images have; "
                f"{len(drawn)} of {draws} have it; take more images"
            )
        parts.append(Part(float(drawn.var(ddof=1)) * len(kind) / (len(kind) - 1), len(kind) - 1))
    return around(float(statistic(*every)), parts, len(every[0]))._replace(seed=seed)


def wilson(rate: float, count: float) -> tuple[float, float]:
    """The interval of a rate in [0, 1] among so many independent images (Wilson 1927)."""
    spread = Z**2 / count
    half = Z * (rate * (1 - rate) / count + spread / (4 * count)) ** 0.5
    low, high = (rate + spread / 2 - half) / (1 + spread), (rate + spread / 2 + half) / (1 + spread)
    return max(0.0, min(low, rate)), min(1.0, max(high, rate))


def is_answers(values: np.ndarray) -> bool:
    """Whether all values are 0 or 1 (or NaN), as answers of yes or no are."""
    row = np.asarray(values, np.float64)
    return bool(((row == 0) | (row == 1) | np.isnan(row)).all())


def resamples(count: int, seed: int, draws: int) -> np.ndarray:
    """Rows drawn with replacement, (draws, count); AsyrpError for fewer than two images."""
    check_count(count)
    return np.random.default_rng([seed, count]).integers(count, size=(draws, count))


def check_count(count: int) -> None:
    """Raise AsyrpError for fewer than two images."""
    if count < 2:
        raise AsyrpError(f"an interval over images needs at least 2 of them; got {count}")


def part_of(moves: np.ndarray) -> Part:
    """The variance of an estimate whose every member moves it by so much (from its mean)."""
    count = len(moves)
    return Part(float((moves**2).sum()) * count / (count - 1), count - 1)


def around(value: float, parts: Sequence[Part], images: int, answers: int = 0) -> Estimate:
    """The t interval; for a rate of so many answers Wilson's at their effective number.

    (Korn and Graubard 1998: repeated images make answers count for less.)
    """
    variance = sum(part.variance for part in parts)
    by_part = sum(part.variance**2 / part.df for part in parts)
    df = variance**2 / by_part if by_part > 0 else float(images - 1)
    wide = float(special.stdtrit(df, TAIL))
    if answers:
        count = min(value * (1 - value) / variance + 1, answers) if variance > 0 else images
        return Estimate(value, *wilson(value, count * (Z / wide) ** 2), images, df=df)
    half = wide * float(np.sqrt(variance))
    return Estimate(value, value - half, value + half, images, df=df)
