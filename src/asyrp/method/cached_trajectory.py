"""What training compares with, read from a store a batch at a time."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from, state_key, walk_into, x0_key
from asyrp.method.protocols import TextImageEncoder
from asyrp.method.schedule import Pair
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import UneditedTrajectory, Window
from asyrp.runtime.batching import in_batches
from asyrp.runtime.transfer import sent
from asyrp.storage.record_store import RecordStore, key_of


@dataclass(frozen=True)
class CachedTrajectories:
    """Sources of images that a store holds.

    latents: their keys. encoder: `mark_of` the image encoder. clean: features (n, d) of clean
    images to compare with in place of those of P_t (official code), None for the paper's way.
    """

    store: RecordStore
    latents: Sequence[str]
    window: Window
    encoder: str
    device: torch.device
    clean: Tensor | None = None

    @property
    def images(self) -> int:
        """How many."""
        return len(self.latents)

    def marks(self) -> list[float]:
        """In [0, 1): the beginning of each key, which follows from the pixels."""
        return [int(key[:12], 16) / 16**12 for key in self.latents]

    def take(self, rows: Tensor) -> UneditedTrajectory:
        """Read some of the images."""
        keys = [self.latents[row] for row in rows.tolist()]
        x = latents_from(self.store, [state_key(key, self.window.lead) for key in keys])
        x0 = torch.stack([self._x0(key) for key in keys], dim=1)
        if self.clean is None:
            features = torch.stack([self._features(key) for key in keys], dim=1)
        else:
            features = self.clean[rows].expand(len(self.window.grid), -1, -1)
        return UneditedTrajectory(*(sent(part, self.device) for part in (x, x0, features)))

    def _x0(self, key: str) -> Tensor:
        return latents_from(self.store, [x0_key(key, walked) for walked in _walks(self.window)])

    def _features(self, key: str) -> Tensor:
        keys = [features_key(x0_key(key, walked), self.encoder) for walked in _walks(self.window)]
        return torch.stack([self.store.read(one)["features"] for one in keys])


def _walks(window: Window) -> list[tuple[Pair, ...]]:
    """The pairs walked up to each pair of the editing interval."""
    pairs = (*window.lead, *window.grid)
    return [pairs[: end + 1] for end in range(len(window.lead), len(pairs))]


def features_key(x0: str, encoder: str) -> str:
    """The key of an encoder's features of a P_t, from the key of that and `mark_of` the encoder."""
    return key_of("features", x0, encoder)


@torch.no_grad()
def prepare_into(
    store: RecordStore,
    model: HSpaceUNet,
    guide: TextDirection,
    latents: Sequence[str],
    window: Window,
    batch_size: int,
) -> Iterator[int]:
    """Walk and look at what the store lacks of `CachedTrajectories`; yields images a step."""
    yield from walk_into(store, model, latents, *window, batch_size)
    mark = mark_of(guide.encoder)
    for latent in latents:
        keys = [x0_key(latent, walked) for walked in _walks(window)]
        new = [key for key in keys if features_key(key, mark) not in store]
        if new:

            def looked(rows: slice, new: Sequence[str] = new) -> Tensor:
                x0 = sent(latents_from(store, new[rows]), model.device)
                return guide.encoder.image_features(x0.float()).cpu()

            every = torch.cat(list(in_batches(len(new), batch_size, looked)))
            for key, row in zip(new, every, strict=True):
                store.add(features_key(key, mark), {"features": row.clone()})
            store.write_due()
            yield 1
    store.flush()


def mark_of(encoder: TextImageEncoder) -> str:
    """SHA-256 (hex) of what an image encoder computes: its name, and every weight it holds."""
    found = hashlib.sha256(encoder.name.encode())
    parts = [encoder] if isinstance(encoder, nn.Module) else list(vars(encoder).values())
    for part in parts:
        if isinstance(part, nn.Module):
            values = list(part.state_dict().values())
        else:
            values = [part] if isinstance(part, Tensor) else []
        for value in values:
            found.update(value.detach().cpu().float().contiguous().numpy().tobytes())
    return found.hexdigest()
