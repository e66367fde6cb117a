"""Image guidance: SDEdit (Meng et al. 2022) and ILVR (Choi et al. 2021)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.method.ddim import Step, draw_noise, generate, noised, step
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, below


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
