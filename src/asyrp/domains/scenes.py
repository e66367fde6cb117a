"""Faces with their latents at the first edited timestep: inverted once, used by every method."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.avatars.diffusion import to_unit
from asyrp.domains.tasks import Task, lacking
from asyrp.errors import AsyrpError
from asyrp.finders.prepare import EDIT_STEPS, Pictures
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import Pair, below, pairs, paper_grid
from asyrp.storage.files import atomic_path
from asyrp.storage.untrusted.tensors import open_safetensors

REFINEMENTS = 1  # of the inversion, as `asyrp edit` has by default


class Scene(NamedTuple):
    """Faces of a split, (n, 3, 64, 64) each: as drawn, at timestep `at`, and led back from there.

    numbers: of the faces in their split. steps: length of the grid that they are walked on.
    """

    split: str
    numbers: tuple[int, ...]
    at: int
    steps: int
    images: Tensor
    latents: Tensor
    reconstructions: Tensor

    @property
    def faces(self) -> list[Face]:
        """What is known about them."""
        return [sample_face(self.split, number) for number in self.numbers]

    def rows(self, rows: Sequence[int]) -> "Scene":
        """Some of them."""
        chosen = torch.as_tensor(rows, dtype=torch.long)
        return self._replace(
            numbers=tuple(self.numbers[row] for row in rows),
            images=self.images[chosen],
            latents=self.latents[chosen],
            reconstructions=self.reconstructions[chosen],
        )

    def lacking(self, task: Task, most: int) -> "Scene":
        """The first faces that show the task's factor but not its value.

        Raises:
            AsyrpError: fewer than `most`.
        """
        return self.first(lacking(self.faces, task), task, most)

    def first(self, rows: Sequence[int], task: Task, most: int) -> "Scene":
        """The first of the rows that lack a task's value.

        Raises:
            AsyrpError: fewer than `most`.
        """
        if len(rows) < most:
            raise AsyrpError(
                f"{task.name!r} needs {most} faces of {self.split!r} that lack it; among "
                f"{len(self.numbers)} are {len(rows)}; draw more"
            )
        return self.rows(rows[:most])

    def grid(self, length: int = 1000) -> tuple[Pair, ...]:
        """The pairs from `at` down."""
        return grid_from(self.at, self.steps, length)

    @property
    def pictures(self) -> Pictures:
        """As training takes them."""
        return Pictures(self.reconstructions, self.latents, self.at)


def new_scene(
    model: HSpaceUNet,
    split: str,
    count: int,
    at: int,
    steps: int = EDIT_STEPS,
    batch_size: int = 16,
) -> Scene:
    """Draw the first faces of a split and invert them up to timestep `at` of the grid."""
    images = to_unit(np.stack([draw(sample_face(split, number)) for number in range(count)]))
    return scene_of(model, images, split, at, steps, batch_size)


def scene_of(
    model: HSpaceUNet, images: Tensor, split: str, at: int, steps: int, batch_size: int
) -> Scene:
    """Images of any network as a scene, inverted up to timestep `at` of the grid."""
    done = invert(model, images, steps, refinements=REFINEMENTS, batch_size=batch_size, up_to=at)
    top = below(paper_grid(steps, model.schedule.length), at)[0].t
    numbers = tuple(range(len(images)))
    return Scene(split, numbers, top, steps, images, done.latents, done.reconstructions)


def grid_from(at: int, steps: int, length: int = 1000) -> tuple[Pair, ...]:
    """The grid of `steps` timesteps from `at` down, `at` itself included.

    Raises:
        AsyrpError: it would have fewer than two timesteps.
    """
    under = {pair.t for pair in paper_grid(steps, length) if pair.t < at}
    if not under:
        raise AsyrpError(f"a {steps}-step grid has no timestep below {at}; use more steps")
    return pairs(sorted(under | {at}))


def save_scene(path: Path, scene: Scene) -> None:
    """Write a scene, whole or not at all."""
    tensors = {
        "images": scene.images,
        "latents": scene.latents,
        "reconstructions": scene.reconstructions,
    }
    header = {"split": scene.split, "numbers": json.dumps(scene.numbers)}
    header |= {"at": str(scene.at), "steps": str(scene.steps)}
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, header)


def load_scene(path: Path) -> Scene:
    """Read a scene.

    Raises:
        AsyrpError: missing or damaged.
    """
    try:
        with open_safetensors(path) as file:
            header = file.metadata()
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        numbers = tuple(json.loads(header["numbers"]))
        return Scene(header["split"], numbers, int(header["at"]), int(header["steps"]), **tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise AsyrpError(f"{str(path)!r} holds no faces ({error}); delete it") from error
