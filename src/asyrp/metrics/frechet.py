"""FID and KID of two sets of images: torchmetrics' arithmetic on features of a chosen network."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.errors import AsyrpError, need
from asyrp.reporting.statistics import Estimate, of_statistic

LEAST_FID, LEAST_KID = 16, 4
FID_DRAWS, KID_DRAWS = 100, 200


class _AsGiven(nn.Module):
    """Features that were computed before, where torchmetrics expects images."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The features themselves."""
        return features


def new_fid(num_features: int) -> Callable[[Tensor, Tensor], float]:
    """A function of two sets of features (n, d), (m, d): torchmetrics' Frechet distance."""
    need("torchmetrics", "evaluate")
    fid: Any = import_module("torchmetrics.image.fid").FrechetInceptionDistance(
        feature=_AsGiven(num_features), normalize=True
    )

    def distance(real: Tensor, other: Tensor) -> float:
        fid.reset()
        fid.update(real.double(), real=True)
        fid.update(other.double(), real=False)
        return float(fid.compute())

    return distance


def kid_of(real: Tensor, other: Tensor) -> float:
    """The unbiased squared MMD with KID's cubic kernel, of two sets of features of one size."""
    need("torchmetrics", "evaluate")
    mmd: Any = import_module("torchmetrics.image.kid").poly_mmd
    return float(mmd(real.double(), other.double()))


def fid(real: Tensor, other: Tensor, seed: int = 0, draws: int = FID_DRAWS) -> Estimate:
    """FID with its interval over images; rows of the two sets are drawn together.

    Values compare only between sets of one size: with fewer images than features the distance is
    biased upwards, by an amount that depends on their number.

    Args:
        real: features (n, d). other: (n, d), row i of both from the same source image; or
            (runs, n, d), whose mean over runs is taken.
    """
    check(real, other, "FID", LEAST_FID)
    return _resampled(new_fid(real.shape[1]), real, other, seed, draws)


def kid(real: Tensor, other: Tensor, seed: int = 0, draws: int = KID_DRAWS) -> Estimate:
    """KID (unbiased, so it may be negative) with its interval over images."""
    check(real, other, "KID", LEAST_KID)
    return _resampled(kid_of, real, other, seed, draws)


def check(real: Tensor, other: Tensor, name: str, least: int) -> None:
    """Raise AsyrpError unless both sets have one shape and enough images."""
    if real.ndim != 2 or real.shape != other.shape[-2:]:
        raise AsyrpError(
            f"{name} needs two sets of features (n, d) of one size; got {tuple(real.shape)} and "
            f"{tuple(other.shape)}; give as many edits as sources"
        )
    if len(real) < least:
        raise AsyrpError(
            f"{name} needs at least {least} images; got {len(real)}; give more, or leave it out"
        )


def _resampled(
    distance: Callable[[Tensor, Tensor], float], real: Tensor, other: Tensor, seed: int, draws: int
) -> Estimate:
    runs = other[None] if other.ndim == 2 else other

    def statistic(rows: np.ndarray) -> float:
        chosen = torch.as_tensor(rows)
        return float(np.mean([distance(real[chosen], run[chosen]) for run in runs]))

    return of_statistic(statistic, len(real), seed, draws)
