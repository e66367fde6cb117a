"""Pictures of a folder with their latents, in memory or from a store, as training asks for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from asyrp.commands.common import Gallery, check_inverting, inverted, latents, pictures
from asyrp.commands.stored import (
    FolderImages,
    folder_images,
    keys_in,
    open_store,
    with_reconstructions,
)
from asyrp.finders.prepare import EDIT_STEPS, Pictures, StoredPictures
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from
from asyrp.options import Train
from asyrp.runtime.distributed import ProcessGroup, assemble
from asyrp.storage.record_store import RecordStore


class Found(Protocol):
    """The pictures of a folder."""

    @property
    def count(self) -> int:
        """How many."""

    def returned(self, rows: slice) -> Pictures:
        """At T on the grid of editing, as they come back; says how well they do."""

    def ready(self, rows: slice, at: int) -> Pictures:
        """On the grid of training, with latents at a timestep, in memory."""

    def to_train(self, rows: slice, at: int) -> Pictures | StoredPictures:
        """The same, wherever they are."""


@dataclass(frozen=True)
class InMemory:
    """All pictures at once."""

    model: HSpaceUNet
    gallery: Gallery
    options: Train
    processes: ProcessGroup

    @property
    def count(self) -> int:
        """How many."""
        return len(self.gallery.paths)

    def returned(self, rows: slice) -> Pictures:
        """At T on the grid of editing, as they come back; says how well they do."""
        names, images = self.gallery.names[rows], self.gallery.images[rows]
        if not names:
            return Pictures(images, images)
        how, size = self.options.inverting, self.options.network.batch_size
        by = self.options.inversion
        done = inverted(self.model, images, names, EDIT_STEPS, how, size, None, self.processes, by)
        return Pictures(done.reconstructions, done.latents)

    def ready(self, rows: slice, at: int) -> Pictures:
        """On the grid of training, with latents at a timestep."""
        images, steps = self.gallery.images[rows], self.options.training.steps
        if not len(images):
            return Pictures(images, images, at)
        how, size = self.options.inverting, self.options.network.batch_size
        by = self.options.inversion
        found = latents(self.model, images, steps, how, size, at, self.processes, by)
        return Pictures(images, found, at)

    def to_train(self, rows: slice, at: int) -> Pictures:
        """The same; images alone where training noises them."""
        images = self.gallery.images[rows]
        noised = self.options.training.along == "noised"
        return Pictures(images, images, at) if noised else self.ready(rows, at)


@dataclass(frozen=True)
class InStore:
    """Pictures whose latents a store keeps; those of training are read when they are needed."""

    model: HSpaceUNet
    store: RecordStore
    images: FolderImages
    options: Train
    processes: ProcessGroup

    @property
    def count(self) -> int:
        """How many."""
        return len(self.images)

    def returned(self, rows: slice) -> Pictures:
        """At T on the grid of editing, as they come back; says how well they do."""
        part, size = self.images.part(rows), self.options.network.batch_size
        if not part.paths:
            return Pictures(self._empty(), self._empty())
        keys = self._keys(part, EDIT_STEPS, None)
        return with_reconstructions(self.store, part, keys, EDIT_STEPS, size, self.processes)

    def ready(self, rows: slice, at: int) -> Pictures:
        """On the grid of training, with latents at a timestep, in memory."""
        part = self.images.part(rows)
        if not part.paths:
            return Pictures(self._empty(), self._empty(), at)
        keys = self._keys(part, self.options.training.steps, at)
        images = torch.stack([image.cpu() for image in part])
        return Pictures(images, latents_from(self.store, keys).to(self.model.device), at)

    def to_train(self, rows: slice, at: int) -> StoredPictures:
        """On the grid of training, with latents at a timestep, in the store.

        Where training noises images they have no latents, and their names for keys.
        """
        part, steps = self.images.part(rows), self.options.training.steps
        noised = self.options.training.along == "noised"
        keys = part.names if noised or not part.paths else self._keys(part, steps, at)
        return StoredPictures(self.store, keys, part, at)

    def _keys(self, part: FolderImages, steps: int, at: int | None) -> Sequence[str]:
        check_inverting(self.model, steps, self.options.inverting)
        how, size = self.options.inverting, self.options.network.batch_size
        return keys_in(self.store, part, steps, how, size, self.processes, at)

    def _empty(self) -> Tensor:
        return torch.zeros(0, *self.model.image_shape)


def find_pictures(model: HSpaceUNet, folder: Path, options: Train) -> Found:
    """The pictures of a folder, in memory or with a store."""
    processes = assemble(options.network.device)
    if options.store is None:
        return InMemory(model, pictures(folder, model), options, processes)
    images = folder_images(folder, model)
    return InStore(model, open_store(options.store, processes), images, options, processes)
