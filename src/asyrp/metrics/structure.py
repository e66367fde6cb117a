"""SC, segmentation consistency: mean IoU of the masks of source and edit (DiffusionCLIP, 2022)."""

from typing import Protocol

import numpy as np
from torch import Tensor

from asyrp.errors import AsyrpError


class Segmenting(Protocol):
    """A network that names the part at every pixel."""

    @property
    def name(self) -> str:
        """What a table records."""

    def masks(self, images: Tensor) -> np.ndarray:
        """(n, 3, height, width) in [-1, 1] -> (n, height, width) integers."""


def mean_iou(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Mean intersection over union of the parts that either mask has, (n,) in [0, 1].

    A part that only one of the two masks has counts as 0: texture may change, structure not.
    before, after: (n, height, width) integers, the part of each pixel; AsyrpError for two shapes.
    """
    if before.shape != after.shape or before.ndim != 3:
        raise AsyrpError(
            "segmentation consistency needs two stacks of masks (n, height, width) of one shape; "
            f"got {before.shape} and {after.shape}"
        )
    parts = np.union1d(before, after)
    ious = np.full((len(parts), len(before)), np.nan)
    for row, part in enumerate(parts):
        a, b = before == part, after == part
        union = (a | b).sum((1, 2))
        inside = (a & b).sum((1, 2))
        ious[row, union > 0] = inside[union > 0] / union[union > 0]
    means: np.ndarray = np.nanmean(ious, axis=0)
    return means
