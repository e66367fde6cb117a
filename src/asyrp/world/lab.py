"""The world's bench: all networks, one grid, and how a scene of faces is edited and measured."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.bootstrap import Estimate
from asyrp.checkpoints import load_model
from asyrp.ddim import seeded_generators
from asyrp.direction_files import SavedDirection
from asyrp.directions import Direction, TimestepDirection, mean_direction
from asyrp.evaluation import Pictures, Tools, Wish, of_sets, per_image
from asyrp.guide import Guide, new_guide
from asyrp.intervals import Curves, find_intervals
from asyrp.jobs import Phases, make_card, start_training
from asyrp.metrics.features import FeatureNetwork
from asyrp.process import Attribute, Shift, asymmetric, walk
from asyrp.registry import load_distance, load_encoder
from asyrp.schedule import Pair, below, paper_grid
from asyrp.scorers import PerceptualDistance, TextImageEncoder
from asyrp.settings import TrainSettings
from asyrp.unet import HSpaceUNet
from asyrp.world.features import JudgeIdentity, PooledJudge
from asyrp.world.judge import Judge, load_judge
from asyrp.world.judging import AvatarJudging
from asyrp.world.scenes import Scene
from asyrp.world.segmenter import Segmenter, load_segmenter
from asyrp.world.tasks import Task

BATCH = 16

Generators = Sequence[torch.Generator]
Editing = Callable[[Tensor, slice, Generators], Tensor]
"""(latents of some rows, those rows, a generator each) -> edited images."""


class Lab(NamedTuple):
    """Every network of the world, and the settings of training."""

    model: HSpaceUNet
    encoder: TextImageEncoder
    distance: PerceptualDistance
    judge: Judge
    segmenter: Segmenter
    settings: TrainSettings

    @property
    def judging(self) -> AvatarJudging:
        """The judge as the metrics ask for it."""
        return AvatarJudging(self.judge)

    @property
    def features(self) -> FeatureNetwork:
        """For Frechet distances."""
        return PooledJudge(self.judge)

    def guide(self, task: Task) -> Guide:
        """The text pair of a task."""
        return new_guide(self.encoder, task.source, task.target)

    def grid(self, at: int) -> tuple[Pair, ...]:
        """The grid from timestep `at` down."""
        return below(paper_grid(self.settings.steps, self.model.schedule.length), at)


def open_lab(settings: TrainSettings | None = None) -> Lab:
    """Load everything; training without validation, so that every method gets the same budget."""
    settings = replace(settings or TrainSettings(), validate_every=0)
    return Lab(
        load_model("avatars-64"),
        load_encoder("avatars-64-clip"),
        load_distance("st-lpips-alex"),
        load_judge(),
        load_segmenter(),
        settings,
    )


def phases_of(lab: Lab, curves: Curves, task: Task) -> Phases:
    """The phases of a task, from curves of validation faces."""
    found = find_intervals(curves, lab.guide(task).cosine, lab.distance.thresholds)
    end = found.t_edit.t
    return Phases(max(end, found.t_start), end, min(end, found.t_boost.t))


def train_direction(
    lab: Lab, task: Task, phases: Phases, scene: Scene, model: HSpaceUNet | None = None
) -> SavedDirection:
    """A direction of lab.settings.kind, trained on a scene; `model` may be cut elsewhere."""
    guide = lab.guide(task)
    direction, steps, *_ = start_training(
        model or lab.model, guide, scene.pictures, scene.pictures[:0], phases, lab.settings
    )
    for _ in steps:
        pass
    texts = (task.source, task.target)
    card = make_card(lab.model, texts, guide, phases, lab.settings, {"images": len(scene.numbers)})
    return SavedDirection(direction.requires_grad_(False), card)


def acting(
    direction: nn.Module | Direction, phases: Phases, grid: Sequence[Pair], strength: float = 1.0
) -> Attribute:
    """A direction as it acts on a grid of the training's spacing: strength is the whole factor."""
    chosen = cast(Direction, direction)
    return Attribute(chosen, phases.t_edit, strength, len(grid), phases.t_start)


@torch.no_grad()
def batched(scene: Scene, editing: Editing, seed: int = 0) -> Tensor:
    """Edit a scene 16 faces at a time; face number i draws from a generator of its own."""
    parts = []
    for start in range(0, len(scene.numbers), BATCH):
        rows = slice(start, start + BATCH)
        generators = [seeded_generators(1, seed, number)[0] for number in scene.numbers[rows]]
        parts.append(editing(scene.latents[rows], rows, generators))
    return torch.cat(parts)


def edited(
    model: HSpaceUNet,
    scene: Scene,
    grid: Sequence[Pair],
    attributes: Sequence[Attribute],
    t_boost: int = 0,
    shift: Shift = asymmetric,
) -> Tensor:
    """A scene walked down with edits, (n, 3, 64, 64)."""

    def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
        for done in walk(model, x, grid, attributes, t_boost, generators, shift):
            x = done.x
        return x

    return batched(scene, editing)


class Recording:
    """A direction that keeps what it answers: timestep -> dh of every batch."""

    def __init__(self, direction: nn.Module | Direction) -> None:
        self.direction = cast(Direction, direction)
        self.seen: dict[int, list[Tensor]] = {}

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """The direction's dh."""
        dh = self.direction(h, emb, t)
        self.seen.setdefault(t, []).append(dh.expand_as(h).clone())
        return dh

    @property
    def table(self) -> dict[int, Tensor]:
        """timestep -> (n, c, h', w')."""
        return {t: torch.cat(parts) for t, parts in self.seen.items()}


def recorded(lab: Lab, scene: Scene, saved: SavedDirection, phases: Phases) -> dict[int, Tensor]:
    """dh_t of every face along its own edit."""
    grid = [pair for pair in lab.grid(scene.at) if pair.t >= phases.t_edit]
    record = Recording(saved.direction)
    edited(lab.model, scene, grid, [acting(record, phases, grid)])
    return record.table


def mean_of(table: dict[int, Tensor]) -> TimestepDirection:
    """dh_t^mean over the faces."""
    return mean_direction([table])


def tools_of(lab: Lab, guide: Guide) -> Tools:
    """Every network that measures."""
    identity = cast(Any, JudgeIdentity(lab.judge))
    return Tools(
        guide, lab.distance, lab.distance, lab.judging, lab.segmenter, lab.features, identity
    )


class Measured(NamedTuple):
    """metric -> value of each image, and metric -> estimate of whole sets."""

    values: dict[str, np.ndarray]
    sets: dict[str, Estimate]


def measured(lab: Lab, task: Task, scene: Scene, edits: Tensor) -> Measured:
    """Every metric of the edits of a scene."""
    pictures = Pictures(scene.images, edits, scene.reconstructions)
    tools = tools_of(lab, lab.guide(task))
    values = per_image(pictures, tools, Wish(task.factor, task.value))
    return Measured(values, of_sets(pictures, tools._replace(spread=None)))


def judged(lab: Lab, task: Task, scene: Scene, edits: Tensor) -> dict[str, np.ndarray]:
    """success, leakage, clean and lpips of each image: what tuning and studies look at."""
    pictures = Pictures(scene.images, edits, scene.reconstructions)
    tools = Tools(judging=lab.judging, distance=lab.distance)
    return per_image(pictures, tools, Wish(task.factor, task.value))
