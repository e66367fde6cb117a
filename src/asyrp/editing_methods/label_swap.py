"""DDIM inversion with a swapped label or caption, for networks that take one (Song et al. 2021)."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from asyrp.domains.base import Conditioner, Domain, Task
from asyrp.domains.inverted_images import Generators, InvertedImages, batched
from asyrp.editing_methods.base import Editor, Inputs, Setting
from asyrp.method.asymmetric_process import ReverseStep, reverse_process
from asyrp.method.cost import Cost
from asyrp.method.ddim import invert_steps
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, below, paper_grid

BEGINS: tuple[Setting, ...] = tuple({"begin": share} for share in (0.25, 0.5, 0.75, 1.0))


def swap_condition(
    source: HSpaceUNet,
    target: HSpaceUNet,
    images: Tensor,
    grid: Sequence[Pair],
    t_boost: int = 0,
    generators: Sequence[torch.Generator] = (),
) -> Iterator[ReverseStep]:
    """Invert under one condition and walk back under another: one network with each of two fixed.

    images: x at t = CLEAN. grid: the pairs from where the inversion ends.
    """
    *_, top = invert_steps(source, source.schedule, images, grid, "source", 1)
    yield from reverse_process(target, top.x, grid, (), t_boost, generators)


def swapped(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """DDIM inversion under one condition and back under the other, from several heights."""
    source, target = domain.model, cast(Conditioner, domain).conditioned(task)

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        length = source.schedule.length
        whole = paper_grid(images.steps, length)
        under = len(below(whole, math.ceil(setting["begin"] * (length - 1))))
        grid = whole[-max(2, under) :]

        def walk(_: Tensor, rows: slice, generators: Generators) -> Iterator[ReverseStep]:
            known = (images.images[rows], grid, inputs.interval.t_boost, generators)
            return swap_condition(source, target, *known)

        return batched(images, walk)

    return Editor(edit, BEGINS, 0, Cost())
