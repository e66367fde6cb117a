"""What is trained before the cells: each method's learning rate, by one search; f_t; a classifier.

The search is the same for all: on the domain's first task a method trains at a few rates around
the one that it is known for, and its best setting on validation images tells which one it gets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyrp.domains.base import Task, task_of
from asyrp.editing_methods.asyrp import train_ft
from asyrp.editing_methods.base import Method, Prepare
from asyrp.editing_methods.catalogue import method_of
from asyrp.editing_methods.classifier_guidance import classifier_path, trained
from asyrp.experiments.measure import judged
from asyrp.experiments.plan import Plan, domain_of, inputs_kept, lacking_kept
from asyrp.experiments.tuning import score
from asyrp.method.cost import encoder_share, spent
from asyrp.runtime.resumable import Stage, result_of
from asyrp.storage.files import save_tensors

F_T = "asyrp"
COMMON = ("curves", "train", "validation")


def first_task(plan: Plan) -> Task:
    """The task that rates are searched on."""
    return next(iter(domain_of(plan).tasks.values()))


def searched(name: str) -> Prepare | None:
    """What trains a method anew at a rate; None for those that train nothing of their own."""
    method = method_of(name)
    if not isinstance(method, Method) or (method.rate is None and method.anew is None):
        return None
    return method.anew or method.prepare


@dataclass(frozen=True)
class ChooseRate:
    """The learning rate of one method."""

    plan: Plan
    method: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """The rate, and the mean score of the best setting at each that was tried."""
        plan, domain, task = self.plan, domain_of(self.plan), first_task(self.plan)
        method, anew = method_of(self.method), searched(self.method)
        assert isinstance(method, Method)
        assert anew is not None
        known = method.rate or plan.settings.rate
        rates = [factor * known for factor in plan.rates]
        if len(rates) < 2:
            return {"rate": (rates or [known])[0], "tried": {}}
        validation, tried = lacking_kept(plan, folder, "validation", task), {}
        for rate in rates:
            ready = anew(domain, task, inputs_kept(plan, folder, task, rate))
            edits = (ready.edit(validation, setting) for setting in ready.settings)
            tried[rate] = max(score(judged(domain, task, validation, x)).mean() for x in edits)
        return {"rate": max(tried, key=lambda rate: tried[rate]), "tried": tried}


def rate_kept(folder: Path, name: str) -> float | None:
    """The rate that was chosen for a method; None for those that have none."""
    return result_of(folder, f"rate-{name}")["rate"] if searched(name) else None


@dataclass(frozen=True)
class TrainDirection:
    """f_t of one task."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write direction-TASK.safetensors."""
        domain = domain_of(self.plan)
        task = task_of(domain, self.task)
        cost = train_ft(domain, task, inputs_kept(self.plan, folder, task, rate_kept(folder, F_T)))
        return {"training": spent(cost, encoder_share(domain.model))}


@dataclass(frozen=True)
class TrainClassifier:
    """The noise-aware classifier of all tasks."""

    plan: Plan

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write classifier.safetensors."""
        task, rate = first_task(self.plan), rate_kept(folder, "classifier")
        made = trained(domain_of(self.plan), inputs_kept(self.plan, folder, task, rate))
        save_tensors(classifier_path(folder), made.state_dict(), {})
        return {}


def rate_stage(plan: Plan, name: str) -> list[Stage]:
    """The search of a method's rate, where it has one."""
    stage = Stage(f"rate-{name}", ChooseRate(plan.shared, name), COMMON)
    return [stage] if searched(name) else []


def direction_stages(plan: Plan, tasks: Sequence[str]) -> list[Stage]:
    """f_t of some tasks, and its rate."""
    needs = ("curves", "train", f"rate-{F_T}")
    trained = [Stage(f"direction-{t}", TrainDirection(plan.shared, t), needs) for t in tasks]
    return [*rate_stage(plan, F_T), *trained]


def training_stages(plan: Plan) -> list[Stage]:
    """What the cells of a plan's methods need: rates, every f_t, the classifier."""
    after, stages = {method_of(name).after for name in plan.methods}, []
    if "direction" in after:
        stages += direction_stages(plan, plan.tasks)
    for name in plan.methods:
        stages += rate_stage(plan, name) if name != F_T else []
    if "classifier" in after:
        needs = ("curves", "train", "rate-classifier")
        stages.append(Stage("classifier", TrainClassifier(plan.shared), needs))
    return stages
