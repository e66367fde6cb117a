"""The faces on which speed-ups are judged."""

from collections.abc import Iterator
from itertools import count as numbers
from itertools import islice
from typing import NamedTuple

import numpy as np
from torch import Tensor

from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.base import Task
from asyrp.method.editing import latents_of
from asyrp.method.hspace import HSpaceUNet
from asyrp.storage.images import from_uint8


class Held(NamedTuple):
    """Faces that lack a value, and their latents at T."""

    images: Tensor
    latents: Tensor


def held(model: HSpaceUNet, task: Task, split: str, count: int, steps: int) -> Held:
    """The first faces of a split that lack the value, inverted."""
    faces = list(islice(_lacking(task, split), count))
    images = from_uint8(np.stack([draw(face) for face in faces]))
    return Held(images, latents_of(model, images, steps, refinements=1))


def _lacking(task: Task, split: str) -> Iterator[Face]:
    for number in numbers():
        face = sample_face(split, number)
        if face.label(task.attribute) not in (None, task.value):
            yield face
