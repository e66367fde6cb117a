"""FID and KID of two sets of images, on features of a chosen network."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.reporting.statistics import Estimate, of_statistic

LEAST_FID, LEAST_KID = 16, 4
FID_DRAWS, KID_DRAWS = 100, 200


def fid_of(real: Tensor, other: Tensor) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^1/2) of features (n, d) and (n', d) (Heusel et al. 2017).

    With S = A^T A of the centred rows A / sqrt(n - 1), tr (S S')^1/2 is the sum of the singular
    values of A A'^T, (n, n'): the same number, without a root of (d, d).
    """
    means = [one.double().mean(0) for one in (real, other)]
    a, b = (
        (one.double() - mean) / (len(one) - 1) ** 0.5
        for one, mean in zip((real, other), means, strict=True)
    )
    apart = (means[0] - means[1]).square().sum() + a.square().sum() + b.square().sum()
    return float(apart - 2 * torch.linalg.svdvals(a @ b.T).sum())


def kid_of(real: Tensor, other: Tensor) -> float:
    """The unbiased squared MMD with KID's cubic kernel, of features (n, d) and (m, d).

    (Binkowski et al. 2018.)
    """

    def alike(a: Tensor, b: Tensor) -> Tensor:
        return (a.double() @ b.double().T / a.shape[1] + 1) ** 3

    def within(a: Tensor) -> Tensor:
        every = alike(a, a)
        return (every.sum() - every.trace()) / (len(a) * (len(a) - 1))

    return float(within(real) + within(other) - 2 * alike(real, other).mean())


def fid(
    reference: Tensor, edits: Tensor, paired: bool = True, seed: int = 0, draws: int = FID_DRAWS
) -> Estimate:
    """FID with its interval over images.

    Values compare only between sets of one size: with fewer images than features the distance is
    biased upwards, by an amount that depends on their number.

    Args:
        reference: features (n, d). edits: (n, d), or (runs, n, d), whose mean over runs is taken.
        paired: row i of both comes from the same source; else the two may differ in number.
    """
    check(reference, edits, "FID", LEAST_FID, paired)
    return _resampled(fid_of, reference, edits, paired, seed, draws)


def kid(
    reference: Tensor, edits: Tensor, paired: bool = True, seed: int = 0, draws: int = KID_DRAWS
) -> Estimate:
    """KID (unbiased, so it may be negative) with its interval over images; as `fid` else."""
    check(reference, edits, "KID", LEAST_KID, paired)
    return _resampled(kid_of, reference, edits, paired, seed, draws)


def check(reference: Tensor, edits: Tensor, name: str, least: int, paired: bool = True) -> None:
    """Raise AsyrpError unless both sets have enough images, and one shape where they are pairs."""
    fits = reference.shape[-1:] == edits.shape[-1:] and reference.ndim == 2
    if not fits or (paired and reference.shape != edits.shape[-2:]):
        raise AsyrpError(
            f"{name} needs two sets of features (n, d) of one size; got {tuple(reference.shape)} "
            f"and {tuple(edits.shape)}; give as many edits as sources"
        )
    if (fewest := min(len(reference), edits.shape[-2])) < least:
        raise AsyrpError(
            f"{name} needs at least {least} images; got {fewest}; give more, or leave it out"
        )


def _resampled(
    distance: Callable[[Tensor, Tensor], float],
    reference: Tensor,
    edits: Tensor,
    paired: bool,
    seed: int,
    draws: int,
) -> Estimate:
    runs = edits[None] if edits.ndim == 2 else edits

    def statistic(rows: np.ndarray, of_reference: np.ndarray | None = None) -> float:
        chosen = torch.as_tensor(rows)
        shown = reference[chosen if of_reference is None else torch.as_tensor(of_reference)]
        return float(np.mean([distance(shown, run[chosen]) for run in runs]))

    counts = (runs.shape[1],) if paired else (runs.shape[1], len(reference))
    return of_statistic(statistic, counts, seed, draws)
