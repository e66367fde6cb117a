"""The strength that `--strength 1` stands for, chosen on held-out images by the guide alone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.directions import Direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, full_length
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import UneditedTrajectory
from asyrp.runtime.batching import in_batches
from asyrp.settings import Region

STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
BATCH = 16  # images that are walked at a time
SHARE = 0.9  # of the most progress of any strength; a larger share changes more of the rest


@torch.no_grad()
def response(
    model: HSpaceUNet,
    direction: Direction,
    strength: float,
    guide: TextDirection,
    sources: UneditedTrajectory,
    grid: Sequence[Pair],
    batch_size: int = BATCH,
    region: Region = (),
) -> float:
    """Progress towards the text: the mean of (E(edited) - E(source)) . dT, in [-2, 2].

    Of P_t at the end of the editing interval.
    """
    steps = full_length(grid)
    act = Attribute(direction, grid[-1].t, strength, trained_steps=steps, region=region)

    def made(rows: slice) -> Tensor:
        *_, last = reverse_process(model, sources.latents[rows], grid, [act])
        moved = guide.encoder.image_features(last.x0.float()) - sources.features[-1, rows]
        return moved @ guide.direction

    return torch.cat(list(in_batches(sources.images, batch_size, made))).mean().item()


def saturating(
    model: HSpaceUNet,
    direction: Direction,
    guide: TextDirection,
    sources: UneditedTrajectory,
    grid: Sequence[Pair],
    batch_size: int = BATCH,
    region: Region = (),
) -> float:
    """The strength at which images no longer respond."""
    parts = (guide, sources, grid, batch_size, region)
    return saturation(STRENGTHS, [response(model, direction, s, *parts) for s in STRENGTHS])


def saturation(
    strengths: Sequence[float], progress: Sequence[float], share: float = SHARE
) -> float:
    """The smallest strength that makes `share` of the most progress, on a line between two.

    Progress towards the text saturates once most images show it; whatever strength is added then
    changes other things. 1 where no strength makes any progress.
    """
    enough = share * max(progress)
    if enough <= 0:
        return 1.0
    after = next(i for i, value in enumerate(progress) if value >= enough)
    if after == 0:
        return strengths[0]
    low, high = progress[after - 1], progress[after]
    part = (enough - low) / (high - low)
    return round(strengths[after - 1] + part * (strengths[after] - strengths[after - 1]), 2)
