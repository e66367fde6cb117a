"""The world's bench: all networks, and how a scene of faces is edited and measured."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.domains.avatars.features import JudgeIdentity, PooledJudge
from asyrp.domains.avatars.judge import load_judge
from asyrp.domains.avatars.judging import AvatarJudging
from asyrp.domains.avatars.segmenter import load_segmenter
from asyrp.domains.scenes import Scene, new_scene
from asyrp.domains.tasks import Task
from asyrp.finders.prepare import make_card, start_training
from asyrp.method.asymmetric_process import Attribute, Shift, asymmetric, reverse_process
from asyrp.method.ddim import seeded_generators
from asyrp.method.direction_file import SavedDirection
from asyrp.method.directions import Direction, TimestepDirection, mean_direction
from asyrp.method.editing_interval import Curves, EditInterval, find_intervals
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance, TextImageEncoder
from asyrp.method.strength import STRENGTHS, response, saturation
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.metrics.answers import Grading
from asyrp.metrics.features import FeatureNetwork
from asyrp.metrics.perceptual import distances
from asyrp.metrics.structure import Segmenting
from asyrp.metrics.table import Pictures, Scorers, Wish, features_in, of_sets, per_image
from asyrp.networks import load_model
from asyrp.reporting.bootstrap import Estimate
from asyrp.scorers.load import load_distance, load_encoder
from asyrp.settings import TrainSettings

BATCH = 16

Generators = Sequence[torch.Generator]
Editing = Callable[[Tensor, slice, Generators], Tensor]
"""(latents of some rows, those rows, a generator each) -> edited images."""


class Lab(NamedTuple):
    """Every network, and the settings of training; all look at x as `model` has it.

    features: of Frechet distances.
    """

    model: HSpaceUNet
    encoder: TextImageEncoder
    distance: PerceptualDistance
    judging: Grading
    features: FeatureNetwork
    settings: TrainSettings
    segmenting: Segmenting | None = None
    identity: FeatureNetwork | None = None

    def guide(self, task: Task) -> TextDirection:
        """The text pair of a task."""
        return new_text_direction(self.encoder, task.source, task.target)


def open_lab(settings: TrainSettings | None = None) -> Lab:
    """Load the world; training without validation, so that every method gets the same budget."""
    settings, judge = replace(settings or TrainSettings(), validate_every=0), load_judge()
    return Lab(
        load_model("avatars-64"),
        load_encoder("avatars-64-clip"),
        load_distance("st-lpips-alex"),
        AvatarJudging(judge),
        PooledJudge(judge),
        settings,
        load_segmenter(),
        JudgeIdentity(judge),
    )


def phases_of(lab: Lab, curves: Curves, task: Task) -> EditInterval:
    """The phases of a task, from curves of validation faces."""
    return find_intervals(curves, lab.guide(task).cosine, lab.distance.thresholds).interval


class Fitted(NamedTuple):
    """A trained direction, and its loss: the mean over the last batch's timesteps."""

    saved: SavedDirection
    loss: float


def fitted(
    lab: Lab, task: Task, phases: EditInterval, scene: Scene, model: HSpaceUNet | None = None
) -> Fitted:
    """A direction of lab.settings.kind, trained on a scene; `model` may be cut elsewhere."""
    guide = lab.guide(task)
    job = start_training(
        model or lab.model, guide, scene.pictures, scene.pictures[:0], phases, lab.settings
    )
    losses = [step.total for step in job.steps]
    texts = (task.source, task.target)
    card = make_card(lab.model, texts, guide, phases, lab.settings, {"images": len(scene.numbers)})
    saved = SavedDirection(job.direction.requires_grad_(False), card)
    (goal,) = job.goals
    return Fitted(saved, float(np.mean(losses[-len(goal.grid) :])))


def train_direction(
    lab: Lab, task: Task, phases: EditInterval, scene: Scene, model: HSpaceUNet | None = None
) -> SavedDirection:
    """The direction of `fitted`."""
    return fitted(lab, task, phases, scene, model).saved


def saturated(
    lab: Lab, task: Task, phases: EditInterval, saved: SavedDirection, faces: int
) -> float:
    """`saturated_on` the first validation faces."""
    scene = new_scene(lab.model, "validation", faces, phases.t_start, lab.settings.steps)
    return saturated_on(lab, task, phases, saved, scene)


def saturated_on(
    lab: Lab, task: Task, phases: EditInterval, saved: SavedDirection, scene: Scene
) -> float:
    """The strength at which images no longer respond, as `asyrp train` finds it."""
    guide, steps, length = lab.guide(task), lab.settings.steps, lab.model.schedule.length
    window = editing_window(phases.t_start, phases.t_edit, steps, length, scene.at)
    sources = joined(list(prepare(lab.model, guide, scene.latents, window, BATCH)))
    direction = cast(Direction, saved.direction)
    made = [response(lab.model, direction, s, guide, sources, window.grid) for s in STRENGTHS]
    return saturation(STRENGTHS, made)


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
    attributes: Sequence[Attribute],
    t_boost: int = 0,
    shift: Shift = asymmetric,
) -> Tensor:
    """A scene walked down its grid with edits, (n, 3, 64, 64)."""
    grid = scene.grid(model.schedule.length)

    def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
        for done in reverse_process(model, x, grid, attributes, t_boost, generators, shift):
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


def recorded(lab: Lab, scene: Scene, saved: SavedDirection) -> dict[int, Tensor]:
    """dh_t of every face along its own edit at strength 1."""
    record = Recording(saved.direction)
    kept = SavedDirection(cast(nn.Module, record), saved.card)
    edited(lab.model, scene, [kept.attribute(1.0)])
    return record.table


def mean_of(table: dict[int, Tensor]) -> TimestepDirection:
    """dh_t^mean over the faces."""
    return mean_direction([table])


def scorers_of(lab: Lab, guide: TextDirection) -> Scorers:
    """Every network that measures."""
    return Scorers(
        guide, lab.distance, lab.distance, lab.judging, lab.segmenting, lab.features, lab.identity
    )


class Measured(NamedTuple):
    """metric -> value of each image, and metric -> estimate of whole sets."""

    values: dict[str, np.ndarray]
    sets: dict[str, Estimate]


def measured(lab: Lab, task: Task, scene: Scene, edits: Tensor) -> Measured:
    """Every metric of the edits of a scene."""
    pictures = Pictures(scene.images, edits, scene.reconstructions)
    tools = scorers_of(lab, lab.guide(task))._replace(distance=None, spread=None)
    values = per_image(pictures, tools, Wish(task.factor, task.value))
    values["lpips"] = distances(lab.distance, scene.images, edits)
    return Measured(values, of_sets([pictures], tools, features_in([pictures], tools)))


def judged(lab: Lab, task: Task, scene: Scene, edits: Tensor) -> dict[str, np.ndarray]:
    """success, leakage, clean and lpips of each image: what tuning and studies look at."""
    pictures = Pictures(scene.images, edits)
    tools = Scorers(judging=lab.judging, distance=lab.distance)
    return per_image(pictures, tools, Wish(task.factor, task.value))
