"""One cell of the comparison: one method on one task, trained, tuned, and tested."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asyrp.domains.lab import Lab, judged, measured
from asyrp.domains.scenes import Scene
from asyrp.domains.tasks import Task, task_of
from asyrp.editing_methods.trained import RIVALS, Job, Prepared, Setting, train_ft
from asyrp.experiments.dose_response import reach_stages
from asyrp.experiments.plan import Plan, lab_of, phases_kept, scene_kept, shared_stages
from asyrp.method.cost import Cost, counted, encoder_share
from asyrp.metrics.answers import changed
from asyrp.runtime.resumable import Stage
from asyrp.storage.images import contact_sheet, write_png

SHOWN = 8  # faces of a strip


class Trial(NamedTuple):
    """A setting on validation faces, means over them."""

    setting: Setting
    clean: float
    success: float
    leakage: float
    lpips: float

    @property
    def rank(self) -> tuple[float, float, float]:
        """The higher the better: clean edits, then any success, then small changes."""
        return self.clean, self.success, -self.lpips


@dataclass(frozen=True)
class Cell:
    """One method on one task."""

    plan: Plan
    rival: str
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Train, tune on validation faces, test; writes a strip of edits beside the numbers."""
        lab, task = lab_of(self.plan.settings), task_of(self.task)
        job = Job(lab, task, phases_kept(folder, task), scene_kept(folder, "train", task), folder)
        ready = RIVALS[self.rival].prepare(job)
        held = scene_kept(folder, "validation", task).lacking(task, self.plan.validation_faces)
        with counted(lab.model) as tuning:
            trials = [tried(lab, task, held, ready, setting) for setting in ready.settings]
        best = max(trials, key=lambda trial: trial.rank)
        scene = scene_kept(folder, "test", task).lacking(task, self.plan.test_faces)
        started = time.perf_counter()
        with counted(lab.model) as editing:
            edits = ready.edit(scene, best.setting)
        seconds = time.perf_counter() - started
        strip = contact_sheet([edits[:SHOWN]])
        write_png(folder / f"{cell_name(self.rival, self.task)}.png", strip)
        share = encoder_share(lab.model)
        found = measured(lab, task, scene, edits)
        return {
            "rival": self.rival,
            "task": self.task,
            "setting": best.setting,
            "trials": [trial._asdict() for trial in trials],
            "numbers": scene.numbers,
            "values": found.values,
            "sets": found.sets,
            "changed": changed_answers(lab, task, scene, edits),
            "stored": ready.stored,
            "training": spent(ready.training, share),
            "tuning": spent(tuning, share),
            "editing": {**spent(editing, share), "seconds": seconds},
        }


def tried(lab: Lab, task: Task, scene: Scene, ready: Prepared, setting: Setting) -> Trial:
    """One setting on validation faces."""
    values = judged(lab, task, scene, ready.edit(scene, setting))
    means = (float(np.nanmean(values[n])) for n in ("clean", "success", "leakage", "lpips"))
    return Trial(setting, *means)


def changed_answers(lab: Lab, task: Task, scene: Scene, edits: Any) -> dict[str, np.ndarray]:
    """factor -> (n,) whether its judged value changed; NaN where it does not show."""
    before = lab.judging.answers(scene.images)
    shown = lab.judging.shown(before, task.factor, task.value)
    return changed(before, lab.judging.answers(edits), shown)


def spent(cost: Cost, share: float) -> dict[str, Any]:
    """A cost as data, with its evaluations of the whole network."""
    return {**asdict(cost), "evaluations": cost.evaluations(share)}


def cell_name(rival: str, task: str) -> str:
    """The name of a cell's stage."""
    return f"cell-{rival}-{task}"


@dataclass(frozen=True)
class TrainDirection:
    """f_t of one task."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write direction-TASK.safetensors."""
        lab, task = lab_of(self.plan.settings), task_of(self.task)
        job = Job(lab, task, phases_kept(folder, task), scene_kept(folder, "train", task), folder)
        return {"training": spent(train_ft(job), encoder_share(lab.model))}


@dataclass(frozen=True)
class Reconstructed:
    """What the reconstruction changes by itself, among all test faces."""

    plan: Plan

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """factor -> whether the judged value of each face changed."""
        lab, scene = lab_of(self.plan.settings), scene_kept(folder, "test")
        before, after = (lab.judging.answers(x) for x in (scene.images, scene.reconstructions))
        shown = {
            factor: np.array([face.label(factor) is not None for face in scene.faces])
            for factor in before
        }
        return {"changed": changed(before, after, shown)}


def direction_stages(plan: Plan, tasks: Sequence[str]) -> list[Stage]:
    """f_t of some tasks."""
    needs = ("curves", "train")
    return [Stage(f"direction-{task}", TrainDirection(plan.shared, task), needs) for task in tasks]


def compare_stages(plan: Plan) -> list[Stage]:
    """The shared stages, every f_t, and every cell."""
    stages = shared_stages(plan)
    stages.append(Stage("reconstructed", Reconstructed(plan.shared), ("curves", "test")))
    if any(RIVALS[rival].needs == "direction" for rival in plan.rivals):
        stages += direction_stages(plan, plan.tasks)
    if "asyrp" in plan.rivals:
        stages += reach_stages(plan)
    common = ("curves", "train", "validation", "test")
    for rival in plan.rivals:
        for task in plan.tasks:
            needs = _needs(rival, task, common)
            stages.append(Stage(cell_name(rival, task), Cell(plan.shared, rival, task), needs))
    return stages


def _needs(rival: str, task: str, common: Sequence[str]) -> tuple[str, ...]:
    need = RIVALS[rival].needs
    own = {"direction": (f"direction-{task}",), "classifier": ("classifier",)}.get(need, ())
    return (*common, *own)
