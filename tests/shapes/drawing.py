"""Circles, squares and triangles in three colours on 16 x 16 pixels, drawn by numpy."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SIZE = 16
FORMS = ("circle", "square", "triangle")
COLOURS: Mapping[str, tuple[float, float, float]] = {
    "red": (0.8, -0.7, -0.7),
    "green": (-0.7, 0.7, -0.7),
    "blue": (-0.7, -0.6, 0.8),
}
VALUES: Mapping[str, tuple[str, ...]] = {"form": FORMS, "colour": tuple(COLOURS)}
SPLITS = {"train": 1, "validation": 2, "test": 3}


class Shape(NamedTuple):
    """One value of both factors."""

    form: str
    colour: str


EVERY = tuple(Shape(form, colour) for form in FORMS for colour in COLOURS)


def sample(split: str, number: int) -> Shape:
    """Shape number `number` of a split."""
    rng = np.random.default_rng([SPLITS[split], number])
    return EVERY[rng.integers(len(EVERY))]


def draw(shape: Shape) -> Tensor:
    """(3, 16, 16) in [-1, 1]."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    inside = {
        "circle": x**2 + y**2 <= 30,
        "square": (abs(x) <= 4.6) & (abs(y) <= 4.6),
        "triangle": (y >= -5) & (y <= 5) & (abs(x) <= (y + 5) * 0.6),
    }[shape.form]
    picture = np.full((3, SIZE, SIZE), -0.9, np.float32)
    picture[:, inside] = np.array(COLOURS[shape.colour], np.float32)[:, None]
    return torch.from_numpy(picture)
