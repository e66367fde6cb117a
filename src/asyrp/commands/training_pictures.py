"""The pictures that training looks at, with latents in memory or in a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from asyrp.commands.inverting import (
    FolderImages,
    Gallery,
    folder_images,
    inverter_of,
    open_store,
    pictures,
)
from asyrp.finders.prepare import EDIT_STEPS, Pictures, StoredPictures
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from
from asyrp.options import Train
from asyrp.runtime.distributed import assemble
from asyrp.storage.record_store import RecordStore


@dataclass(frozen=True)
class InMemory:
    """The pictures of a folder that training looks at, all at once."""

    model: HSpaceUNet
    gallery: Gallery
    options: Train

    def __len__(self) -> int:
        return len(self.gallery.paths)

    def returned(self, rows: slice) -> Pictures:
        """At T on the grid of editing, as they come back; says how well they do."""
        names, images = self.gallery.names[rows], self.gallery.images[rows]
        if not names:
            return Pictures(images, images)
        done = inverter_of(self.model, self.options, EDIT_STEPS)(images, names)
        return Pictures(done.reconstructions, done.latents)

    def ready(self, rows: slice, at: int) -> Pictures:
        """On the grid of training, with latents at a timestep, in memory."""
        images, steps = self.gallery.images[rows], self.options.training.steps
        if not len(images):
            return Pictures(images, images, at)
        found = inverter_of(self.model, self.options, steps).latents(images, at)
        return Pictures(images, found, at)

    def to_train(self, rows: slice, at: int) -> Pictures:
        """The same; images alone where training noises them."""
        images = self.gallery.images[rows]
        noised = self.options.training.along == "noised"
        return Pictures(images, images, at) if noised else self.ready(rows, at)


@dataclass(frozen=True)
class InStore:
    """The same pictures, whose latents a store keeps; those of training are read when needed."""

    model: HSpaceUNet
    images: FolderImages
    store: RecordStore
    options: Train

    def __len__(self) -> int:
        return len(self.images)

    def returned(self, rows: slice) -> Pictures:
        """At T on the grid of editing, as they come back; says how well they do."""
        part, inverter = self.images.part(rows), inverter_of(self.model, self.options, EDIT_STEPS)
        if not part.paths:
            return self._none()
        return inverter.led_back(self.store, part, inverter.into(self.store, part))

    def ready(self, rows: slice, at: int) -> Pictures:
        """On the grid of training, with latents at a timestep, in memory."""
        part = self.images.part(rows)
        if not part.paths:
            return self._none(at)
        images = torch.stack([image.cpu() for image in part])
        found = latents_from(self.store, self._keys(part, at))
        return Pictures(images, found.to(self.model.device), at)

    def to_train(self, rows: slice, at: int) -> StoredPictures:
        """On the grid of training, with latents at a timestep, in the store.

        Where training noises images they have no latents, and their names for keys.
        """
        part = self.images.part(rows)
        noised = self.options.training.along == "noised"
        keys = part.names if noised or not part.paths else self._keys(part, at)
        return StoredPictures(self.store, keys, part, at)

    def _keys(self, part: FolderImages, at: int) -> Sequence[str]:
        steps = self.options.training.steps
        return inverter_of(self.model, self.options, steps).into(self.store, part, at)

    def _none(self, at: int | None = None) -> Pictures:
        none = torch.zeros(0, *self.model.image_shape)
        return Pictures(none, none, at)


def find_pictures(model: HSpaceUNet, folder: Path, options: Train) -> InMemory | InStore:
    """The pictures of a folder, in memory or with a store."""
    if options.store is None:
        return InMemory(model, pictures(folder, model), options)
    store = open_store(options.store, assemble(options.network.device))
    return InStore(model, folder_images(folder, model), store, options)
