"""`asyrp edit` where a direction's card says how much of its text an image has to show."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.commands.common import Applied
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import Report
from asyrp.method.enough import edit_enough
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.options import Edit
from asyrp.scorers.load import encoder_for


class Enough(NamedTuple):
    """What an image has to show, and the factor on the strength that each image took."""

    guide: TextDirection
    least: float
    taken: list[float]

    def __call__(
        self,
        walk: Callable[[int, list[Attribute]], Tensor],
        acting: list[Attribute],
        count: int,
        report: Report,
    ) -> Tensor:
        """Edits of images one by one, (count, c, height, width).

        walk: (place of an image, attributes) -> its edit, (1, c, height, width).
        """

        def one(row: int) -> Tensor:
            def at(factor: float) -> Tensor:
                return walk(row, [replace(a, strength=a.strength * factor) for a in acting])

            image, factor = edit_enough(at, self.guide, self.least)
            self.taken.append(factor)
            report(row + 1, count)
            return image

        return torch.cat([one(row) for row in range(count)])


def enough_of(model: HSpaceUNet, chosen: Applied, options: Edit) -> Enough | None:
    """For one direction at the strength of its card; None where that is not asked for.

    Raises:
        AsyrpError: the encoder of the card is not there.
    """
    if len(chosen.saved) != 1 or options.strengths or not options.enough:
        return None
    card = chosen.saved[0].card
    if card.enough is None or chosen.attributes[0].strength != card.strength:
        return None
    try:
        encoder = encoder_for(model, card.encoder)
    except AsyrpError as error:
        raise AsyrpError(f"{error}; or edit without it: --no-enough") from error
    return Enough(new_text_direction(encoder, card.source, card.target), card.enough, [])
