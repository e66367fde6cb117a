"""As much of an edit as an image needs: the least strength at which the guide sees its text.

One strength for all is too much for most images and too little for some; what is too much changes
other things.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from asyrp.method.text_direction import TextDirection

FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)  # on the strength that suffices most images


@torch.no_grad()
def reading(guide: TextDirection, images: Tensor) -> Tensor:
    """E(x) . dT of each image, (b,), in [-1, 1]: how much of the target text it shows."""
    read: Tensor = guide.encoder.image_features(images.float()) @ guide.direction
    return read


def edit_enough(
    edited: Callable[[float], Tensor],
    guide: TextDirection,
    enough: float,
    factors: Sequence[float] = FACTORS,
) -> tuple[Tensor, float]:
    """The edit of one image at the first factor where its `reading` is `enough`, else at the last.

    Args:
        edited: factor on the strength -> the edit, (1, c, height, width).
    """
    for factor in factors:
        image = edited(factor)
        if float(reading(guide, image)) >= enough:
            break
    return image, factor


def first_enough(readings: Tensor, enough: float) -> Tensor:
    """The place of the first factor where an image's reading is `enough`, else the last, (n,).

    readings: (factors, n).
    """
    there = readings >= enough
    there[-1] = True
    return there.int().argmax(0)
