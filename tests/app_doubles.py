"""A studio with a tiny network, and what the tests of the page share."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from asyrp.app.plans import own_marks
from asyrp.app.sessions import SLOTS, Session, assign
from asyrp.app.studio import Habits, Studio
from asyrp.app.training import Scorers
from asyrp.method.direction_file import DirectionCard, save_direction
from asyrp.method.directions import GlobalDirection, TimestepDirection
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import Thresholds
from asyrp.method.schedule import paper_grid
from conftest import noise, tiny_model

STEPS = 10
GRID = paper_grid(STEPS, 1000)


class Hashed:
    """An encoder whose texts are random vectors of their letters, and whose images are averages."""

    name, text_common = "hashed", 0.5

    def text_features(self, texts: Sequence[str]) -> Tensor:
        rows = [noise(12, seed=sum(text.encode())) for text in texts]
        return functional.normalize(torch.stack(rows), dim=1)

    def image_features(self, images: Tensor) -> Tensor:
        pooled = functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return functional.normalize(pooled + 0.1, dim=1)


class Absolute:
    """A distance with thresholds that an untrained network reaches."""

    name, thresholds = "absolute", Thresholds(edit=0.5, boost=0.05)

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().flatten(1).mean(1)


def write_directions(model: HSpaceUNet, folder: Path) -> None:
    """strange (a table on [700, 400]) and odd (one dh on [T, 500]), both large."""
    folder.mkdir(exist_ok=True)
    shape, fingerprint = model.h_shape, model.fingerprint()
    table = TimestepDirection({t: noise(*shape, seed=t) for t in (444, 555, 666)})
    card = DirectionCard("face", "strange face", 400, 150, STEPS, fingerprint, t_start=700)
    save_direction(folder / "strange.safetensors", table, card)
    card = DirectionCard("face", "odd <b>face</b>", 500, 300, STEPS, fingerprint, strength=2.0)
    save_direction(folder / "odd.safetensors", GlobalDirection(noise(*shape, seed=2)), card)


def new_studio(folder: Path, directions: bool = True) -> Studio:
    """A studio of a tiny network whose directions lie in folder/own."""
    model = tiny_model()
    if directions:
        write_directions(model, folder / "own")
    habits = Habits(steps=STEPS, people=3)
    return Studio(Scorers(model, Hashed(), Absolute()), folder / "own", habits)


def finish(steps: Iterable[Any]) -> list[Any]:
    return list(steps)


def values(**changes: Any) -> list[Any]:
    """The controls as the page sends them."""
    given = {"strengths": [1.0] * SLOTS, "marks": [999, 0, 0], "boost": True, "seed": 0} | changes
    return [*given["strengths"], *given["marks"], given["boost"], given["seed"]]


def chosen(studio: Studio, session: Session, *keys: str, **changes: Any) -> list[Any]:
    """Controls with directions in their slots, marks their own."""
    session.slots = assign(session.slots, keys)
    entries = studio.gallery.listing().entries
    marks = own_marks([entries[key] for key in keys], studio.top)
    return values(marks=list(marks), **changes)
