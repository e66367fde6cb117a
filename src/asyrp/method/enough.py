"""As much of an edit as each image needs: the least strength at which the guide sees its text.

One strength for all is too much for most images and too little for some; what is too much changes
other things.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from asyrp.method.text_direction import TextDirection

FACTORS = (0.5, 0.75, 1.0, 1.25, 1.5)  # on the strength that suffices most images
Made = Callable[[Tensor, float], Tensor]
"""(rows, factor) -> those images edited, (rows, c, height, width)."""


def reading(guide: TextDirection, images: Tensor) -> Tensor:
    """E(x) . dT of each image, (b,), in [-1, 1]: how much of the target text it shows."""
    read: Tensor = guide.encoder.image_features(images.float()) @ guide.direction
    return read


@torch.no_grad()
def edit_enough(
    made: Made, guide: TextDirection, least: float, count: int, factors: Sequence[float] = FACTORS
) -> tuple[Tensor, list[float]]:
    """Edits, each at the first factor where its `reading` is `least`, else at the last.

    Args:
        count: of the images. factors: upwards; only images that are not there yet are made again.

    Returns:
        edits (count, c, height, width), and the factor of each.
    """
    left, found, taken = torch.arange(count), {}, {}
    for factor in factors:
        edits = made(left, factor)
        there = (reading(guide, edits) >= least).cpu() | (factor == factors[-1])
        for row, image in zip(left[there].tolist(), edits[there.to(edits.device)], strict=True):
            found[row], taken[row] = image, factor
        left = left[~there]
        if not len(left):
            break
    return torch.stack([found[row] for row in range(count)]), [taken[row] for row in range(count)]


def first_enough(readings: Tensor, least: float) -> Tensor:
    """The place of the first factor where each image's reading is `least`, else the last, (n,).

    readings: (factors, n).
    """
    there = readings >= least
    there[-1] = True
    return there.int().argmax(0)
