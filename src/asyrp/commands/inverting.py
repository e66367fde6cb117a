"""Pictures as latents, as the commands that invert ask for them: in memory, or in a store."""

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from asyrp.commands.common import progress, say
from asyrp.domains.membership import stranger
from asyrp.errors import AsyrpError
from asyrp.finders.prepare import Pictures
from asyrp.method.editing import Inversion, edit, inversion_grid, invert, latents_of, random_latents
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import Name, inversion_of, top_of
from asyrp.method.latent_cache import invert_into, latents_from, recipe_of, state_key, walk_into
from asyrp.method.schedule import check_steps
from asyrp.options import Inverting
from asyrp.options.editing import Edit, Intervals, Invert, Train
from asyrp.options.finding import Find
from asyrp.runtime.distributed import SINGLE_PROCESS, ProcessGroup, assemble
from asyrp.scorers.load import check_rgb
from asyrp.storage.image_folders import find_images
from asyrp.storage.images import read_image
from asyrp.storage.record_store import RecordStore

LOOKED_AT = 8  # pictures, for whether they are of the domain
POOR_RECONSTRUCTION = 0.02  # mean squared error in [-1, 1] above which an edit will not look right


def drawn(model: HSpaceUNet, count: int, seed: int, steps: int, size: int) -> Pictures:
    """Samples of a network and their x_T, with a progress bar; `size` at a time."""
    latents = random_latents(model, count, seed)
    with progress(f"drawing {count} samples") as report:
        images = edit(model, latents, (), steps, batch_size=size, report=report)
    return Pictures(images, latents)


@dataclass(frozen=True)
class FolderImages(Sequence[Tensor]):
    """The pictures of a folder as x of a network, (c, height, width) each, read when asked for.

    held: all of them, (n, c, height, width), where they were read before.
    """

    paths: list[Path]
    model: HSpaceUNet
    held: Tensor | None = None

    @property
    def names(self) -> list[str]:
        """The file names."""
        return [path.name for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:  # type: ignore[override]
        if self.held is not None:
            return self.held[row]
        _, height, width = self.model.picture_shape
        return self.model.space.encode(read_image(self.paths[row], (height, width))[None])[0]

    def part(self, rows: slice) -> "FolderImages":
        """Some of them."""
        held = None if self.held is None else self.held[rows]
        return FolderImages(self.paths[rows], self.model, held)

    def stacked(self) -> Tensor:
        """All of them, (n, c, height, width); their memory is taken once."""
        if self.held is not None:
            return self.held
        first = self[0]
        whole = first.new_empty((len(self), *first.shape))
        for row, x in enumerate(self):
            whole[row] = x
        return whole


def folder_images(folder: Path, model: HSpaceUNet, most: int | None = None) -> FolderImages:
    """The pictures of a folder, or one; a network of latents gets their codes.

    Raises:
        AsyrpError: none there, or a network of other than RGB pictures.
    """
    check_rgb(model)
    return FolderImages(find_images(folder)[:most], model)


def tell_strangers(images: FolderImages, domain: str) -> None:
    """Warn of pictures, among the first, that a built-in domain does not know."""
    few, model = images.part(slice(LOOKED_AT)), images.model
    lines = [stranger(model, domain, x.to(model.device)) for x in few]
    told = [f"{name!r}: {line}" for name, line in zip(few.names, lines, strict=True) if line]
    if told:
        more = f" So for {len(told)} of the first {len(few)} pictures." if len(few) > 1 else ""
        say(f"warning: {told[0]}{more}")


def open_store(folder: Path, processes: ProcessGroup) -> RecordStore:
    """Open a store; the first process of a group makes it."""
    if processes.rank == 0:
        RecordStore(folder)
    processes.wait()
    return RecordStore(folder)


@dataclass(frozen=True)
class Inverter:
    """How a command inverts; each process of a group does its share and gets the latents of all.

    Raises:
        AsyrpError: a number of steps or refinements that cannot be.
    """

    model: HSpaceUNet
    steps: int
    inverting: Inverting
    batch_size: int = 16
    inversion: Name = "ddim"
    processes: ProcessGroup = SINGLE_PROCESS

    def __post_init__(self) -> None:
        check_steps(self.steps, self.model.schedule.length)
        if self.inverting.refinements < 0:
            raise AsyrpError(f"refinements must be 0 or more; got {self.inverting.refinements}")

    def __call__(self, images: Tensor, names: Sequence[str], up_to: int | None = None) -> Inversion:
        """Invert with a progress bar, and say how well the latents lead back."""
        own = images[self.processes.share(len(images))]
        if len(own):
            with progress(f"inverting {len(own)} images") as report:
                done = invert(self.model, own, report=report, up_to=up_to, **self._how())
        else:
            levels = len(inversion_grid(self.model, self.steps, up_to, self.inversion))
            none = inversion_of(self.inversion).empty(own, levels)
            done = Inversion(none, own, torch.zeros(0))
        if self.processes.size > 1:
            here = (part.to(self.model.device) for part in done)
            done = Inversion(*(self.processes.whole(part, len(images)) for part in here))
        tell_errors(done.errors, names)
        return done

    def latents(self, images: Tensor, up_to: int | None = None) -> Tensor:
        """x at the top of the latents of images, in about half the time."""
        own = images[self.processes.share(len(images))]
        if len(own):
            with progress(f"inverting {len(own)} images") as report:
                every = latents_of(self.model, own, report=report, up_to=up_to, **self._how())
            own = top_of(every, self.model.image_shape[0])
        return self.processes.whole(own.to(self.model.device), len(images))

    def _how(self) -> dict[str, Any]:
        how = {"steps": self.steps, "inversion": self.inversion, "batch_size": self.batch_size}
        return how | asdict(self.inverting)

    def into(self, store: RecordStore, images: FolderImages, up_to: int | None = None) -> list[str]:
        """Keys of the latents of images, inverted a batch at a time where the store lacks them."""
        how = (*astuple(self.inverting), up_to, self.inversion)
        recipe = recipe_of(self.model, self.steps, *how)
        own, new = images.part(self.processes.share(len(images))), 0
        keys = [""] * len(own)
        with progress(f"inverting {len(own)} images", "image") as report:
            rows = invert_into(store, self.model, recipe, own, self.batch_size)
            for done, (row, key, inverted) in enumerate(rows, start=1):
                keys[row], new = key, new + inverted
                report(done, len(own))
        store.flush()
        found, added = self.processes.joined(keys), sum(self.processes.joined([new]))
        store.refresh()
        say(f"{added} of {len(images)} images inverted; the store had the others")
        return found

    def led_back(self, store: RecordStore, images: FolderImages, keys: Sequence[str]) -> Pictures:
        """Images at T from their keys, as they come back; says how well they do.

        The walks of DDIM are kept in the store for training.
        """
        latents = latents_from(store, keys)
        if self.inversion == "ddim":
            back = self._walked(store, keys)
        else:
            how = {"batch_size": self.batch_size, "inversion": self.inversion}
            back = edit(self.model, latents, (), self.steps, **how).cpu()  # type: ignore[arg-type]
        pairs = zip(back, images, strict=True)
        errors = [(x.float() - image.cpu()).square().mean() for x, image in pairs]
        tell_errors(torch.stack(errors), images.names)
        return Pictures(back.to(self.model.device), latents.to(self.model.device))

    def _walked(self, store: RecordStore, keys: Sequence[str]) -> Tensor:
        grid, own = inversion_grid(self.model, self.steps), keys[self.processes.share(len(keys))]
        with progress(f"reconstructing {len(own)} images") as report:
            for done in accumulate(walk_into(store, self.model, own, grid, (), self.batch_size)):
                report(done, len(own) * len(grid))
        store.flush()
        self.processes.wait()
        store.refresh()
        return latents_from(store, [state_key(key, grid) for key in keys])


def inverter_of(
    model: HSpaceUNet, options: Edit | Find | Intervals | Invert | Train, steps: int
) -> Inverter:
    """The inverter of a command's options, with a grid of some steps."""
    network, by = options.network, "ddim" if isinstance(options, Find) else options.inversion
    processes = assemble(network.device)
    return Inverter(model, steps, options.inverting, network.at_once, by, processes)


def tell_errors(errors: Tensor, names: Sequence[str]) -> None:
    """Say how well images come back from their latents."""
    say(
        f"reconstruction error (MSE in [-1, 1]): mean {errors.mean():.5f}, worst {errors.max():.5f}"
    )
    poor = [name for name, e in zip(names, errors, strict=True) if not e <= POOR_RECONSTRUCTION]
    if poor:
        say(
            f"warning: {len(poor)} of {len(errors)} do not come back well ({', '.join(poor[:4])}); "
            "their edits will not either; try --refinements 2 or --inversion belm"
        )
