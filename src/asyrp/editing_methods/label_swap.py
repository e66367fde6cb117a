"""DDIM inversion with a swapped label or caption, for networks that take one (Song et al. 2021)."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

from torch import Tensor

from asyrp.domains.base import Conditioner, Domain, Task
from asyrp.domains.inverted_images import Generators, InvertedImages, batched
from asyrp.editing_methods.base import Editor, Inputs, Setting
from asyrp.method.cost import Cost
from asyrp.method.ddim import Step, generate, invert_steps
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, below, paper_grid

BEGINS: tuple[Setting, ...] = tuple({"begin": share} for share in (0.25, 0.5, 0.75, 1.0))


def swap_condition(
    source: HSpaceUNet, target: HSpaceUNet, images: Tensor, grid: Sequence[Pair]
) -> Iterator[Step]:
    """Invert under one condition and walk back under another: one network with each of two fixed.

    Args:
        images: x at t = CLEAN. grid: the pairs from where the inversion ends.
    """
    *_, top = invert_steps(source, source.schedule, images, grid, "source", 1)
    yield from generate(target, target.schedule, top.x, grid)


def swapped(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """DDIM inversion under one condition and back under the other, from several heights."""
    source, target = domain.model, cast(Conditioner, domain).conditioned(task)

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        length = source.schedule.length
        whole = paper_grid(images.steps, length)
        under = len(below(whole, math.ceil(setting["begin"] * (length - 1))))
        grid = whole[-max(2, under) :]

        def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
            *_, last = swap_condition(source, target, images.images[rows], grid)
            return last.x

        return batched(images, editing)

    return Editor(edit, BEGINS, 0, Cost())
