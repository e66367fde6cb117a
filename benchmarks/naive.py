"""The official code's order of work, restated: what `asyrp bench` compares with.

One image at a time. Every inversion is followed by a reconstruction that nothing uses. Editing
decodes twice at every step, outside the editing interval too. Training walks the unedited
trajectory anew for every image of every epoch of every attribute, encodes the clean image at every
timestep, and steps the optimiser once a timestep. Everything stays in memory.

The networks, the schedule and the results, to rounding, are those of the library.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from asyrp.method.directions import Direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection


class Inverted(NamedTuple):
    """A clean image, its reconstruction and its latent, (1, c, height, width) each."""

    x0: Tensor
    reconstruction: Tensor
    latent: Tensor


@dataclass(frozen=True)
class Change:
    """A direction on [T, t_edit]; scale: strength times S / S~."""

    direction: Direction
    t_edit: int
    scale: float = 1.0


class Predicted(NamedTuple):
    """eps as it is, and eps of the edited bottleneck (the same numbers below t_edit)."""

    eps: Tensor
    edited: Tensor


class Moved(NamedTuple):
    """x after a step, and the x0 that was predicted."""

    x: Tensor
    x0: Tensor


def times_of(steps: int, length: int) -> list[int]:
    """The official sequence, ascending."""
    return [int(i / (steps - 1) * (length - 1) + 1e-6) for i in range(steps)]


def predicted(model: HSpaceUNet, x: Tensor, t: int, change: Change) -> Predicted:
    """One encoder pass and two decoder passes, wherever t lies."""
    encoded = model.encode(x, t)
    eps, h = model.decode(encoded), encoded.h
    if t >= change.t_edit:
        h = h + change.scale * change.direction(encoded.h, encoded.emb, t)
    return Predicted(eps, model.decode(encoded, h))


def moved(
    model: HSpaceUNet, x: Tensor, found: Predicted, t: int, s: int, noise: Tensor | None = None
) -> Moved:
    """From t to s, with eta = 1 where there is noise; t < s is a step of the inversion."""
    now, then = model.schedule.alpha_bar(t), model.schedule.alpha_bar(s)
    x0 = (x - found.edited * math.sqrt(1 - now)) / math.sqrt(now)
    if noise is None:
        return Moved(math.sqrt(then) * x0 + math.sqrt(1 - then) * found.eps, x0)
    c1 = math.sqrt((1 - now / then) * (1 - then) / (1 - now))
    c2 = math.sqrt(1 - then - c1**2)
    return Moved(math.sqrt(then) * x0 + c2 * found.eps + c1 * noise, x0)


@torch.no_grad()
def invert(model: HSpaceUNet, images: Tensor, steps: int) -> list[Inverted]:
    """Every image up to x_T and down again."""
    times, done = times_of(steps, model.schedule.length), []
    for x0 in images.split(1):
        x = x0
        for s, t in pairwise(times):
            eps = model(x, s)
            x = moved(model, x, Predicted(eps, eps), s, t).x
        done.append(Inverted(x0, reconstructed(model, x, times), x))
    return done


def reconstructed(model: HSpaceUNet, x: Tensor, times: Sequence[int]) -> Tensor:
    """Down the grid unedited."""
    for t, s in zip(times[::-1], [*times[-2::-1], -1], strict=True):
        eps = model(x, t)
        x = moved(model, x, Predicted(eps, eps), t, s).x
    return x


@torch.no_grad()
def edit(
    model: HSpaceUNet,
    latents: Tensor,
    change: Change,
    steps: int,
    t_boost: int = 0,
    generators: Sequence[torch.Generator] = (),
) -> Tensor:
    """Every latent down the grid with an edit; generators: one an image where t_boost > 0."""
    times, done = times_of(steps, model.schedule.length), []
    for row, x in enumerate(latents.split(1)):
        for t, s in zip(times[::-1], [*times[-2::-1], -1], strict=True):
            found = predicted(model, x, t, change)
            noise = torch.randn(x.shape, generator=generators[row]) if t < t_boost else None
            x = moved(model, x, found, t, s, noise).x
        done.append(x)
    return torch.cat(done)


@dataclass(frozen=True)
class Recipe:
    """The official training. order: rows of each epoch, as they come."""

    t_edit: int
    steps: int
    order: Sequence[Sequence[int]]
    learning_rate: float = 0.5
    lambda_clip: float = 1.0
    lambda_recon: float = 3.0


def train(
    model: HSpaceUNet,
    direction: nn.Module,
    guide: TextDirection,
    inverted: Sequence[Inverted],
    recipe: Recipe,
) -> None:
    """Train a direction in place."""
    optimiser = torch.optim.SGD(direction.parameters(), lr=recipe.learning_rate)
    change = Change(direction, recipe.t_edit)
    times = [t for t in times_of(recipe.steps, model.schedule.length) if t >= recipe.t_edit]
    for epoch in recipe.order:
        for row in epoch:
            x0, x = inverted[row].x0, inverted[row].latent
            sources = unedited(model, x, times)
            for k, (t, s) in enumerate(zip(times[::-1], [*times[-2::-1], -1], strict=True)):
                found = moved(model, x, predicted(model, x, t, change), t, s)
                loss = loss_of(found.x0, sources[k], x0, guide, recipe)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                x = found.x.detach()


@torch.no_grad()
def unedited(model: HSpaceUNet, x: Tensor, times: Sequence[int]) -> list[Tensor]:
    """P_t of the unedited trajectory over the editing interval."""
    sources = []
    for t, s in zip(times[::-1], [*times[-2::-1], -1], strict=True):
        eps = model(x, t)
        x, x0 = moved(model, x, Predicted(eps, eps), t, s)
        sources.append(x0)
    return sources


def loss_of(
    x0: Tensor, source: Tensor, clean: Tensor, guide: TextDirection, recipe: Recipe
) -> Tensor:
    """The logarithmic form of the directional loss, and the L1 loss times the texts' cosine."""
    with torch.no_grad():
        before = guide.encoder.image_features(clean)
    difference = guide.encoder.image_features(x0) - before
    difference = difference / (difference.norm(dim=1, keepdim=True) + 1e-7)
    directional = 1 - functional.cosine_similarity(difference, guide.direction[None])
    clip = -torch.log((2 - directional.mean()) / 2)
    recon = (x0 - source).abs().mean()
    return recipe.lambda_clip * clip + recipe.lambda_recon * guide.cosine * recon
