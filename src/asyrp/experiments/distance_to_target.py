"""How far an edit moves pixels towards the drawn target: what a judge's yes or no leaves out."""

from typing import cast

import numpy as np
from torch import Tensor

from asyrp.domains.base import Domain, Renderer, Task
from asyrp.domains.inverted_images import InvertedImages
from asyrp.storage.images import to_uint8

LEAST = 24  # levels of 255 by which the target must differ in a pixel for it to count


def share_of_distance(source: np.ndarray, edit: np.ndarray, target: np.ndarray) -> float:
    """1 where the edit is the target, 0 where nothing moved towards it; NaN without a difference.

    The projection of edit - source on target - source, in the pixels where these two differ.

    Args:
        source, edit, target: (height, width, 3) in [0, 255].
    """
    wanted, shown = target - source, differing(source, target)
    if not shown.any():
        return float("nan")
    moved = (edit - source)[shown]
    return float((moved * wanted[shown]).sum() / (wanted[shown] ** 2).sum())


def differing(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The pixels in which the target is another than the source, (height, width) bool."""
    found: np.ndarray = np.abs(target - source).max(2) >= LEAST
    return found


def levels(images: Tensor) -> np.ndarray:
    """(n, 3, height, width) in [-1, 1] -> (n, height, width, 3) in 0, 1, ..., 255, float64."""
    return to_uint8(images).astype(np.float64)


def targets_of(domain: Domain, task: Task, images: InvertedImages) -> np.ndarray:
    """Every equally good target of every image, (targets, n, height, width, 3)."""
    drawn = cast(Renderer, domain).rendered_targets(images.clean, task)
    return np.stack([levels(one) for one in drawn])


def shares_of_distance(
    domain: Domain, task: Task, images: InvertedImages, edits: Tensor
) -> np.ndarray:
    """The share of each image, (n,): towards the target that it comes nearest to."""
    sources, shown = levels(images.images), levels(edits)
    rows = [
        [share_of_distance(*row) for row in zip(sources, shown, target, strict=True)]
        for target in targets_of(domain, task, images)
    ]
    found: np.ndarray = np.max(rows, axis=0)
    return found
