"""Where in an image an edit shows: outside of a polygon P_t is left unedited at every step.

An option of ours, for what changes along: glasses need no other hair. What lies outside follows a
little, since the network sees the edited part at the next step. On aligned images one polygon
serves all of them.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.method.hspace import HSpaceUNet
from asyrp.settings import Region, checked_region

FINE = 8  # points a side and pixel at which a polygon is looked at
SOFT = 0.025  # standard deviation of the edge, as a share of the shorter side


def confined(edited: Tensor, source: Tensor, regions: Sequence[Region]) -> Tensor:
    """eps for P_t, unedited outside of all of the regions, (b, c, height, width).

    P_t is linear in eps, so that mixing the two mixes P_t.

    Args:
        edited, source: eps with and without the edit.
        regions: of each direction that acts; one without a region frees all, as does none at all.
    """
    if not regions or not all(regions):
        return edited
    height, width = edited.shape[-2:]
    masks = [soft_mask(region, (height, width), edited.device) for region in regions]
    return source + torch.stack(masks).amax(0).to(edited.dtype) * (edited - source)


def check_covers(region: Region, model: HSpaceUNet) -> None:
    """Raise AsyrpError where a region has no area on a network's x; () is everywhere."""
    if region:
        polygon_mask(region, model.image_shape[1:])


@lru_cache
def soft_mask(region: Region, size: tuple[int, int], device: torch.device) -> Tensor:
    """(height, width) in [0, 1]: a region with a soft edge; kept where it is needed."""
    sigma = SOFT * min(size)
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    mask = functional.pad(polygon_mask(region, size)[None, None], [reach] * 4, "replicate")
    return functional.conv2d(functional.conv2d(mask, kernel), kernel.mT)[0, 0].to(device)


def polygon_mask(corners: Sequence[float], size: tuple[int, int]) -> Tensor:
    """The share of each pixel that lies in a polygon, (height, width) in [0, 1].

    Raises:
        AsyrpError: corners outside of the image, or no area.
    """
    region, (height, width) = checked_region(corners), size
    points = list(zip(region[::2], region[1::2], strict=True))
    x = ((torch.arange(width * FINE) + 0.5) / (width * FINE))[None]
    y = ((torch.arange(height * FINE) + 0.5) / (height * FINE))[:, None]
    inside = torch.zeros(height * FINE, width * FINE, dtype=torch.bool)
    for (x1, y1), (x2, y2) in pairwise([*points, points[0]]):
        if y1 != y2:  # crossed by the way from a point to the right
            inside ^= ((y1 <= y) != (y2 <= y)) & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    if not inside.any():
        raise AsyrpError("the polygon covers nothing of the image; name another part")
    return functional.avg_pool2d(inside.float()[None], FINE)[0]
