"""Whole jobs on batches of images: invert and edit. The generators below them do the work."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import (
    Attribute,
    ReverseStep,
    Shift,
    asymmetric,
    reverse_process,
)
from asyrp.method.ddim import Convention, draw_noise, invert_steps, seeded_generators
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, below, paper_grid
from asyrp.runtime.batching import in_batches

Report = Callable[[int, int], None]
"""Called with (done, total) as a long job goes on; both count steps of single images."""

Walker = Callable[..., Iterator[ReverseStep]]
"""`process.walk`, or another with its arguments."""


def silent(done: int, total: int) -> None:
    """Report nothing."""


class Inversion(NamedTuple):
    """Latents of images, and how well they lead back.

    latents: x_T (or x where the inversion stopped), (n, c, height, width). reconstructions: same
    shape, from there without an edit.
    errors: mean squared error of each image's reconstruction in [-1, 1], (n,).
    """

    latents: Tensor
    reconstructions: Tensor
    errors: Tensor


@torch.no_grad()
def invert(
    model: HSpaceUNet,
    images: Tensor,
    steps: int = 40,
    convention: Convention = "source",
    refinements: int = 0,
    batch_size: int = 16,
    report: Report = silent,
    up_to: int | None = None,
) -> Inversion:
    """Latents x_T of images by DDIM inversion, and their reconstructions.

    Args:
        images: (n, c, height, width) in [-1, 1].
        convention, refinements: see `ddim.invert_steps`.
        batch_size: images at a time, halved where memory does not suffice.
        up_to: the timestep at which to stop, the grid's next one below it where it has none;
            None for T.

    Raises:
        AsyrpError: images of another shape than the network's, or a negative `up_to`.
    """
    _check_images(model, images)
    grid = inversion_grid(model, steps, up_to)
    down = len(grid)
    up = down - (convention != "target")
    total = len(images) * (up + down)

    def half(done: int, _: int) -> None:
        report(done, total)

    latents = latents_of(model, images, steps, convention, refinements, batch_size, half, up_to)

    def walked(rows: slice) -> Tensor:
        x = latents[rows]
        for k, done in enumerate(reverse_process(model, x, grid), start=1):
            x = done.x
            report(len(images) * up + rows.start * down + k * len(x), total)
        return x

    reconstructions = list(in_batches(len(images), batch_size, walked))
    back = torch.cat(reconstructions)
    errors = (back.float() - images.to(back.device).float()).square().flatten(1).mean(1)
    return Inversion(latents, back, errors)


@torch.no_grad()
def latents_of(
    model: HSpaceUNet,
    images: Tensor,
    steps: int = 40,
    convention: Convention = "source",
    refinements: int = 0,
    batch_size: int = 16,
    report: Report = silent,
    up_to: int | None = None,
) -> Tensor:
    """The latents of `invert` alone, in about half its time."""
    _check_images(model, images)
    grid = inversion_grid(model, steps, up_to)
    up = len(grid) - (convention != "target")

    def inverted(rows: slice) -> Tensor:
        x = _as_state(model, images[rows])
        taken = invert_steps(model, model.schedule, x, grid, convention, refinements)
        for k, done in enumerate(taken, start=1):
            x = done.x
            report(rows.start * up + k * len(x), len(images) * up)
        return x

    return torch.cat(list(in_batches(len(images), batch_size, inverted)))


def inversion_grid(model: HSpaceUNet, steps: int, up_to: int | None) -> tuple[Pair, ...]:
    """The grid of an inversion that ends at `up_to`.

    Raises:
        AsyrpError: no timestep of the grid lies there or below.
    """
    grid = below(paper_grid(steps, model.schedule.length), up_to)
    if not grid:
        raise AsyrpError(f"an inversion ends at a timestep of 0 or more; got up_to {up_to}")
    return grid


@torch.no_grad()
def edit(
    model: HSpaceUNet,
    latents: Tensor,
    attributes: Sequence[Attribute] = (),
    steps: int = 40,
    t_boost: int = 0,
    seed: int = 0,
    batch_size: int = 16,
    shift: Shift = asymmetric,
    report: Report = silent,
    first: int = 0,
    walker: Walker = reverse_process,
) -> Tensor:
    """Edited images, (n, c, height, width); without attributes the plain reconstruction.

    Args:
        latents: x_T, (n, c, height, width).
        attributes: directions with strength and interval; their shifts add up.
        t_boost: eta is 1 below it; image i draws from a generator of its own, seeded by (seed, i).
        batch_size: images at a time, halved where memory does not suffice.
        first: the i of the first latent, where they are part of a larger job.
        walker: `process.walk`, or `multistep.walk_second_order` for few steps.

    Raises:
        AsyrpError: t_boost above a t_edit, or a number of steps the schedule does not have.
    """
    _check_images(model, latents)
    grid = paper_grid(steps, model.schedule.length)

    def edited(rows: slice) -> Tensor:
        x = _as_state(model, latents[rows])
        generators = seeded_generators(len(x), seed, first + rows.start)
        walked = walker(model, x, grid, attributes, t_boost, generators, shift)
        for k, done in enumerate(walked, start=1):
            x = done.x
            report(rows.start * steps + k * len(x), len(latents) * steps)
        return x

    return torch.cat(list(in_batches(len(latents), batch_size, edited)))


def random_latents(model: HSpaceUNet, count: int, seed: int = 0) -> Tensor:
    """x_T ~ N(0, I), (count, c, height, width), each from a generator of its own.

    It is no other noise that a walk from there draws with the same seed.
    """
    if count < 1:
        raise AsyrpError(f"the number of samples must be 1 or more; got {count}")
    like = _as_state(model, torch.zeros(count, *model.image_shape))
    return draw_noise(like, seeded_generators(count, seed, purpose="x_T"))


def _as_state(model: HSpaceUNet, x: Tensor) -> Tensor:
    """x as a walk carries it: at least float32, since rounding x at every step would be seen."""
    return x.to(model.device, torch.promote_types(model.dtype, torch.float32))


def _check_images(model: HSpaceUNet, images: Tensor) -> None:
    if images.ndim != 4 or tuple(images.shape[1:]) != model.image_shape or not len(images):
        raise AsyrpError(
            f"this network needs images of shape (n, {', '.join(map(str, model.image_shape))}); "
            f"got {tuple(images.shape)}"
        )
