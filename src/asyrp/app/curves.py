"""LPIPS curves of walks that are kept, a timestep at a time."""

from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor

from asyrp.method.asymmetric_process import ReverseStep
from asyrp.method.editing_interval import Curves, measure_curves
from asyrp.method.protocols import PerceptualDistance


@torch.no_grad()
def measured(
    images: Tensor, x: Tensor, steps: Sequence[ReverseStep], distance: PerceptualDistance
) -> Generator[int, None, Curves]:
    """Yield the number of steps measured; returns the curves.

    Args:
        images, x: (b, 3, height, width), and x_T from which the steps were walked.
        steps: of the unedited walk, whose x may have more rows than `images`.
    """
    rows, parts = slice(0, len(images)), []
    for count, done in enumerate(steps):
        one = done._replace(x=done.x[rows], x0=done.x0[rows])
        parts.append(measure_curves(images, x[rows], [one], distance))
        x = done.x
        yield count + 1
    return over_time(parts)


def over_time(parts: Sequence[Curves]) -> Curves:
    """Curves of single timesteps as one, ascending."""
    ordered = sorted(parts, key=lambda part: part.times)
    times = tuple(part.times[0] for part in ordered)
    x0 = np.concatenate([part.x0 for part in ordered])
    return Curves(times, x0, np.concatenate([part.xt for part in ordered]))
