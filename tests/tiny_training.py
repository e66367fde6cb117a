"""A training small enough to repeat many times: two timesteps of a tiny network."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from asyrp.finders.clip_training import fit, new_direction
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import (
    UneditedTrajectory,
    Window,
    editing_window,
    joined,
    prepare,
)
from asyrp.settings import TrainSettings
from conftest import noise
from doubles import tiny_guide

SETTINGS = TrainSettings(
    steps=8,
    along="edited",
    epochs=2,
    batch_size=2,
    learning_rate=0.02,
    floor=0.005,
    validate_every=2,
    patience=100,
)
WINDOW = editing_window(999, 800, steps=8)  # two timesteps: 999 and 856
State = dict[str, Tensor]


class Job(NamedTuple):
    """Everything that `fit` takes but the checkpoint."""

    model: HSpaceUNet
    guide: TextDirection
    sources: UneditedTrajectory
    validation: UneditedTrajectory | None
    settings: TrainSettings
    window: Window = WINDOW

    def direction(self) -> nn.Module:
        return new_direction(self.model, self.window.grid, self.settings)

    def steps(self, direction: nn.Module, checkpoint: Path | None = None) -> Any:
        rest = (self.guide, self.sources, self.window.grid, self.settings, self.validation)
        return fit(self.model, direction, *rest, checkpoint)


def sources_of(
    model: HSpaceUNet, count: int, seed: int = 0, window: Window = WINDOW, clean: bool = False
) -> UneditedTrajectory:
    x = noise(count, 3, 16, 16, seed=seed)
    return joined(list(prepare(model, tiny_guide(), x, window, 2, x if clean else None)))


def new_job(model: HSpaceUNet, count: int = 3, **changes: Any) -> Job:
    validation = sources_of(model, 3, seed=90)
    settings = replace(SETTINGS, **changes)
    return Job(model, tiny_guide(), sources_of(model, count), validation, settings)


def trained(job: Job, checkpoint: Path | None = None) -> State:
    direction = job.direction()
    list(job.steps(direction, checkpoint))
    return copied(direction)


def copied(module: nn.Module) -> State:
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def scrambled(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(7.0)
    return module
