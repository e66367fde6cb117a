"""The pictures that training looks at: samples, or a folder, with or without a store.

`returned` are at T on the grid of editing, as they come back; `ready` and `to_train` on the grid of
training, with latents at a timestep.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from asyrp.commands.inverting import FolderImages, Gallery, Inverter
from asyrp.finders.prepare import EDIT_STEPS, Pictures, StoredPictures
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import add_latents, latents_from
from asyrp.storage.record_store import RecordStore


@dataclass(frozen=True)
class Samples:
    """Samples of the network, whose x_T are known; a store keeps those that are trained on."""

    model: HSpaceUNet
    drawn: Pictures
    store: RecordStore | None

    def __len__(self) -> int:
        return len(self.drawn)

    def returned(self, rows: slice) -> Pictures:
        """As they were drawn."""
        return self.drawn[rows]

    def ready(self, rows: slice, at: int) -> Pictures:
        """The same, at T."""
        return self.drawn[rows]

    def to_train(self, rows: slice, at: int) -> Pictures | StoredPictures:
        """The same, or as the store has them."""
        own = self.drawn[rows]
        if self.store is None:
            return own
        keys = add_latents(self.store, self.model, own.latents)
        return StoredPictures(self.store, keys, list(own.images))


@dataclass(frozen=True)
class InMemory:
    """The pictures of a folder, all at once. inverter: on the grid of training."""

    gallery: Gallery
    inverter: Inverter
    noised: bool

    def __len__(self) -> int:
        return len(self.gallery.paths)

    def returned(self, rows: slice) -> Pictures:
        """Inverted and led back."""
        names, images = self.gallery.names[rows], self.gallery.images[rows]
        if not names:
            return Pictures(images, images)
        done = replace(self.inverter, steps=EDIT_STEPS)(images, names)
        return Pictures(done.reconstructions, done.latents)

    def ready(self, rows: slice, at: int) -> Pictures:
        """Inverted."""
        images = self.gallery.images[rows]
        found = self.inverter.latents(images, at) if len(images) else images
        return Pictures(images, found, at)

    def to_train(self, rows: slice, at: int) -> Pictures:
        """The same; images alone where training noises them."""
        images = self.gallery.images[rows]
        return Pictures(images, images, at) if self.noised else self.ready(rows, at)


@dataclass(frozen=True)
class InStore:
    """The same pictures, whose latents a store keeps; those of training are read when needed."""

    images: FolderImages
    inverter: Inverter
    noised: bool
    store: RecordStore

    def __len__(self) -> int:
        return len(self.images)

    def returned(self, rows: slice) -> Pictures:
        """Inverted into the store, and led back."""
        part, inverter = self.images.part(rows), replace(self.inverter, steps=EDIT_STEPS)
        if not part.paths:
            return self._none()
        return inverter.led_back(self.store, part, inverter.into(self.store, part))

    def ready(self, rows: slice, at: int) -> Pictures:
        """Inverted into the store, and read."""
        part = self.images.part(rows)
        if not part.paths:
            return self._none(at)
        images = torch.stack([image.cpu() for image in part])
        found = latents_from(self.store, self.inverter.into(self.store, part, at))
        return Pictures(images, found.to(self.inverter.model.device), at)

    def to_train(self, rows: slice, at: int) -> StoredPictures:
        """In the store; with their names for keys where training noises images."""
        part = self.images.part(rows)
        keys: Sequence[str] = part.names
        if part.paths and not self.noised:
            keys = self.inverter.into(self.store, part, at)
        return StoredPictures(self.store, keys, part, at)

    def _none(self, at: int | None = None) -> Pictures:
        none = torch.zeros(0, *self.inverter.model.image_shape)
        return Pictures(none, none, at)


TrainingPictures = Samples | InMemory | InStore
