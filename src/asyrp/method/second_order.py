"""A second-order walk for few steps: the P/D split of Asyrp carried over to DPM-Solver++(2M)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from asyrp.method.asymmetric_process import (
    Attribute,
    ReverseStep,
    Shift,
    asymmetric,
    intervals_of,
    reverse_process,
)
from asyrp.method.ddim import second_order
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import CLEAN, Pair, Timesteps, full_length


def walk_second_order(
    model: HSpaceUNet,
    x: Tensor,
    grid: Sequence[Pair],
    attributes: Sequence[Attribute] = (),
    t_boost: int = 0,
    generators: Sequence[torch.Generator] = (),
    shift: Shift = asymmetric,
) -> Iterator[ReverseStep]:
    """`process.walk` with one more term a step, which costs no network call.

    DPM-Solver++(2M) is the DDIM step plus a multiple of P_t - P_u, where u is the timestep before t
    (`ddim.second_order`). An edit reaches P_t as in DDIM; the difference is taken of the unedited
    P_t and P_u, which an editing interval that begins or ends does not break. The first step, the
    last and those with noise are DDIM's.
    """
    intervals_of(attributes, t_boost)
    before: ReverseStep | None = None
    for pair in grid:
        one = Timesteps((pair,), full_length(grid))
        (done,) = reverse_process(model, x, one, attributes, t_boost, generators, shift)
        if before is not None and pair.s != CLEAN and pair.t >= t_boost:
            weight = second_order(model.schedule, before.t, pair.t, pair.s)
            done = done._replace(x=done.x + weight * (done.x0_source - before.x0_source))
        yield done
        before, x = done, done.x.detach()
