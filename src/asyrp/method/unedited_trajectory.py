"""What training compares with: the unedited walk of every image, walked once and kept."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import no_timestep, reverse_process
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import LONGEST, Timesteps, below, paper_grid
from asyrp.method.text_direction import TextDirection
from asyrp.runtime.batching import in_batches
from asyrp.runtime.transfer import sent


class Compared(NamedTuple):
    """Unedited P_t, (n, c, height, width), and the encoder's view of a source image, (n, d)."""

    x0: Tensor
    features: Tensor


class UneditedTrajectory(NamedTuple):
    """Images as training sees them, and their unedited walk over the editing interval.

    latents: x at t_start, (n, c, height, width). x0: P_t, (k, n, c, height, width). features:
    the encoder's view of what the edit is compared with, (k, n, d).
    """

    latents: Tensor
    x0: Tensor
    features: Tensor

    @property
    def images(self) -> int:
        """How many."""
        return len(self.latents)

    def take(self, rows: Tensor | slice) -> "UneditedTrajectory":
        """Some of the images; those of a slice are not copied."""
        return UneditedTrajectory(self.latents[rows], self.x0[:, rows], self.features[:, rows])

    def blank(self, images: int) -> "UneditedTrajectory":
        """Zeros for a number of images of this kind."""
        x0, features = (
            part.new_zeros(len(part), images, *part.shape[2:]) for part in (self.x0, self.features)
        )
        return UneditedTrajectory(
            self.latents.new_zeros(images, *self.latents.shape[1:]), x0, features
        )

    def at(self, k: int) -> "Compared":
        """What an edit is compared with at a place of the grid."""
        return Compared(self.x0[k], self.features[k])

    def until(self, steps: int) -> "UneditedTrajectory":
        """The first steps of the walk alone."""
        return UneditedTrajectory(self.latents, self.x0[:steps], self.features[:steps])

    def marks(self) -> list[float]:
        """A number for each image that tells it from others but forgives rounding."""
        return [float(x0.cpu().double().mean()) for x0 in self.x0[-1]]


class UneditedTrajectories(Protocol):
    """Sources in memory, in a store, or images alone."""

    @property
    def images(self) -> int:
        """How many."""

    def take(self, rows: Tensor) -> UneditedTrajectory:
        """Some of the images."""

    def marks(self) -> list[float]:
        """A number for each image that tells it from others but forgives rounding."""


@dataclass(frozen=True)
class Clean:
    """Images to train on where they are noised: neither inverted nor walked, read when needed.

    pictures: each (c, height, width).
    """

    pictures: Sequence[Tensor] | Tensor
    device: torch.device

    @property
    def images(self) -> int:
        """How many."""
        return len(self.pictures)

    def marks(self) -> list[float]:
        """A number for each image that tells it from others but forgives rounding."""
        return [float(image.double().mean()) for image in self.pictures]

    def take(self, rows: Tensor) -> UneditedTrajectory:
        """Some of the images, in the place of latents; without a walk."""
        images = sent(torch.stack([self.pictures[row] for row in rows.tolist()]), self.device)
        none = images.new_zeros(0, len(images))
        return UneditedTrajectory(images, none, none)


class Window(NamedTuple):
    """The pairs before the editing interval, and those of it."""

    lead: Timesteps
    grid: Timesteps


def editing_window(
    t_start: int, t_edit: int, steps: int = 40, length: int = 1000, t_top: int | None = None
) -> Window:
    """The paper's grid from t_top (T for None) down to t_edit, cut at t_start.

    Raises:
        AsyrpError: no timestep lies in [t_start, t_edit].
    """
    pairs = below(paper_grid(steps, length), t_top)
    grid = pairs.between(t_start, t_edit)
    if not grid:
        raise no_timestep(steps, t_start, t_edit)
    return Window(pairs.between(LONGEST, t_start + 1), grid)


@torch.no_grad()
def prepare(
    model: HSpaceUNet,
    guide: TextDirection,
    latents: Tensor,
    window: Window,
    batch_size: int,
    images: Tensor | None = None,
) -> Iterator[UneditedTrajectory]:
    """The unedited walk of each batch of latents; join them with `joined`.

    images: clean images, (n, c, height, width), to compare with in place of P_t (official code).
    """

    def walked(rows: slice) -> UneditedTrajectory:
        batch = latents[rows]
        for done in reverse_process(model, batch, window.lead):
            batch = done.x
        x0 = torch.stack([done.x0 for done in reverse_process(model, batch, window.grid)])
        if images is None:
            features = torch.stack([guide.encoder.image_features(p) for p in x0.float()])
        else:
            clean = guide.encoder.image_features(images[rows])
            features = clean.expand(len(window.grid), *clean.shape)
        return UneditedTrajectory(batch, x0, features)

    yield from in_batches(len(latents), batch_size, walked)


def joined(
    parts: Iterable[UneditedTrajectory], count: int | None = None, first: int = 0
) -> UneditedTrajectory:
    """Several batches as one.

    Args:
        count: of the images of the result; with it each batch is copied and dropped as it comes,
            so that the memory of all is taken once.
        first: the row of the first; rows that no batch has are 0.
    """
    if count is None:
        parts = list(parts)
        count = sum(part.images for part in parts)
    whole, start = None, first
    for part in parts:
        if whole is None:
            whole = part.blank(count)
        rows = slice(start, start := start + part.images)
        whole.latents[rows] = part.latents
        whole.x0[:, rows], whole.features[:, rows] = part.x0, part.features
    if whole is None:
        raise AsyrpError("needed at least one image to train on; got none")
    return whole
