"""What a comparison is made of, as data, and the stages that all methods share."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from asyrp.domains.avatars.avatars import sample_face
from asyrp.domains.avatars.pictures import labels, pictures
from asyrp.domains.lab import Lab, open_lab, phases_of
from asyrp.domains.scenes import Scene, load_scene, new_scene, save_scene
from asyrp.domains.tasks import TASKS, Task, lacking, task_of
from asyrp.domains.training_loop import LoopSettings, optimise
from asyrp.editing_methods.classifier_guidance import noisy_loss
from asyrp.editing_methods.trained import RIVALS, classifier_path, new_classifier
from asyrp.errors import AsyrpError
from asyrp.finders.prepare import EDIT_STEPS
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.editing_interval import Curves, EditInterval, measure_curves
from asyrp.method.schedule import paper_grid
from asyrp.metrics.frechet import LEAST_FID
from asyrp.runtime.resumable import Stage, result_of
from asyrp.settings import TrainSettings
from asyrp.storage.files import atomic_path
from asyrp.storage.images import from_uint8

UNSEEN_SHARE = 0.12  # of faces with an unseen value among those that the classifier learns from


@dataclass(frozen=True)
class Plan:
    """How many faces, which tasks and which methods. networks: see `networks_mark`."""

    tasks: tuple[str, ...] = tuple(TASKS)
    rivals: tuple[str, ...] = tuple(RIVALS)
    test_faces: int = 64
    pool: int = 112
    train_faces: int = 64
    validation_faces: int = 12
    curve_faces: int = 16
    classifier_faces: int = 3000
    classifier_steps: int = 400
    settings: TrainSettings = field(default_factory=TrainSettings)
    networks: str = ""

    def __post_init__(self) -> None:
        for name in self.tasks:
            task_of(name)
        unknown = [name for name in self.rivals if name not in RIVALS]
        if unknown:
            raise AsyrpError(f"unknown method {unknown[0]!r}; needed some of: {', '.join(RIVALS)}")
        for name in ("test_faces", "train_faces", "validation_faces", "curve_faces"):
            if getattr(self, name) < 2:
                raise AsyrpError(f"{name} must be 2 or more; got {getattr(self, name)}")
        if self.test_faces < LEAST_FID:
            raise AsyrpError(
                f"the Frechet distance needs at least {LEAST_FID} test faces; got {self.test_faces}"
            )
        if self.pool < self.test_faces:
            raise AsyrpError(
                f"the pool must hold the test faces: pool {self.pool} < {self.test_faces}"
            )

    @property
    def shared(self) -> "Plan":
        """What the result of a stage depends on, whichever other tasks and methods there are."""
        return replace(self, tasks=(), rivals=(), networks=networks_mark())

    @property
    def counts(self) -> Mapping[str, int]:
        """How many faces of each split are inverted."""
        return {
            "train": self.train_faces,
            "validation": 4 * self.validation_faces,
            "test": self.pool,
        }


def check_faces(plan: Plan) -> None:
    """Refuse a plan whose splits hold too few faces that lack a task's value, before any work.

    Raises:
        AsyrpError: too few test or validation faces for a task.
    """
    for split, wanted in (("test", plan.test_faces), ("validation", plan.validation_faces)):
        faces = [sample_face(split, number) for number in range(plan.counts[split])]
        for name in plan.tasks:
            found = len(lacking(faces, task_of(name)))
            if found < wanted:
                more = "raise --pool" if split == "test" else "raise --validation-faces"
                raise AsyrpError(
                    f"{name!r} needs {wanted} {split} faces that lack it; among {len(faces)} are "
                    f"{found}; {more} or ask for fewer"
                )


@cache
def networks_mark() -> str:
    """A mark that changes with the world's weights."""
    digest = hashlib.sha256()
    folder = Path(str(files("asyrp.domains.avatars").joinpath("weights")))
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def lab_of(settings: TrainSettings) -> Lab:
    """The networks, loaded once a process."""
    return open_lab(settings)


@dataclass(frozen=True)
class MeasureCurves:
    """LPIPS curves of validation faces: where editing begins and ends for every task."""

    plan: Plan

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Curves, t_start and the phases of every task."""
        lab = lab_of(self.plan.settings)
        length = lab.model.schedule.length
        scene = new_scene(lab.model, "validation", self.plan.curve_faces, length - 1)
        grid = paper_grid(EDIT_STEPS, length)
        with torch.no_grad():
            curves = measure_curves(
                scene.reconstructions,
                scene.latents,
                reverse_process(lab.model, scene.latents, grid),
                lab.distance,
            )
        phases = {name: phases_of(lab, curves, task_of(name)) for name in TASKS}
        errors = (scene.images - scene.reconstructions).square().mean((1, 2, 3))
        return {
            "curves": curves._asdict(),
            "t_starts": sorted({found.t_start for found in phases.values()}),
            "phases": {name: asdict(found) for name, found in phases.items()},
            "cosines": {name: lab.guide(task_of(name)).cosine for name in TASKS},
            "thresholds": vars(lab.distance.thresholds),
            "reconstruction_mse": errors.numpy(),
        }


@dataclass(frozen=True)
class InvertFaces:
    """The faces of a split, inverted up to where editing begins, on their walk's grid."""

    plan: Plan
    split: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write SPLIT-T.safetensors for every t_start T that a task has."""
        lab, count = lab_of(self.plan.settings), self.plan.counts[self.split]
        steps = self.plan.settings.steps if self.split == "train" else EDIT_STEPS
        errors = {}
        for start in result_of(folder, "curves")["t_starts"]:
            scene = new_scene(lab.model, self.split, count, start, steps)
            save_scene(_scene_path(folder, self.split, start), scene)
            moved = scene.images - scene.reconstructions
            errors[start] = moved.square().mean((1, 2, 3)).numpy()
        return {"count": count, "reconstruction_mse": errors}


@dataclass(frozen=True)
class TrainClassifier:
    """The noise-aware classifier of all tasks."""

    plan: Plan

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write classifier.safetensors."""
        lab, count = lab_of(self.plan.settings), self.plan.classifier_faces
        images = from_uint8(pictures("train", count, None, UNSEEN_SHARE, 1))
        known = labels("train", count, UNSEEN_SHARE)
        classifier, steps = new_classifier(), self.plan.classifier_steps
        loss_at = noisy_loss(classifier, images, known, lab.model.schedule, batch=32)
        warm = max(1, min(50, steps // 10))
        for step in optimise(classifier, loss_at, LoopSettings(steps, 2e-3, warm, ema_decay=0.98)):
            last = step
        with atomic_path(classifier_path(folder)) as temporary:
            save_file(dict(last.ema.state_dict()), temporary)
        return {"faces": count, "steps": steps, "loss": last.loss}


def shared_stages(plan: Plan) -> list[Stage]:
    """Curves, faces, and (where a method needs it) the classifier."""
    own = plan.shared
    stages = [Stage("curves", MeasureCurves(own))]
    stages += [Stage(split, InvertFaces(own, split), ("curves",)) for split in plan.counts]
    if "classifier" in plan.rivals:
        stages.append(Stage("classifier", TrainClassifier(own)))
    return stages


def curves_kept(folder: Path) -> Curves:
    """The curves of the stage."""
    kept = result_of(folder, "curves")["curves"]
    return Curves(tuple(kept["times"]), np.asarray(kept["x0"]), np.asarray(kept["xt"]))


def phases_kept(folder: Path, task: Task) -> EditInterval:
    """The phases of a task."""
    return EditInterval(**result_of(folder, "curves")["phases"][task.name])


def scene_kept(folder: Path, split: str, *tasks: Task) -> Scene:
    """The faces of a split at the highest t_start of some tasks; of any for none."""
    chosen = [phases_kept(folder, task).t_start for task in tasks or TASKS.values()]
    return load_scene(_scene_path(folder, split, max(chosen)))


def _scene_path(folder: Path, split: str, start: int) -> Path:
    return folder / f"{split}-{start}.safetensors"
