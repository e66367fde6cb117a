"""The pictures that training looks at: samples, or a folder, with or without a store.

`returned` are at T on the grid of editing, as they come back; `ready` and `to_train` on the grid of
training, with latents at a timestep.
"""

from dataclasses import dataclass, replace

from asyrp.commands.inverting import FolderImages, Inverter
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
class InFolder:
    """The pictures of a folder. inverter: on the grid of training.

    store: keeps the latents, and those of training are read when needed; None to hold them all.
    """

    images: FolderImages
    inverter: Inverter
    noised: bool
    store: RecordStore | None

    def __len__(self) -> int:
        return len(self.images)

    def returned(self, rows: slice) -> Pictures:
        """Inverted and led back."""
        part, inverter = self.images.part(rows), replace(self.inverter, steps=EDIT_STEPS)
        if self.store is not None:
            return inverter.led_back(self.store, part, inverter.into(self.store, part))
        done = inverter(part.stacked(), part.names)
        return Pictures(done.reconstructions, done.latents)

    def ready(self, rows: slice, at: int) -> Pictures:
        """Inverted."""
        part = self.images.part(rows)
        images = part.stacked()
        if self.store is None:
            return Pictures(images, self.inverter.latents(images, at), at)
        found = latents_from(self.store, self.inverter.into(self.store, part, at))
        return Pictures(images.cpu(), found.to(self.inverter.model.device), at)

    def to_train(self, rows: slice, at: int) -> Pictures | StoredPictures:
        """The same; where training noises them images alone, whose keys are their names."""
        part = self.images.part(rows)
        if self.store is None:
            images = part.stacked()
            return Pictures(images, images, at) if self.noised else self.ready(rows, at)
        keys = part.names if self.noised else self.inverter.into(self.store, part, at)
        return StoredPictures(self.store, keys, part, at)
