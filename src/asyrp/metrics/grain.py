"""Grain: the noise in the flat parts of a picture, by arithmetic alone."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MASK = ((1.0, -2.0, 1.0), (-2.0, 4.0, -2.0), (1.0, -2.0, 1.0))  # Immerkaer 1996
TO_SIGMA = 1 / (6 * 0.6745)  # the mask's norm is 6; the median of |N(0, 1)| is 0.6745


def grain(images: Tensor) -> np.ndarray:
    """Standard deviation of the noise of each picture, (n,), in units of its values.

    The mask answers to no plane and to no edge along an axis, and the median over the places
    (Donoho and Johnstone 1994) leaves out the few that lie on other edges: blur and smooth shading
    have none. Clipping to [-1, 1] makes it less. images: (n, c, height, width), 3 x 3 or more.
    """
    flat = images.detach().double().cpu().flatten(0, 1)[:, None]
    found = functional.conv2d(flat, torch.tensor(MASK, dtype=flat.dtype)[None, None]).abs()
    middles = found.flatten(1).median(1).values.unflatten(0, images.shape[:2])
    sigma: np.ndarray = (TO_SIGMA * middles.square().mean(1).sqrt()).numpy()
    return sigma
