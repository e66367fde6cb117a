"""EDICT (Wallace et al., CVPR 2023): exact inversion by two coupled x, as in an affine coupling.

From t to s, with DDIM(x, eps) the DDIM step of x with a given eps and 0 < p < 1,

    x' = DDIM(x, eps(y, t))      y' = DDIM(y, eps(x', t))
    x_s = p x' + (1 - p) y'      y_s = p y' + (1 - p) x_s

(its mixed, coupled denoising). Each line uses only what is known before it and after it, so all
four are undone from the last to the first. Two network calls a step, and as many up. Mixing keeps
x and y together: x_s - y_s = p^2 (x' - y') on the way down; on the way up they part by 1 / p^2.

A latent is (x, y); both begin as the image. With an edit, either step has its own P_t, P_t(x) from
eps(y) and P_t(y) from eps(x'), and D_t is the rest of it; a direction acts on both calls, each of
which is one step of its own chain, so that S / S~ is what it is for DDIM.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from asyrp.method.asymmetric_process import ReverseStep
from asyrp.method.ddim import InversionStep, NoisePredictor, predict_x0, step_up
from asyrp.method.inversion.state import Walk, packed, retraced, signal, widened
from asyrp.method.schedule import NoiseSchedule, Pair

MIXING = 0.93  # p, the paper's


def raised(
    model: NoisePredictor, schedule: NoiseSchedule, x0: Tensor, grid: Sequence[Pair]
) -> Iterator[InversionStep]:
    """Walk from images (b, c, height, width) up a grid; each x is the latent there, (b, 2c, ...).

    Two network calls a pair.
    """
    x = y = widened(x0)
    for t, s in reversed(grid):
        y = (y - (1 - MIXING) * x) / MIXING
        x = (x - (1 - MIXING) * y) / MIXING
        y = step_up(y, model(x, t), schedule, s, t)
        x = step_up(x, model(y, t), schedule, s, t)
        yield InversionStep(s, t, packed(x, y))


@retraced
def reverse(walk: Walk, parts: tuple[Tensor, ...], grid: Sequence[Pair]) -> Iterator[ReverseStep]:
    """Down from a latent of `raised`, two network calls a step."""
    schedule = walk.model.schedule
    x, y = map(widened, parts)
    for t, s in grid:
        of_y = walk.predicted(y, t)
        source = predict_x0(x, of_y.eps, schedule.alpha_bar(t))
        x = step_up(x, of_y.eps, schedule, t, s) + signal(schedule, s) * of_y.move
        of_x = walk.predicted(x.detach(), t)
        y = step_up(y, of_x.eps, schedule, t, s) + signal(schedule, s) * of_x.move
        x = MIXING * x + (1 - MIXING) * y
        y = MIXING * y + (1 - MIXING) * x
        yield ReverseStep(t, s, x, source + of_y.move, source, of_y.edited)
        x, y = x.detach(), y.detach()
