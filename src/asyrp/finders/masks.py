"""Where in an image: polygons, pictures and segmentation classes as soft masks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from asyrp.errors import AsyrpError
from asyrp.metrics.structure import Segmenting
from asyrp.storage.images import from_uint8, read_image

FINE = 8  # points a side and pixel at which a polygon is looked at


def polygon_mask(corners: Sequence[float], size: tuple[int, int]) -> Tensor:
    """The share of each pixel that lies in a polygon, (height, width) in [0, 1].

    corners: x y of each, 0 to 1 from the left and from the top; AsyrpError outside of that.
    """
    if not all(0 <= value <= 1 for value in corners):
        raise AsyrpError(f"the corners of a polygon lie in 0..1; got {tuple(corners)}")
    height, width = size
    picture = Image.new("RGB", (width * FINE, height * FINE))
    points = [
        (x * width * FINE, y * height * FINE)
        for x, y in zip(corners[::2], corners[1::2], strict=True)
    ]
    ImageDraw.Draw(picture).polygon(points, fill="white")
    return checked(_light(from_uint8(np.asarray(picture)[None])[0], size), "the polygon")


def picture_mask(path: Path, size: tuple[int, int]) -> Tensor:
    """How light a picture is at each pixel, (height, width) in [0, 1]; AsyrpError if black."""
    return checked(_light(read_image(path, size), size), f"the mask {str(path)!r}")


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


def _light(picture: Tensor, size: tuple[int, int]) -> Tensor:
    return fitted_to(picture.mean(0).add(1).div(2), size)
