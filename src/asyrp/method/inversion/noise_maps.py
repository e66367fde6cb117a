"""Edit-friendly DDPM noise maps (Huberman-Spiegelglas et al., CVPR 2024), with an asymmetric edit.

Every x_t is drawn from the image by itself, x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) n_t with n_t
independent of each other, unlike those of the diffusion process itself. The map of a step is what
its stochastic DDIM step (eta = 1, which is DDPM) has to add to reach x_s:

    z_t = x_s - sqrt(abar_s) P_t(x_t) - D_t(x_t),   D_t = sqrt(1 - abar_s - sigma_t^2) eps(x_t, t)

(the paper's z_t times sigma_t: the last step, where sigma is 0, then has a map like the others, and
leads to the image exactly). A latent is (x at the top, the map of every step from there down).

With an edit, P_t alone sees the direction; D_t and the maps are what they were. One network call a
step, up and down.
"""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from asyrp.method.asymmetric_process import ReverseStep
from asyrp.method.ddim import (
    InversionStep,
    NoisePredictor,
    draw_noise,
    predict_x0,
    seeded_generators,
    sigma,
)
from asyrp.method.inversion.state import Walk, packed, retraced, signal
from asyrp.method.schedule import NoiseSchedule, Pair


def raised(
    model: NoisePredictor, schedule: NoiseSchedule, x0: Tensor, grid: Sequence[Pair], seed: int = 0
) -> Iterator[InversionStep]:
    """Draw x_t up a grid; the last x is the latent, (b, (1 + n) c, height, width) for n pairs.

    seed: of n_t, which all images share; each is edited by itself, and none depends on its batch.
    """
    (generator,) = seeded_generators(1, seed)
    below, maps = x0, list[Tensor]()
    for t, s in reversed(grid):
        (n,) = draw_noise(x0[:1], [generator])
        x = signal(schedule, t) * x0 + math.sqrt(1 - schedule.alpha_bar(t)) * n
        eps = model(x, t)
        x0_t = predict_x0(x, eps, schedule.alpha_bar(t))
        maps.insert(0, below - signal(schedule, s) * x0_t - _rest(schedule, t, s) * eps)
        below = x
        last = t == grid[0].t
        yield InversionStep(s, t, packed(x, *maps) if last else x)


@retraced
def reverse(walk: Walk, parts: tuple[Tensor, ...], grid: Sequence[Pair]) -> Iterator[ReverseStep]:
    """Down with the maps of a latent of `raised` for its noise."""
    schedule = walk.model.schedule
    x, *maps = parts
    for (t, s), z in zip(grid, maps, strict=False):
        found = walk.predicted(x, t)
        mean = signal(schedule, s) * found.x0 + _rest(schedule, t, s) * found.eps
        x = mean + z
        yield ReverseStep(t, s, x, found.x0, found.x0_source, found.edited)
        x = x.detach()


def _rest(schedule: NoiseSchedule, t: int, s: int) -> float:
    """sqrt(1 - abar_s - sigma_t^2), the factor of eps in D_t at eta = 1."""
    alpha_bar_s = schedule.alpha_bar(s)
    std = sigma(schedule.alpha_bar(t), alpha_bar_s, eta=1.0)
    return math.sqrt(max(0.0, 1 - alpha_bar_s - std**2))
