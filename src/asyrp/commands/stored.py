"""What `invert`, `train` and `edit` share where latents are kept in a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from asyrp.commands.common import progress, say, tell_errors
from asyrp.finders.prepare import Pictures
from asyrp.method.editing import edit, inversion_grid
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import Name
from asyrp.method.latent_cache import invert_into, latents_from, recipe_of, state_key, walk_into
from asyrp.method.schedule import check_steps
from asyrp.options import Inverting
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup
from asyrp.scorers.load import check_rgb
from asyrp.storage.image_folders import find_images
from asyrp.storage.images import read_image
from asyrp.storage.record_store import RecordStore


@dataclass(frozen=True)
class FolderImages(Sequence[Tensor]):
    """The pictures of a folder as x of a network, (c, height, width) each, read when asked for."""

    paths: tuple[Path, ...]
    model: HSpaceUNet

    @property
    def names(self) -> list[str]:
        """The file names."""
        return [path.name for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:  # type: ignore[override]
        _, height, width = self.model.picture_shape
        return self.model.space.encode(read_image(self.paths[row], (height, width))[None])[0]

    def part(self, rows: slice) -> "FolderImages":
        """Some of them."""
        return FolderImages(self.paths[rows], self.model)


def folder_images(folder: Path, model: HSpaceUNet) -> FolderImages:
    """The pictures of a folder, or one.

    Raises:
        AsyrpError: none there, or a network of other than RGB pictures.
    """
    check_rgb(model)
    return FolderImages(tuple(find_images(folder)), model)


def open_store(folder: Path, processes: ProcessGroup = SINGLE_PROCESS) -> RecordStore:
    """Open a store; the first process of a team makes it."""
    if processes.rank == 0:
        RecordStore(folder)
    processes.wait()
    return RecordStore(folder)


def keys_in(
    store: RecordStore,
    images: FolderImages,
    steps: int,
    options: Inverting,
    batch_size: int,
    processes: ProcessGroup = SINGLE_PROCESS,
    up_to: int | None = None,
    inversion: Name = "ddim",
) -> list[str]:
    """The keys of the latents of images, inverted where the store lacks them.

    Each process of a team does its share, a batch at a time.
    """
    model = images.model
    check_steps(steps, model.schedule.length)
    how = (options.convention, options.refinements, up_to, inversion)
    recipe = recipe_of(model, steps, *how)
    own, new = images.part(processes.share(len(images))), 0
    keys = [""] * len(own)
    with progress(f"inverting {len(own)} images", "image") as report:
        rows = invert_into(store, model, recipe, own, batch_size)
        for done, (row, key, inverted) in enumerate(rows, start=1):
            keys[row], new = key, new + inverted
            report(done, len(own))
    store.flush()
    found, added = processes.joined(keys), sum(processes.joined([new]))
    store.refresh()
    say(f"{added} of {len(images)} images inverted; the store had the others")
    return found


def with_reconstructions(
    store: RecordStore,
    images: FolderImages,
    keys: Sequence[str],
    steps: int,
    batch_size: int,
    processes: ProcessGroup = SINGLE_PROCESS,
    inversion: Name = "ddim",
) -> Pictures:
    """Images at T, as they come back; says how well they do.

    The walks of DDIM are kept in the store for training.
    """
    model, grid = images.model, inversion_grid(images.model, steps, None, inversion)
    if inversion == "ddim":
        own = keys[processes.share(len(keys))]
        with progress(f"reconstructing {len(own)} images") as report:
            walked = walk_into(store, model, own, grid, (), batch_size)
            for done in accumulate(walked):
                report(done, len(own) * len(grid))
        store.flush()
        processes.wait()
        store.refresh()
        back = latents_from(store, [state_key(key, grid) for key in keys])
    else:
        found = latents_from(store, keys)
        back = edit(model, found, (), steps, batch_size=batch_size, inversion=inversion).cpu()
    tell_errors(errors_of(back, images), images.names)
    return Pictures(back.to(model.device), latents_from(store, keys).to(model.device))


def errors_of(back: Tensor, images: FolderImages) -> Tensor:
    """Mean squared error of each reconstruction in [-1, 1], (n,)."""
    rows = [
        (x.float() - image.cpu()).square().mean() for x, image in zip(back, images, strict=True)
    ]
    return torch.stack(rows)
