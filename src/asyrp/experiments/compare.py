"""One cell of the comparison: one method on one task, trained, tuned, and tested."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from torch import Tensor

from asyrp.domains.base import Domain, Renderer, Task, task_of
from asyrp.domains.inverted_images import InvertedImages, lacking
from asyrp.editing_methods.asyrp import train_ft
from asyrp.editing_methods.base import Editor, Setting
from asyrp.editing_methods.catalogue import method_of
from asyrp.experiments.distance_to_target import shares_of_distance
from asyrp.experiments.dose_response import dose_stages
from asyrp.experiments.measure import judged, measured, pictures_of
from asyrp.experiments.plan import (
    Plan,
    domain_of,
    images_kept,
    inputs_kept,
    shared_stages,
)
from asyrp.method.cost import Cost, counted, encoder_share
from asyrp.metrics.answers import changed
from asyrp.runtime.cpu import finish
from asyrp.runtime.resumable import Stage
from asyrp.scorers.judge import Judge, answers, shown
from asyrp.storage.images import contact_sheet, write_png

SHOWN = 8  # images of a strip


class Trial(NamedTuple):
    """A setting on validation images: means over them."""

    setting: Setting
    clean: float
    success: float
    leakage: float
    lpips: float
    s_dir: float

    @property
    def rank(self) -> tuple[float, ...]:
        """The higher the better: clean edits, then any success, then small changes.

        Without a judge S_dir minus LPIPS: the change asked for, and little else.
        """
        if np.isnan(self.clean):
            return (self.s_dir - self.lpips,)
        return self.clean, self.success, -self.lpips


@dataclass(frozen=True)
class Cell:
    """One method on one task."""

    plan: Plan
    method: str
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Train, tune on validation images, test; writes a strip of edits beside the numbers."""
        plan, domain = self.plan, domain_of(self.plan)
        task = task_of(domain, self.task)
        ready = method_of(self.method).prepare(domain, task, inputs_kept(plan, folder, task))
        validation, test = edited_images(plan, folder, task)
        with counted(domain.model) as tuning:
            trials = [tried(domain, task, validation, ready, one) for one in ready.settings]
        best = max(trials, key=lambda trial: trial.rank)
        started = time.perf_counter()
        with counted(domain.model) as editing:
            edits = ready.edit(test, best.setting)
            finish(edits.device)
        seconds, share = time.perf_counter() - started, encoder_share(domain.model)
        write_strip(folder / f"{cell_name(self.method, self.task)}.png", domain, edits)
        found = measured(domain, task, test, edits)
        return {
            "method": self.method,
            "task": self.task,
            "setting": best.setting,
            "trials": [trial._asdict() for trial in trials],
            "numbers": test.numbers,
            "values": found.values,
            "sets": found.sets,
            "changed": changed_answers(domain, task, test, edits),
            "distance_to_target": towards_target(domain, task, test, edits),
            "stored": ready.stored,
            "training": spent(ready.training, share),
            "tuning": spent(tuning, share),
            "editing": {**spent(editing, share), "seconds": seconds},
        }


def edited_images(plan: Plan, folder: Path, task: Task) -> tuple[InvertedImages, InvertedImages]:
    """Images of validation and of test that lack a task's value."""
    domain = domain_of(plan)
    validation, test = (images_kept(plan, folder, split, task) for split in ("validation", "test"))
    return (
        lacking(domain, validation, task, plan.validation_images),
        lacking(domain, test, task, plan.test_images),
    )


def tried(
    domain: Domain, task: Task, images: InvertedImages, ready: Editor, setting: Setting
) -> Trial:
    """One setting on validation images."""
    values = judged(domain, task, images, ready.edit(images, setting))
    names = ("clean", "success", "leakage", "lpips", "s_dir")
    means = (float(np.nanmean(values[n])) if n in values else float("nan") for n in names)
    return Trial(setting, *means)


def changed_answers(
    domain: Domain, task: Task, images: InvertedImages, edits: Tensor
) -> dict[str, np.ndarray]:
    """attribute -> (n,) whether its judged value changed; NaN where it does not show."""
    judge = domain.scorers.judge
    if judge is None or not task.attribute:
        return {}
    before = answers(judge, images.images)
    visible = shown(judge, before, task.attribute, task.value)
    return changed(before, answers(judge, edits), visible)


def towards_target(
    domain: Domain, task: Task, images: InvertedImages, edits: Tensor
) -> np.ndarray | None:
    """The share of the distance to the drawn target, of the images of a strip."""
    if "rendered_target" not in domain.gives:
        return None
    few = images.rows(range(min(SHOWN, len(images.numbers))))
    return shares_of_distance(domain, task, few, edits[:SHOWN])


def write_strip(path: Path, domain: Domain, x: Tensor) -> None:
    """The first pictures side by side."""
    write_png(path, contact_sheet([pictures_of(domain.model, x[:SHOWN])]))


def spent(cost: Cost, share: float) -> dict[str, Any]:
    """A cost as data, with its evaluations of the whole network."""
    return {**asdict(cost), "evaluations": cost.evaluations(share)}


def cell_name(method: str, task: str) -> str:
    """The name of a cell's stage."""
    return f"cell-{method.replace(':', '.')}-{task}"


@dataclass(frozen=True)
class TrainDirection:
    """f_t of one task."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write direction-TASK.safetensors."""
        domain = domain_of(self.plan)
        task = task_of(domain, self.task)
        cost = train_ft(domain, task, inputs_kept(self.plan, folder, task))
        return {"training": spent(cost, encoder_share(domain.model))}


@dataclass(frozen=True)
class Shown:
    """What stands beside the edits of a task: the first test images, and the drawn targets."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write source-TASK.png and, where the domain draws them, target-TASK.png."""
        domain = domain_of(self.plan)
        task = task_of(domain, self.task)
        test = images_kept(self.plan, folder, "test", task)
        images = test.rows(domain.lacking(test.clean, task)[:SHOWN])
        write_strip(folder / f"source-{task.name}.png", domain, images.images)
        drawn = "rendered_target" in domain.gives
        if drawn:
            targets = cast(Renderer, domain).rendered_targets(images.clean, task)
            write_png(folder / f"target-{task.name}.png", contact_sheet([targets[0]]))
        return {"target": drawn}


@dataclass(frozen=True)
class Reconstructed:
    """What the reconstruction changes by itself, among all test images."""

    plan: Plan

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """attribute -> whether the judged value of each image changed."""
        domain, images = domain_of(self.plan), images_kept(self.plan, folder, "test")
        judge = domain.scorers.judge
        if judge is None:
            return {"changed": {}}
        before, after = (answers(judge, x) for x in (images.images, images.reconstructions))
        return {"changed": changed(before, after, showing(judge, before))}


def showing(judge: Judge, seen: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """attribute -> (n,) bool: whether it shows in each image, by the judge's own answers."""
    count = len(next(iter(seen.values())))
    images = [{a: judge.values[a][int(rows[i])] for a, rows in seen.items()} for i in range(count)]
    return {a: np.array([judge.visible(image, a) for image in images], bool) for a in seen}


def direction_stages(plan: Plan, tasks: Sequence[str]) -> list[Stage]:
    """f_t of some tasks."""
    needs = ("curves", "train")
    return [Stage(f"direction-{task}", TrainDirection(plan.shared, task), needs) for task in tasks]


def compare_stages(plan: Plan) -> list[Stage]:
    """The shared stages, every f_t, and every cell."""
    stages, domain = shared_stages(plan), domain_of(plan)
    stages.append(Stage("reconstructed", Reconstructed(plan.shared), ("curves", "test")))
    if any(method_of(name).after == "direction" for name in plan.methods):
        stages += direction_stages(plan, plan.tasks)
    if "asyrp" in plan.methods and "rendered_target" in domain.gives:
        stages += dose_stages(plan, [domain.tasks[name] for name in plan.tasks])
    common = ("curves", "train", "validation", "test")
    for task in plan.tasks:
        stages.append(Stage(f"shown-{task}", Shown(plan.shared, task), ("curves", "test")))
    for name in plan.methods:
        after = method_of(name).after
        for task in plan.tasks:
            own = f"direction-{task}" if after == "direction" else after
            needs = (*common, own) if own else common
            stages.append(Stage(cell_name(name, task), Cell(plan.shared, name, task), needs))
    return stages
