"""The strength that `--strength 1` stands for, chosen on held-out images by the guide alone."""

from collections.abc import Callable, Sequence

import torch

from asyrp.directions import Direction
from asyrp.guide import Guide
from asyrp.process import Attribute, walk
from asyrp.schedule import Pair
from asyrp.sources import Sources
from asyrp.unet import HSpaceUNet

STRENGTHS = tuple(0.5 + 0.25 * i for i in range(11))  # 0.5 to 3
SHARE = 0.93  # of the progress at the largest strength; docs/training.md says what was tried


@torch.no_grad()
def response(
    model: HSpaceUNet,
    direction: Direction,
    strength: float,
    guide: Guide,
    sources: Sources,
    grid: Sequence[Pair],
) -> float:
    """Progress towards the text: the mean of (E(edited) - E(source)) . dT, in [-2, 2].

    Of P_t at the end of the editing interval.
    """
    act = Attribute(direction, grid[-1].t, strength, trained_steps=len(grid))
    *_, last = walk(model, sources.latents, grid, [act])
    moved = guide.encoder.image_features(last.x0.float()) - sources.features[-1]
    return (moved @ guide.direction).mean().item()


def saturation(progress_at: Callable[[float], float], share: float = SHARE) -> float:
    """The smallest of STRENGTHS that makes `share` of the largest one's progress.

    Progress towards the text saturates once most images show it; whatever strength is added then
    changes other things. Progress is taken to rise with strength, so bisection finds the place.
    """
    enough = share * progress_at(STRENGTHS[-1])
    low, high = 0, len(STRENGTHS) - 1
    while low < high:
        middle = (low + high) // 2
        if progress_at(STRENGTHS[middle]) >= enough:
            high = middle
        else:
            low = middle + 1
    return STRENGTHS[low]
