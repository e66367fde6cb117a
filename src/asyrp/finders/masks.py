"""Where in an image: polygons, pictures and segmentation classes as soft masks."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.metrics.structure import Segmenting
from asyrp.storage.images import read_image


def picture_mask(path: Path, size: tuple[int, int]) -> Tensor:
    """How light a picture is at each pixel, (height, width) in [0, 1]; AsyrpError if black."""
    light = fitted_to(read_image(path, size).mean(0).add(1).div(2), size)
    return checked(light, f"the mask {str(path)!r}")


def segment_mask(segmenting: Segmenting, pictures: Tensor, classes: Sequence[int]) -> Tensor:
    """The share of pictures (n, 3, height, width) that show one of the classes at each pixel.

    AsyrpError where none does.
    """
    parts = torch.as_tensor(segmenting.masks(pictures))
    shown = torch.isin(parts, torch.as_tensor(list(classes))).float().mean(0)
    return checked(shown, f"the classes {', '.join(map(str, classes))} of {segmenting.name}")


def fitted_to(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask at another resolution, by the mean of what a pixel covers."""
    return functional.adaptive_avg_pool2d(mask[None], size)[0]


def checked(mask: Tensor, what: str) -> Tensor:
    """The mask; AsyrpError where it is 0 everywhere."""
    if not mask.max() > 0:
        raise AsyrpError(f"{what} covers nothing of the image; name another part")
    return mask
