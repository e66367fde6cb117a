"""A second-order walk for few steps: the P/D split of Asyrp carried over to DPM-Solver++(2M)."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from asyrp.process import Attribute, Shift, WalkStep, asymmetric, check_phases, walk
from asyrp.schedule import CLEAN, NoiseSchedule, Pair
from asyrp.unet import HSpaceUNet


def walk_second_order(
    model: HSpaceUNet,
    x: Tensor,
    grid: Sequence[Pair],
    attributes: Sequence[Attribute] = (),
    t_boost: int = 0,
    generators: Sequence[torch.Generator] = (),
    shift: Shift = asymmetric,
) -> Iterator[WalkStep]:
    """`process.walk` with one more term a step, which costs no network call.

    DPM-Solver++(2M) (Lu et al. 2022, algorithm 2) is the DDIM step plus
    sqrt(abar_s) (1 - exp(-h)) / (2 r) (P_t - P_u), where u is the timestep before t, h and r h the
    steps in log-SNR/2. An edit reaches P_t as in DDIM; the difference is taken of the unedited
    P_t and P_u, which an editing interval that begins or ends does not break. The first step, the
    last and those with noise are DDIM's.
    """
    check_phases([a.t_edit for a in attributes], t_boost)
    acting = [replace(a, strength=a.strength / len(grid)) for a in attributes]
    before: WalkStep | None = None
    for pair in grid:
        (done,) = walk(model, x, (pair,), acting, t_boost, generators, shift)
        if before is not None and pair.s != CLEAN and pair.t >= t_boost:
            weight = correction(model.schedule, before.t, pair)
            done = done._replace(x=done.x + weight * (done.x0_source - before.x0_source))
        yield done
        before, x = done, done.x.detach()


def correction(schedule: NoiseSchedule, before: int, pair: Pair) -> float:
    """The factor of P_t - P_u, with u = `before`."""
    levels = [_half_log_snr(schedule, t) for t in (before, pair.t, pair.s)]
    last, step = (b - a for a, b in pairwise(levels))
    signal = math.sqrt(schedule.alpha_bar(pair.s))
    return signal * -math.expm1(-step) * step / (2 * last)


def _half_log_snr(schedule: NoiseSchedule, t: int) -> float:
    alpha_bar = schedule.alpha_bar(t)
    return 0.5 * math.log(alpha_bar / (1 - alpha_bar))
