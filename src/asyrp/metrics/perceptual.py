"""LPIPS to the source, and how different the results are from each other."""

import numpy as np
import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.protocols import PerceptualDistance
from asyrp.runtime.batching import by_batches

LEAST_DIVERSITY = 3  # images; two would be the same pair twice


@torch.no_grad()
def distances(
    distance: PerceptualDistance, a: Tensor, b: Tensor, batch_size: int = 16
) -> np.ndarray:
    """The distance of each pair of images, (n,); a, b: (n, 3, height, width) in [-1, 1]."""
    found = by_batches(lambda x, y: distance(x.float(), y.float()), batch_size, a, b)
    return found.cpu().double().numpy()


def neighbour_pairs(count: int) -> np.ndarray:
    """(count, 2): every image with the next one, the last with the first; AsyrpError for two."""
    if count < LEAST_DIVERSITY:
        raise AsyrpError(f"diversity needs at least {LEAST_DIVERSITY} images; got {count}")
    rows = np.arange(count)
    return np.stack([rows, np.roll(rows, -1)], 1)


def diversity(
    distance: PerceptualDistance, images: Tensor, pairs: np.ndarray, batch_size: int = 16
) -> np.ndarray:
    """The distance of each pair of images, (p,): low where all results look alike."""
    left, right = (images[torch.as_tensor(pairs[:, side])] for side in (0, 1))
    return distances(distance, left, right, batch_size)
