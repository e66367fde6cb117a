"""Exact inversion by a linear relation among three neighbouring x, which can be read both ways.

Let p > t > s be neighbours of the grid, and let DDIM(x_t -> r) be the DDIM step from x_t to any
level r with eps(x_t, t). Both two-step methods say

    x_s - DDIM(x_t -> s) = w (x_p - DDIM(x_t -> p))

and differ in the weight w alone (`belm`, `bdia`). Downward it gives x_s from (x_p, x_t), upward x_p
from (x_s, x_t), with one network call that both directions make of the same x_t: nothing is lost
but rounding. A latent is (x at the top, x one step below it).

With an edit, P_t is DDIM's and D_t all the rest of x_s (`state.Predicted.move`). An edit shifts
the trajectory of x / sqrt(abar) for good, so the x_t that the next step remembers shifts with it:
remembered as it was, the next step would take a part of the edit back.
"""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from asyrp.method.asymmetric_process import ReverseStep
from asyrp.method.ddim import InversionStep, NoisePredictor, step_up
from asyrp.method.inversion.state import Walk, packed, signal, widened
from asyrp.method.schedule import CLEAN, NoiseSchedule, Pair, times

Weight = Callable[[NoiseSchedule, int, int, int], float]
"""(schedule, p, t, s) -> w."""


def raised(
    weight: Weight,
    model: NoisePredictor,
    schedule: NoiseSchedule,
    x0: Tensor,
    grid: Sequence[Pair],
) -> Iterator[InversionStep]:
    """Walk from images (b, c, height, width) up a grid; each x is the latent there, (b, 2c, ...).

    n + 1 network calls for n pairs: x at the lowest timestep takes two, DDIM's step and one
    refinement, so that it and the image lie on one trajectory; what they do not is amplified.
    """
    levels, x0 = (CLEAN, *times(grid)), widened(x0)
    first = levels[1]
    x = step_up(x0, model(x0, first), schedule, CLEAN, first)
    x = step_up(x0, model(x, first), schedule, CLEAN, first)
    below = x0
    yield InversionStep(CLEAN, first, packed(x, below))
    for s, t, p in zip(levels, levels[1:], levels[2:], strict=False):
        eps = model(x, t)
        rest = below - step_up(x, eps, schedule, t, s)
        x, below = step_up(x, eps, schedule, t, p) + rest / weight(schedule, p, t, s), x
        yield InversionStep(t, p, packed(x, below))


def reverse(
    weight: Weight, walk: Walk, parts: tuple[Tensor, ...], grid: Sequence[Pair]
) -> Iterator[ReverseStep]:
    """Down from a latent of `raised`, one network call a step."""
    x, following = map(widened, parts)
    schedule, above = walk.model.schedule, None
    for t, s in grid:
        found = walk.predicted(x, t)
        if above is not None:
            following = step_up(x, found.eps, schedule, t, s)
            rest = above[1] - step_up(x, found.eps, schedule, t, above[0])
            following = following + weight(schedule, above[0], t, s) * rest
        x_s = following + signal(schedule, s) * found.move
        yield ReverseStep(t, s, x_s, found.x0, found.x0_source, found.edited)
        above = t, (x + signal(schedule, t) * found.move).detach()
        x = x_s.detach()
