"""The methods that are compared, each as: train it, the settings to tune, edit with one setting."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from asyrp.domains.avatars.avatars import FACTORS, Face, draw
from asyrp.domains.avatars.diffusion import to_unit
from asyrp.domains.lab import (
    Generators,
    Lab,
    batched,
    edited,
    mean_of,
    recorded,
    train_direction,
)
from asyrp.domains.scenes import Scene
from asyrp.domains.tasks import Task
from asyrp.editing_methods.classifier_guidance import NoisyClassifier, guided
from asyrp.editing_methods.diffusionclip import blended, fine_tune, trainable
from asyrp.editing_methods.image_guidance import ilvr, sdedit
from asyrp.editing_methods.other_spaces import epsilon_space
from asyrp.finders.prepare import Phases
from asyrp.method.asymmetric_process import symmetric
from asyrp.method.cost import Cost, counted
from asyrp.method.direction_file import SavedDirection, load_direction, save_direction
from asyrp.method.directions import global_direction
from asyrp.method.text_direction import TextDirection
from asyrp.method.unedited_trajectory import editing_window, joined, prepare
from asyrp.runtime.resumable import result_of, seconds_of
from asyrp.storage.untrusted.tensors import load_safetensors

Setting = Mapping[str, float]
STRENGTHS: tuple[Setting, ...] = tuple({"strength": s} for s in (0.5, 0.8, 1.3, 2.1))
SHARES: tuple[Setting, ...] = tuple({"share": s} for s in (0.5, 0.8, 1.3, 2.1))
TABLE_RATE = 1e-2  # Adam's, for tables of eps: every entry is met once a batch, f_t's at each t


class Job(NamedTuple):
    """One task: texts, phases, faces to train on, and the folder of what was trained before."""

    lab: Lab
    task: Task
    phases: Phases
    train: Scene
    folder: Path

    @property
    def guide(self) -> TextDirection:
        """The text pair."""
        return self.lab.guide(self.task)


class Prepared(NamedTuple):
    """A method that is ready for one task.

    edit: (scene, setting) -> images. settings: what is tried on validation faces. stored: bytes
    kept for the attribute. training: what it took.
    """

    edit: Callable[[Scene, Setting], Tensor]
    settings: tuple[Setting, ...]
    stored: int
    training: Cost


def direction_path(folder: Path, task: Task) -> Path:
    """Where the f_t of a task is kept."""
    return folder / f"direction-{task.name}.safetensors"


def classifier_path(folder: Path) -> Path:
    """Where the noise-aware classifier is kept."""
    return folder / "classifier.safetensors"


def train_ft(job: Job) -> Cost:
    """Train f_t with the settings of the lab and keep it, for our own methods and the studies."""
    with counted(job.lab.model) as cost:
        saved = train_direction(job.lab, job.task, job.phases, job.train)
    save_direction(direction_path(job.folder, job.task), saved.direction, saved.card)
    return cost


def trained(job: Job) -> SavedDirection:
    """The f_t that `train_ft` kept."""
    return load_direction(direction_path(job.folder, job.task), job.lab.model)


def asyrp(job: Job) -> Prepared:
    """f_t in P_t alone: the method of the paper."""
    made = result_of(job.folder, f"direction-{job.task.name}")["training"]
    cost = Cost(**{name: made[name] for name in vars(Cost())})
    stored = direction_path(job.folder, job.task).stat().st_size
    return _directed(job, trained(job), stored, cost)


def mean_table(job: Job) -> Prepared:
    """One dh a timestep: the mean of f_t's over the training faces (appendix L)."""
    with counted(job.lab.model) as cost:
        saved = trained(job)
        table = mean_of(recorded(job.lab, job.train, saved))
    directed = SavedDirection(table, saved.card)
    return _directed(job, directed, _kept(job, "mean", directed), cost)


def one_global(job: Job) -> Prepared:
    """One dh for everything: the mean over timesteps too (appendix L)."""
    with counted(job.lab.model) as cost:
        saved = trained(job)
        table = mean_of(recorded(job.lab, job.train, saved))
        single = global_direction(table)
    directed = SavedDirection(single, saved.card)
    return _directed(job, directed, _kept(job, "global", directed), cost)


def _kept(job: Job, name: str, saved: SavedDirection) -> int:
    path = job.folder / f"{name}-{job.task.name}.safetensors"
    save_direction(path, saved.direction, saved.card)
    return path.stat().st_size


def _directed(job: Job, directed: SavedDirection, stored: int, cost: Cost) -> Prepared:
    def edit(scene: Scene, setting: Setting) -> Tensor:
        act = directed.attribute(setting["strength"])
        return edited(job.lab.model, scene, [act], job.phases.t_boost)

    return Prepared(edit, STRENGTHS, stored, cost)


def symmetric_edit(job: Job) -> Prepared:
    """The same f_t in both halves of the step, which Theorem 1 says will do little."""
    saved = trained(job)

    def edit(scene: Scene, setting: Setting) -> Tensor:
        act = saved.attribute(setting["strength"])
        return edited(job.lab.model, scene, [act], job.phases.t_boost, symmetric)

    settings = tuple({"strength": s} for s in (1.0, 3.0, 6.0, 12.0))
    stored = direction_path(job.folder, job.task).stat().st_size
    return Prepared(edit, settings, stored, Cost())


def epsilon_edit(job: Job) -> Prepared:
    """One De_t a timestep, trained and added to eps in P_t alone (appendix D.1)."""
    lab = job.lab
    space = epsilon_space(lab.model)
    table = replace(lab.settings, kind="timestep", learning_rate=TABLE_RATE)
    with counted(lab.model) as cost:
        saved = train_direction(
            lab._replace(settings=table), job.task, job.phases, job.train, space
        )

    def edit(scene: Scene, setting: Setting) -> Tensor:
        act = saved.attribute(setting["strength"])
        return edited(space, scene, [act], job.phases.t_boost)

    return Prepared(edit, STRENGTHS, _kept(job, "epsilon", saved), cost)


def diffusionclip(job: Job) -> Prepared:
    """The whole network, fine-tuned; its strength is how far the weights go.

    It has no t_edit: it is trained at all timesteps below t_start, in as many optimiser steps as
    ours as whole epochs allow.
    """
    lab, tuned, phases = job.lab, trainable(job.lab.model), job.phases
    steps, length = lab.settings.steps, lab.model.schedule.length
    ours = editing_window(phases.t_start, phases.t_edit, steps, length, job.train.at)
    window = editing_window(phases.t_start, 0, steps, length, job.train.at)
    epochs = max(1, round(lab.settings.epochs * len(ours.grid) / len(window.grid)))
    settings = replace(lab.settings, epochs=epochs)
    with counted(lab.model) as before:
        size = settings.batch_size
        sources = joined(list(prepare(lab.model, job.guide, job.train.latents, window, size)))
    with counted(tuned) as cost:
        for _ in fine_tune(tuned, job.guide, sources, window.grid, settings):
            pass
    stored = 2 * sum(p.numel() for p in tuned.unet.parameters())  # fp16, as the network is shipped

    def edit(scene: Scene, setting: Setting) -> Tensor:
        return edited(blended(lab.model, tuned, setting["share"]), scene, [])

    return Prepared(edit, SHARES, stored, _sum(before, cost))


def _sum(a: Cost, b: Cost) -> Cost:
    return Cost(**{name: getattr(a, name) + getattr(b, name) for name in vars(a)})


def strokes(face: Face, task: Task) -> Tensor:
    """A rough painting of the answer, (3, 64, 64): SDEdit's own way from a picture to strokes.

    A median filter and eight colours. The renderer knows the answer; a person would paint it.
    """
    picture = Image.fromarray(draw(face.replaced(task.factor, task.value)))
    rough = picture.filter(ImageFilter.MedianFilter(5)).quantize(8).convert("RGB")
    return to_unit(np.asarray(rough)[None])[0]


def painted(job: Job) -> Prepared:
    """SDEdit with strokes of the answer."""
    begins = (0.125, 0.25, 0.5, 0.75)  # shares of the way up to t_start

    def edit(scene: Scene, setting: Setting) -> Tensor:
        guides = torch.stack([strokes(face, job.task) for face in scene.faces])
        t_begin, grid = (
            math.ceil(setting["begin"] * scene.at),
            scene.grid(job.lab.model.schedule.length),
        )

        def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
            *_, last = sdedit(job.lab.model, guides[rows], grid, t_begin, generators)
            return last.x

        return batched(scene, editing)

    return Prepared(edit, tuple({"begin": b} for b in begins), 0, Cost())


def mixed(job: Job) -> Prepared:
    """ILVR: low frequencies of the strokes, the rest from the face's own latents."""

    def edit(scene: Scene, setting: Setting) -> Tensor:
        guides = torch.stack([strokes(face, job.task) for face in scene.faces])
        grid, factor = scene.grid(job.lab.model.schedule.length), int(setting["factor"])

        def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
            t_end = job.phases.t_edit
            *_, last = ilvr(job.lab.model, x, guides[rows], grid, factor, t_end, generators)
            return last.x

        return batched(scene, editing)

    return Prepared(edit, tuple({"factor": f} for f in (1.0, 2.0, 4.0, 8.0)), 0, Cost())


def classified(job: Job) -> Prepared:
    """Guidance by a classifier that was trained on labelled noisy faces, unseen values included."""
    classifier = new_classifier()
    path = classifier_path(job.folder)
    classifier.load_state_dict(load_safetensors(path))
    values = list(FACTORS[job.task.factor])
    wanted = (job.task.factor, values.index(job.task.value))

    def edit(scene: Scene, setting: Setting) -> Tensor:
        grid = scene.grid(job.lab.model.schedule.length)

        def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
            *_, last = guided(job.lab.model, classifier, x, grid, wanted, setting["scale"])
            return last.x

        return batched(scene, editing)

    settings = tuple({"scale": s} for s in (4.0, 16.0, 64.0, 256.0))
    cost = Cost(seconds=seconds_of(job.folder, "classifier"))
    return Prepared(edit, settings, path.stat().st_size, cost)


def new_classifier() -> NoisyClassifier:
    """The world's noise-aware classifier, untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        return NoisyClassifier({factor: len(values) for factor, values in FACTORS.items()})


class Rival(NamedTuple):
    """A method: its name in tables, how it is prepared, and what must have been made before.

    given: what it is told beside the text pair.
    """

    title: str
    prepare: Callable[[Job], Prepared]
    needs: str = ""
    given: str = ""


RIVALS: Mapping[str, Rival] = {
    "asyrp": Rival("Asyrp, f_t", asyrp, "direction"),
    "mean": Rival("Asyrp, one dh a timestep", mean_table, "direction", "f_t, trained before"),
    "global": Rival("Asyrp, one dh", one_global, "direction", "f_t, trained before"),
    "symmetric": Rival("symmetric edit", symmetric_edit, "direction", "f_t, trained before"),
    "epsilon": Rival("epsilon space", epsilon_edit),
    "diffusionclip": Rival("DiffusionCLIP", diffusionclip),
    "classifier": Rival("classifier guidance", classified, "classifier", "labels; one for all"),
    "sdedit": Rival("SDEdit", painted, given="strokes of the answer, for every image"),
    "ilvr": Rival("ILVR", mixed, given="strokes of the answer, for every image"),
}
