"""One cell of the comparison: one method on one task, trained, tuned, and tested."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor

from asyrp.domains.base import Domain, Renderer, Task, task_of
from asyrp.domains.inverted_images import InvertedImages
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
    lacking_kept,
    shared_stages,
)
from asyrp.experiments.retrained import TASKS, Retrained
from asyrp.experiments.scale import Scale, showing
from asyrp.experiments.training import rate_kept, searched, training_stages
from asyrp.experiments.tuning import Arm, arm_of, score
from asyrp.method.cost import counted, encoder_share, spent
from asyrp.metrics.answers import changed
from asyrp.runtime.resumable import Stage
from asyrp.scorers.judge import answers, shown
from asyrp.storage.images import contact_sheet, write_png

SHOWN = 8  # images of a strip
LUCK = ("success", "leakage", "clean", "success_2", "clean_2")  # told with the luck of tuning


@dataclass(frozen=True)
class Cell:
    """One method on one task."""

    plan: Plan
    method: str
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Train, tune on validation images, test; writes a strip of edits beside the numbers."""
        plan, domain = self.plan, domain_of(self.plan)
        task, rate = task_of(domain, self.task), rate_kept(folder, self.method)
        inputs = inputs_kept(plan, folder, task, rate)
        ready = method_of(self.method).prepare(domain, task, inputs)
        test, share = lacking_kept(plan, folder, "test", task), encoder_share(domain.model)
        arm, told = self.tuned(folder, ready)
        with counted(domain.model) as editing:
            edits = ready.edit(test, ready.settings[arm.best])
        shown, drawn = (test.few(SHOWN), edits[:SHOWN]), "rendered_target" in domain.gives
        write_strip(folder / f"{cell_name(self.method, self.task)}.png", domain, edits)
        reference = showing(plan, folder, task)
        return {
            "method": self.method,
            "task": self.task,
            "rate": rate,
            **told,
            "numbers": test.numbers,
            **measured(domain, task, test, edits, reference),
            "reference": reference is not None,
            "changed": changed_answers(domain, task, test, edits),
            "distance_to_target": shares_of_distance(domain, task, *shown) if drawn else None,
            "stored": ready.stored,
            "training": spent(ready.training, share),
            "editing": spent(editing, share),
        }

    def tuned(self, folder: Path, ready: Editor) -> tuple[Arm, dict[str, Any]]:
        """Every setting on validation images; those that their luck may choose, on test images."""
        domain, settings = domain_of(self.plan), ready.settings
        task = task_of(domain, self.task)
        validation, test = (
            lacking_kept(self.plan, folder, split, task) for split in ("validation", "test")
        )

        def seen(images: InvertedImages, setting: Setting) -> Mapping[str, np.ndarray]:
            return judged(domain, task, images, ready.edit(images, setting))

        with counted(domain.model) as cost:
            tried = [seen(validation, setting) for setting in settings]
        arm = arm_of([score(values) for values in tried], lambda k: seen(test, settings[k]))
        means = [{k: float(np.nanmean(row)) for k, row in values.items()} for values in tried]
        return arm, {
            "setting": settings[arm.best],
            "trials": [{"setting": s, **m} for s, m in zip(settings, means, strict=True)],
            "tuned_on": validation.numbers,
            "scores": arm.scores,
            "tested": {place: {k: v[k] for k in LUCK if k in v} for place, v in arm.made.items()},
            "tuning": spent(cost, encoder_share(domain.model)),
        }


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


def write_strip(path: Path, domain: Domain, x: Tensor) -> None:
    """The first pictures side by side."""
    write_png(path, contact_sheet([pictures_of(domain.model, x[:SHOWN])]))


def cell_name(method: str, task: str) -> str:
    """The name of a cell's stage."""
    return f"cell-{method.replace(':', '.')}-{task}"


@dataclass(frozen=True)
class Shown:
    """What stands beside the edits of a task: the first test images, and the drawn targets."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write source-TASK.png and, where the domain draws them, target-TASK.png."""
        domain = domain_of(self.plan)
        task = task_of(domain, self.task)
        images = lacking_kept(self.plan, folder, "test", task).few(SHOWN)
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
        seen = [
            {name: judge.values[name][int(rows[i])] for name, rows in before.items()}
            for i in range(len(images.numbers))
        ]
        visible = {a: np.array([judge.visible(one, a) for one in seen], bool) for a in before}
        return {"changed": changed(before, after, visible)}


def compare_stages(plan: Plan) -> list[Stage]:
    """The shared stages, what is trained once, the scale of the measures, and every cell."""
    stages, domain = [*shared_stages(plan), *training_stages(plan)], domain_of(plan)
    stages.append(Stage("reconstructed", Reconstructed(plan.shared), ("curves", "test")))
    if "asyrp" in plan.methods and "rendered_target" in domain.gives:
        stages += dose_stages(plan, [domain.tasks[name] for name in plan.tasks])
    common = ("curves", "train", "validation", "test")
    for task in plan.tasks:
        stages.append(Stage(f"shown-{task}", Shown(plan.shared, task), ("curves", "test")))
        stages.append(Stage(f"scale-{task}", Scale(plan.shared, task), common))
    for name in plan.methods:
        after = method_of(name).after
        for task in plan.tasks:
            own = f"direction-{task}" if after == "direction" else after
            rate = (f"rate-{name}",) if searched(name) else ()
            needs = (*common, *rate, *((own,) if own else ()))
            stages.append(Stage(cell_name(name, task), Cell(plan.shared, name, task), needs))
        for task in plan.tasks[:TASKS] if searched(name) else ():
            cell = cell_name(name, task)
            again, needs = Retrained(plan.shared, name, task, cell), (*common, f"rate-{name}", cell)
            stages.append(Stage(f"again-{cell}", again, needs))
    return stages
