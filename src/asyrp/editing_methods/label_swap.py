"""DDIM inversion with a swapped label or caption, for networks that take one (Song et al. 2021)."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.ddim import Step, generate, invert_steps
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair


def takes_labels(model: HSpaceUNet) -> bool:
    """Whether the network is conditioned on a class or caption."""
    return model.unet.class_embedding is not None


def swap_label(
    model: HSpaceUNet, images: Tensor, grid: Sequence[Pair], source: Tensor, target: Tensor
) -> Iterator[Step]:
    """Invert images under their own labels (b,), and walk back under other ones (b,).

    Raises:
        AsyrpError: the network takes no labels.
    """
    if not takes_labels(model):
        raise AsyrpError(
            "swapping a label needs a network that takes one; this one takes none; leave it out"
        )
    *_, top = invert_steps(lambda x, t: model(x, t, source), model.schedule, images, grid, "source")
    yield from generate(lambda x, t: model(x, t, target), model.schedule, top.x, grid)


def swap_condition(
    source: HSpaceUNet, target: HSpaceUNet, images: Tensor, grid: Sequence[Pair]
) -> Iterator[Step]:
    """Invert under one condition and walk back under another: one network with each of two fixed.

    Args:
        images: x at t = CLEAN. grid: the pairs from where the inversion ends.
    """
    *_, top = invert_steps(source, source.schedule, images, grid, "source", 1)
    yield from generate(target, target.schedule, top.x, grid)
