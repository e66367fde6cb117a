"""Images with their latents at the first edited timestep: inverted once, used by every method."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from asyrp.domains.base import Domain, Images, Split, Task
from asyrp.errors import AsyrpError
from asyrp.finders.prepare import EDIT_STEPS, Pictures
from asyrp.method.asymmetric_process import (
    Attribute,
    ReverseStep,
    Shift,
    asymmetric,
    reverse_process,
)
from asyrp.method.ddim import Step, seeded_generators
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Timesteps, below, pairs, paper_grid
from asyrp.runtime.batching import in_batches
from asyrp.storage.files import save_tensors
from asyrp.storage.untrusted.tensors import open_safetensors

REFINEMENTS = 1  # of the inversion, as `asyrp edit` has by default
BATCH = 16

Generators = Sequence[torch.Generator]
Walk = Callable[[Tensor, slice, Generators], Iterable[Step | ReverseStep]]
"""(latents of some rows, those rows, a generator each) -> steps, whose last x are the edits."""


class InvertedImages(NamedTuple):
    """Images of a split, (n, c, height, width) each: clean, at timestep `at`, and reconstructed.

    numbers: of the images in their split. steps: length of the grid that they are walked on.
    """

    split: Split
    numbers: tuple[int, ...]
    at: int
    steps: int
    images: Tensor
    latents: Tensor
    reconstructions: Tensor

    @property
    def clean(self) -> Images:
        """As the domain knows them."""
        return Images(self.split, self.numbers, self.images)

    @property
    def pictures(self) -> Pictures:
        """As training takes them."""
        return Pictures(self.reconstructions, self.latents, self.at)

    @property
    def errors(self) -> np.ndarray:
        """Mean squared error of each reconstruction, (n,)."""
        return (self.images - self.reconstructions).square().mean((1, 2, 3)).cpu().numpy()

    def rows(self, rows: Sequence[int]) -> "InvertedImages":
        """Some of them."""
        chosen = torch.as_tensor(rows, dtype=torch.long)
        return self._replace(
            numbers=tuple(self.numbers[row] for row in rows),
            images=self.images[chosen],
            latents=self.latents[chosen],
            reconstructions=self.reconstructions[chosen],
        )

    def few(self, most: int) -> "InvertedImages":
        """The first of them, as many as asked for or all."""
        return self.rows(range(min(most, len(self.numbers))))

    def grid(self, length: int = 1000) -> Timesteps:
        """The pairs from `at` down."""
        return grid_from(self.at, self.steps, length)


def inverted(
    model: HSpaceUNet, images: Images, at: int, steps: int = EDIT_STEPS, batch_size: int = BATCH
) -> InvertedImages:
    """Invert images up to timestep `at` of a grid of `steps`."""
    x = images.x
    done = invert(model, x, steps, refinements=REFINEMENTS, batch_size=batch_size, up_to=at)
    top = below(paper_grid(steps, model.schedule.length), at)[0].t
    return InvertedImages(
        images.split, images.numbers, top, steps, x, done.latents, done.reconstructions
    )


def lacking(domain: Domain, images: InvertedImages, task: Task, most: int) -> InvertedImages:
    """The first images that show the task's attribute but not its value.

    Raises:
        AsyrpError: fewer than `most`.
    """
    rows = domain.lacking(images.clean, task)
    if len(rows) < most:
        raise AsyrpError(
            f"{task.name!r} needs {most} images of {images.split!r} that lack it; among "
            f"{len(images.numbers)} are {len(rows)}; give more"
        )
    return images.rows(rows[:most])


def grid_from(at: int, steps: int, length: int = 1000) -> Timesteps:
    """The part of the grid of `steps` timesteps from `at` down, `at` itself included.

    Raises:
        AsyrpError: it would have fewer than two timesteps.
    """
    under = {pair.t for pair in paper_grid(steps, length) if pair.t < at}
    if not under:
        raise AsyrpError(f"a {steps}-step grid has no timestep below {at}; use more steps")
    return Timesteps(pairs(sorted(under | {at})).pairs, steps)


@torch.no_grad()
def batched(images: InvertedImages, walk: Walk) -> Tensor:
    """Edit images some at a time; image number i draws from a generator of its own."""

    def work(rows: slice) -> Tensor:
        generators = [seeded_generators(1, 0, number)[0] for number in images.numbers[rows]]
        x = images.latents[rows]
        for done in walk(x, rows, generators):
            x = done.x
        return x

    return torch.cat(list(in_batches(len(images.numbers), BATCH, work)))


def edited(
    model: HSpaceUNet,
    images: InvertedImages,
    attributes: Sequence[Attribute],
    t_boost: int = 0,
    shift: Shift = asymmetric,
) -> Tensor:
    """Images walked down their grid with edits, (n, c, height, width)."""
    grid = images.grid(model.schedule.length)

    def walk(x: Tensor, _: slice, generators: Generators) -> Iterable[ReverseStep]:
        return reverse_process(model, x, grid, attributes, t_boost, generators, shift)

    return batched(images, walk)


def save_inverted(path: Path, images: InvertedImages) -> None:
    """Write inverted images, whole or not at all."""
    names = ("images", "latents", "reconstructions")
    header = {"split": images.split, "numbers": json.dumps(images.numbers)}
    header |= {"at": str(images.at), "steps": str(images.steps)}
    save_tensors(path, {name: getattr(images, name) for name in names}, header)


def load_inverted(path: Path, device: torch.device | str = "cpu") -> InvertedImages:
    """Read inverted images.

    Raises:
        AsyrpError: missing or damaged.
    """
    try:
        with open_safetensors(path) as file:
            header = file.metadata()
            tensors = {key: file.get_tensor(key).to(device) for key in file.keys()}
        numbers, split = tuple(json.loads(header["numbers"])), cast(Split, header["split"])
        return InvertedImages(split, numbers, int(header["at"]), int(header["steps"]), **tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} holds no images ({error}); delete it") from error
