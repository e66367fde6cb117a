"""Image guidance: SDEdit (Meng et al. 2022) and ILVR (Choi et al. 2021)."""

import math
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.nn import functional

from asyrp.domains.base import Domain, Renderer, Task
from asyrp.domains.inverted_images import InvertedImages, batched
from asyrp.editing_methods.base import Editor, Inputs, Setting
from asyrp.method.cost import Cost
from asyrp.method.ddim import Step, draw_noise, generate, noised, step
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, below
from asyrp.storage.images import from_uint8, to_uint8

BEGINS: tuple[Setting, ...] = tuple({"begin": b} for b in (0.125, 0.25, 0.5, 0.75))  # of t_start
FACTORS: tuple[Setting, ...] = tuple({"factor": f} for f in (1.0, 2.0, 4.0, 8.0))


def sdedit(
    model: HSpaceUNet,
    guides: Tensor,
    grid: Sequence[Pair],
    t_begin: int,
    generators: Sequence[torch.Generator],
) -> Iterator[Step]:
    """Noise a rough painting of the answer up to t_begin and let the network finish it.

    Meng et al. 2022, algorithm 1, with DDPM's noise (eta = 1).

    Args:
        guides: (b, c, height, width), strokes or a target image.
        t_begin: its height decides between the strokes and realism.
    """
    pairs = below(grid, t_begin)
    x = noised(guides, model.schedule.alpha_bar(pairs[0].t), generators)
    yield from generate(model, model.schedule, x, pairs, 1.0, generators)


def low_pass(x: Tensor, factor: int) -> Tensor:
    """phi_N of ILVR: down by `factor` and up again, (b, c, height, width)."""
    if factor <= 1:
        return x
    small = functional.interpolate(
        x, scale_factor=1 / factor, mode="bicubic", antialias=True, align_corners=False
    )
    return functional.interpolate(small, x.shape[-2:], mode="bicubic", align_corners=False)


def ilvr(
    model: HSpaceUNet,
    x: Tensor,
    references: Tensor,
    grid: Sequence[Pair],
    factor: int,
    t_end: int,
    generators: Sequence[torch.Generator],
) -> Iterator[Step]:
    """DDPM steps whose low frequencies are replaced by those of a noised reference.

    Choi et al. 2021, algorithm 1: x_s <- x_s - phi_N(x_s) + phi_N(y_s) for s >= t_end.

    Args:
        x: x_T, or x where the grid begins.
        references: (b, c, height, width), y.
        factor: N; 1 takes everything from the reference.
    """
    for pair in grid:
        eps = model(x, pair.t)
        noise = draw_noise(x, generators)
        done = step(x, eps, eps, model.schedule, pair, noise, 1.0)
        x = done.x
        if pair.s >= t_end:
            y = noised(references, model.schedule.alpha_bar(pair.s), generators)
            x = x - low_pass(x, factor) + low_pass(y, factor)
        yield done._replace(x=x)


def strokes(answer: Tensor) -> Tensor:
    """A rough painting of a picture (3, height, width): SDEdit's own way to strokes.

    A median filter and eight colours. A person would paint it.
    """
    picture = Image.fromarray(to_uint8(answer[None])[0])
    rough = picture.filter(ImageFilter.MedianFilter(5)).quantize(8).convert("RGB")
    return from_uint8(np.asarray(rough)[None])[0]


def painted_answers(domain: Domain, task: Task, images: InvertedImages) -> Tensor:
    """Strokes of what each edit should lead to, (n, 3, height, width)."""
    answers, *_ = cast(Renderer, domain).rendered_targets(images.clean, task)
    return torch.stack([strokes(answer) for answer in answers])


def painted(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """SDEdit with strokes of the answer."""

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        guides, model = painted_answers(domain, task, images), domain.model
        t_begin, grid = math.ceil(setting["begin"] * images.at), images.grid(model.schedule.length)
        return batched(
            images, lambda x, rows, noises: sdedit(model, guides[rows], grid, t_begin, noises)
        )

    return Editor(edit, BEGINS, 0, Cost())


def mixed(domain: Domain, task: Task, inputs: Inputs) -> Editor:
    """ILVR: low frequencies of the strokes, the rest from the image's own latents."""

    def edit(images: InvertedImages, setting: Setting) -> Tensor:
        guides, model = painted_answers(domain, task, images), domain.model
        known = (images.grid(model.schedule.length), int(setting["factor"]), inputs.interval.t_edit)
        return batched(images, lambda x, rows, noises: ilvr(model, x, guides[rows], *known, noises))

    return Editor(edit, FACTORS, 0, Cost())
