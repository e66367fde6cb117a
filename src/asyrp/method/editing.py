"""Whole jobs on batches of images: invert and edit. The generators below them do the work."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import (
    Attribute,
    Shift,
    asymmetric,
)
from asyrp.method.ddim import Convention, draw_noise, seeded_generators
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import Name, Riser, Walker, inversion_of
from asyrp.method.latent_space import Pixels
from asyrp.method.schedule import Timesteps, below, paper_grid
from asyrp.runtime.batching import in_batches
from asyrp.runtime.transfer import sent
from asyrp.storage.finite import PRECISIONS, check_result, is_finite

FARTHEST = 2.0  # of a pixel from grey; samples of a network may leave [-1, 1] by a little

Report = Callable[[int, int], None]
"""Called with (done, total) as a long job goes on; both count steps of single images."""


def silent(done: int, total: int) -> None:
    """Report nothing."""


class Inversion(NamedTuple):
    """Latents of images, and their reconstructions.

    latents: x_T (or x where the inversion stopped), (n, c, height, width); of the exact inversions
    k c channels, see `inversion.state`. reconstructions: from there without an edit.
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
    inversion: Name = "ddim",
) -> Inversion:
    """Latents x_T of images, and their reconstructions.

    Args:
        images: (n, c, height, width) in [-1, 1].
        convention, refinements: of DDIM, see `ddim.invert_steps`.
        batch_size: images at a time, halved where memory does not suffice.
        up_to: the timestep at which to stop, the grid's next one below it where it has none;
            None for T.
        inversion: "ddim"; or "belm", "bdia", "edict" or "ddpm", whose latents reconstruct exactly.

    Raises:
        AsyrpError: images of another shape or range than the network's, or a negative `up_to`.
    """
    _check_images(model, images)
    _check_range(model, images)
    grid = inversion_grid(model, steps, up_to, inversion)
    down, up = len(grid), _rises(len(grid), convention, inversion)
    total = len(images) * (up + down)

    def half(done: int, _: int) -> None:
        report(done, total)

    how = (convention, refinements, batch_size, half, up_to, inversion)
    latents = latents_of(model, images, steps, *how)

    def walked(rows: slice) -> Tensor:
        x = latents[rows]
        for k, done in enumerate(inversion_of(inversion).down(model, x, grid), start=1):
            x = done.x
            report(len(images) * up + rows.start * down + k * len(x), total)
        return check_result(x, "the reconstruction")

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
    inversion: Name = "ddim",
) -> Tensor:
    """The latents of `invert` alone, in about half its time."""
    _check_images(model, images)
    _check_range(model, images)
    grid = inversion_grid(model, steps, up_to, inversion)
    up = _rises(len(grid), convention, inversion)

    def inverted(rows: slice) -> Tensor:
        x = as_state(model, images[rows])
        taken = riser(inversion, convention, refinements)(model, model.schedule, x, grid)
        for k, done in enumerate(taken, start=1):
            x = done.x
            report(rows.start * up + k * len(x), len(images) * up)
        return x

    return torch.cat(list(in_batches(len(images), batch_size, inverted)))


def riser(inversion: Name, convention: Convention = "source", refinements: int = 0) -> Riser:
    """The way up of an inversion; convention and refinements are DDIM's."""
    found = inversion_of(inversion).up
    if inversion != "ddim":
        return found
    return partial(found, convention=convention, refinements=refinements)


def _rises(levels: int, convention: Convention, inversion: Name) -> int:
    """Steps of the way up; but for DDIM's "target", its image is x at the lowest timestep."""
    return levels - (inversion == "ddim" and convention != "target")


def inversion_grid(
    model: HSpaceUNet, steps: int, up_to: int | None = None, inversion: Name = "ddim"
) -> Timesteps:
    """The grid of an inversion that ends at `up_to`, and of edits from there.

    It begins at `model.t_top`, and for exact inversions at the schedule's steady top for any kind
    of prediction, since they need a finite step from the timestep above.

    Raises:
        AsyrpError: no timestep of the grid lies there or below.
    """
    top = model.t_top if inversion == "ddim" else model.schedule.steady_top
    grid = below(below(paper_grid(steps, model.schedule.length), top), up_to)
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
    walker: Walker | None = None,
    inversion: Name = "ddim",
) -> Tensor:
    """Edited images, (n, c, height, width); without attributes the plain reconstruction.

    Args:
        latents: of `invert` with the same steps and inversion; x_T, (n, c, height, width), of DDIM.
        attributes: directions with strength and interval; their shifts add up.
        t_boost: eta is 1 below it; image i draws from a generator of its own, seeded by (seed, i).
        batch_size: images at a time, halved where memory does not suffice.
        first: the i of the first latent, where they are part of a larger job.
        walker: None for the way down of the inversion; `second_order.walk_second_order` for few
            steps from latents of DDIM.
        inversion: the one that the latents come from.

    Raises:
        AsyrpError: t_boost above a t_edit, latents of another inversion or number of steps, or a
            number of steps the schedule does not have.
    """
    grid = inversion_grid(model, steps, None, inversion)
    _check_images(model, latents, inversion_of(inversion).parts(len(grid)))
    walker = walker or inversion_of(inversion).down

    def edited(rows: slice) -> Tensor:
        x = sent(latents[rows], model.device)
        x = as_state(model, x) if inversion == "ddim" else x
        generators = seeded_generators(len(x), seed, first + rows.start)
        walked = walker(model, x, grid, attributes, t_boost, generators, shift)
        for k, done in enumerate(walked, start=1):
            x = done.x
            report(rows.start * len(grid) + k * len(x), len(latents) * len(grid))
        return check_result(x, "the walk")

    return torch.cat(list(in_batches(len(latents), batch_size, edited)))


def random_latents(model: HSpaceUNet, count: int, seed: int = 0) -> Tensor:
    """x_T ~ N(0, I), (count, c, height, width), each from a generator of its own.

    It is no other noise that a walk from there draws with the same seed.
    """
    if count < 1:
        raise AsyrpError(f"the number of samples must be 1 or more; got {count}")
    like = as_state(model, torch.zeros(count, *model.image_shape))
    return draw_noise(like, seeded_generators(count, seed, purpose="x_T"))


def as_state(model: HSpaceUNet, x: Tensor) -> Tensor:
    """x as a walk carries it: at least float32, since rounding x at every step would be seen."""
    return sent(x, model.device).to(torch.promote_types(model.dtype, torch.float32))


def _check_images(model: HSpaceUNet, images: Tensor, parts: int = 1) -> None:
    """parts: x of each latent, side by side in channels."""
    if not isinstance(images, Tensor) or images.layout != torch.strided:
        kind = images.layout if isinstance(images, Tensor) else type(images).__name__
        raise AsyrpError(f"needed images or latents as one dense tensor; got {kind}")
    channels, *sides = model.image_shape
    wanted = (parts * channels, *sides)
    if images.ndim != 4 or tuple(images.shape[1:]) != wanted or not len(images):
        what = "images" if parts == 1 else f"latents of this inversion, {parts} x each,"
        raise AsyrpError(
            f"this network needs {what} of shape (n, {', '.join(map(str, wanted))}); "
            f"got {tuple(images.shape)}"
        )


def _check_range(model: HSpaceUNet, images: Tensor) -> None:
    """Refuse bytes, and pixels in [0, 255] or without a value; latents may have any size."""
    pixels = isinstance(model.space, Pixels)
    kind = str(images.dtype).removeprefix("torch.")
    needed = "this network needs images in [-1, 1], as floating-point numbers; got"
    if images.dtype not in PRECISIONS:
        raise AsyrpError(f"{needed} {kind}")
    if not is_finite(images) or (pixels and images.abs().max().item() > FARTHEST):
        low, high = images.min().item(), images.max().item()
        raise AsyrpError(f"{needed} {kind} from {low:.6g} to {high:.6g}")
