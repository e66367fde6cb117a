"""Latents and unedited walks in a store: each image is walked once, for every command and process.

A key says all that a record depends on: the network, its precision, the grid, the convention, the
refinements and the pixels of the image. So a store never mixes networks or settings, and the same
picture under two names is one record.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.ddim import Convention, check_convention
from asyrp.method.editing import as_state, inversion_grid, riser
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import Name, inversion_of
from asyrp.method.schedule import Pair
from asyrp.runtime.batching import in_batches
from asyrp.runtime.transfer import Leaving, sent
from asyrp.storage.finite import check_result
from asyrp.storage.record_store import RecordStore, key_of


@dataclass(frozen=True)
class Recipe:
    """All that a latent depends on but its image.

    network: fingerprint. times: of the grid, ascending to the timestep of the latent.
    """

    network: str
    dtype: str
    times: tuple[int, ...]
    convention: Convention = "source"
    refinements: int = 0
    inversion: Name = "ddim"

    def __post_init__(self) -> None:
        inversion_of(self.inversion)
        check_convention(self.convention)
        if self.refinements < 0:
            raise AsyrpError(f"refinements must be 0 or more; got {self.refinements}")

    def key(self, image: Tensor) -> str:
        """The key of the latent of an image (c, height, width) in [-1, 1]."""
        said = asdict(self)
        if self.inversion == "ddim":
            del said["inversion"]  # the stores of before there were others keep their keys
        else:
            del said["convention"], said["refinements"]  # DDIM's
        return key_of("latent", said, hash_of(image))


def recipe_of(
    model: HSpaceUNet,
    steps: int = 40,
    convention: Convention = "source",
    refinements: int = 0,
    up_to: int | None = None,
    inversion: Name = "ddim",
) -> Recipe:
    """The recipe of `api.invert` with the same arguments.

    Raises:
        AsyrpError: no timestep of the grid lies at `up_to` or below.
    """
    times = tuple(pair.t for pair in reversed(inversion_grid(model, steps, up_to, inversion)))
    return Recipe(model.fingerprint(), str(model.dtype), times, convention, refinements, inversion)


def hash_of(image: Tensor) -> str:
    """SHA-256 (hex) of an image's shape and pixels in float32."""
    pixels = image.detach().to("cpu", torch.float32).contiguous()
    return hashlib.sha256(str(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()).hexdigest()


class Kept(NamedTuple):
    """An image whose latent is in the store. new: whether it was inverted for it now."""

    row: int
    key: str
    new: bool


@torch.no_grad()
def invert_into(
    store: RecordStore,
    model: HSpaceUNet,
    recipe: Recipe,
    images: Iterable[Tensor],
    batch_size: int = 16,
) -> Iterator[Kept]:
    """Invert what the store lacks, holding one batch of images at a time.

    Args:
        images: each (c, height, width) in [-1, 1], read as they are needed.

    Yields each image when its latent is there; close the walk with `store.flush()`.
    """
    waiting: list[tuple[int, str, Tensor]] = []
    for row, image in enumerate(images):
        key = recipe.key(image)
        if key in store:
            yield Kept(row, key, False)
            continue
        waiting.append((row, key, image))
        if len(waiting) == batch_size:
            yield from _inverted(store, model, recipe, waiting)
            waiting = []
    if waiting:
        yield from _inverted(store, model, recipe, waiting)


def _inverted(
    store: RecordStore,
    model: HSpaceUNet,
    recipe: Recipe,
    waiting: Sequence[tuple[int, str, Tensor]],
) -> Iterator[Kept]:
    grid = _grid(recipe.times)
    rise = riser(recipe.inversion, recipe.convention, recipe.refinements)

    def inverted(rows: slice) -> Tensor:
        x = as_state(model, torch.stack([image for _, _, image in waiting[rows]]))
        for step in rise(model, model.schedule, x, grid):
            x = step.x
        return x.cpu()

    latents = torch.cat(list(in_batches(len(waiting), len(waiting), inverted)))
    for (_, key, _), latent in zip(waiting, latents, strict=True):
        store.add(key, {"x": latent.clone()})
    store.write_due()  # a whole batch or none: after a kill the rest falls into the same batches
    yield from (Kept(row, key, True) for row, key, _ in waiting)


def _grid(times: Sequence[int]) -> tuple[Pair, ...]:
    return tuple(Pair(t, s) for t, s in zip(times[::-1], (*times[-2::-1], -1), strict=True))


def add_latents(store: RecordStore, model: HSpaceUNet, latents: Tensor) -> list[str]:
    """Keep latents that come from elsewhere, such as random ones; returns their keys."""
    network = [model.fingerprint(), str(model.dtype)]
    keys = [key_of("given", network, hash_of(latent)) for latent in latents]
    for key, latent in zip(keys, latents.cpu(), strict=True):
        store.add(key, {"x": latent.clone()})
    store.write_due()
    return keys


def latents_from(store: RecordStore, keys: Sequence[str]) -> Tensor:
    """Latents (n, c, height, width) by their keys.

    Raises:
        AsyrpError: one is missing or damaged.
    """
    found = [_x_of(store, key) for key in keys]
    if len({x.shape for x in found}) > 1:
        raise AsyrpError(f"the store {str(store.folder)!r} holds latents of other networks")
    return torch.stack(found)


def _x_of(store: RecordStore, key: str) -> Tensor:
    x = store.read(key).get("x")
    if x is None or not x.is_floating_point():
        raise AsyrpError(f"record {key[:12]}... of {str(store.folder)!r} holds no x; invert again")
    return x


Key = Callable[[str, Sequence[Pair]], str]
"""The key of a latent, and what was walked from it -> the key of what was found there."""


def state_key(latent: str, walked: Sequence[Pair]) -> str:
    """The key of x after the unedited walk from a latent over some pairs; the latent's for none."""
    return key_of("state", latent, list(walked)) if walked else latent


def x0_key(latent: str, walked: Sequence[Pair]) -> str:
    """The key of the P_t that the last of these pairs of the unedited walk predicts."""
    return key_of("x0", latent, list(walked))


@torch.no_grad()
def walk_into(
    store: RecordStore,
    model: HSpaceUNet,
    latents: Sequence[str],
    lead: Sequence[Pair],
    grid: Sequence[Pair],
    batch_size: int = 16,
) -> Iterator[int]:
    """Walk latents of the store over `lead` and `grid` unedited where it was not done before.

    Kept are every P_t of `grid`, and x where lead and grid end; a longer walk continues there.
    Yields the number of images that each step of a batch walked.
    """
    starts: dict[int, list[str]] = {}
    for latent in latents:
        starts.setdefault(_resume(store, latent, lead, grid), []).append(latent)
    for first, group in starts.items():

        def walked(rows: slice, group: list[str] = group, first: int = first) -> list[int]:
            return list(_walked(store, model, group[rows], lead, grid, first))

        for done in in_batches(len(group), batch_size, walked):
            yield from done


def _resume(store: RecordStore, latent: str, lead: Sequence[Pair], grid: Sequence[Pair]) -> int:
    """How many pairs need not be walked again."""
    pairs = (*lead, *grid)
    for done in range(len(pairs), -1, -1):
        predicted = (x0_key(latent, pairs[: i + 1]) for i in range(len(lead), done))
        begun = done < len(lead) or state_key(latent, lead) in store
        if (
            begun
            and state_key(latent, pairs[:done]) in store
            and all(k in store for k in predicted)
        ):
            return done
    raise AsyrpError(f"the store {str(store.folder)!r} lacks the latent {latent}; invert again")


def _walked(
    store: RecordStore,
    model: HSpaceUNet,
    latents: Sequence[str],
    lead: Sequence[Pair],
    grid: Sequence[Pair],
    first: int,
) -> Iterator[int]:
    pairs = (*lead, *grid)
    x = latents_from(store, [state_key(latent, pairs[:first]) for latent in latents])
    x, waiting = sent(x, model.device), None
    for done in range(first, len(pairs)):
        (step,) = reverse_process(model, x, pairs[done : done + 1])
        x, before, kept = step.x, waiting, dict[Key, Leaving]()
        if done >= len(lead):
            kept[x0_key] = Leaving(step.x0)
        if done + 1 in (len(lead), len(pairs)):
            kept[state_key] = Leaving(step.x)
        waiting = pairs[: done + 1], kept
        if before is not None:  # written while a GPU makes the step after it
            yield _keep(store, latents, *before)
    if waiting is not None:
        yield _keep(store, latents, *waiting)


def _keep(
    store: RecordStore,
    latents: Sequence[str],
    walked: Sequence[Pair],
    kept: Mapping[Key, Leaving],
) -> int:
    for key, leaving in kept.items():
        values = check_result(leaving.landed(), "the unedited walk")
        for latent, value in zip(latents, values, strict=True):
            store.add(key(latent, walked), {"x": value.clone()})
    store.write_due()
    return len(latents)
