"""When the directions of a training edit and boost."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

from asyrp.commands.common import say
from asyrp.commands.intervals import describe
from asyrp.finders.prepare import EDIT_STEPS, Pictures, curves_of
from asyrp.method.editing_interval import EditInterval, Found, Given, find_intervals
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance
from asyrp.method.text_direction import TextDirection
from asyrp.options import Train
from asyrp.runtime.distributed import assemble

MOST_MEASURED = 16  # images for the LPIPS curves; more move the intervals by less than a step


class Timed(NamedTuple):
    """The phases of every target, all with one t_start, and what the curves say of each."""

    phases: tuple[EditInterval, ...]
    found: tuple[Found | None, ...]


def phases_of(
    model: HSpaceUNet,
    guides: Sequence[TextDirection],
    measured: Pictures,
    options: Train,
    distance: PerceptualDistance | None,
) -> Timed:
    """The timesteps asked for, and the rest from the LPIPS curves of images at T.

    distance: of the curves; None where all timesteps were asked for.
    """
    given = Given(options.t_start, options.t_edit, options.t_boost)
    if distance is None:
        told = EditInterval(*cast(tuple[int, int, int], given))
        return Timed((told,) * len(guides), (None,) * len(guides))
    few = measured[:MOST_MEASURED]
    how = (EDIT_STEPS, options.network.at_once, options.inversion)
    curves = curves_of(model, few.images, few.latents, distance, *how)
    found = [find_intervals(curves, guide.cosine, distance.thresholds, given) for guide in guides]
    for guide, one in zip(guides, found, strict=True):
        say(describe(one, guide.cosine))
    each = [one.interval for one in found]
    start = max(one.t_start for one in each)  # all begin at once, to be learnt side by side
    together = [replace(one, t_start=start) for one in each]
    first = assemble(options.network.device).same(together)  # other machines may round apart
    return Timed(tuple(first), tuple(found))
