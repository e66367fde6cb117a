"""All studies by name, as the command and the reproduction run them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from asyrp.domains.lab import saturated
from asyrp.domains.tasks import task_of
from asyrp.editing_methods.trained import Job, trained
from asyrp.errors import AsyrpError
from asyrp.experiments.compare import direction_stages
from asyrp.experiments.plan import Plan, lab_of, phases_kept, scene_kept, shared_stages
from asyrp.experiments.studies import (
    consistency,
    diagnose,
    homogeneity,
    intervals,
    layers,
    linearity,
    robustness,
    theorem1,
)
from asyrp.experiments.studies.common import Bench, Learned, Numbers, Verdict, act_of
from asyrp.metrics.frechet import LEAST_FID
from asyrp.runtime.resumable import Stage, result_of

PICTURES = 8  # faces of the studies that look at single steps
CHOOSING = ("homogeneity", "layers", "intervals")  # they choose settings on validation faces
TASKS = ("smiling", "glasses", "blonde")  # the first is what most studies look at


class Study(NamedTuple):
    """What a study measures, how it is drawn and judged, and how many tasks and faces it needs."""

    title: str
    measure: Callable[[Bench], dict[str, Any]]
    plot: Callable[[Numbers], Figure]
    verdict: Callable[[Numbers], Verdict]
    tasks: int = 1
    least: int = 2


def _theorem1(bench: Bench) -> dict[str, Any]:
    few = bench.test.latents[:PICTURES]
    return theorem1.measure(bench.lab.model, few, bench.test.at, bench.lab.distance)


def _diagnose(bench: Bench) -> dict[str, Any]:
    scene = bench.scene()
    few = scene.rows(range(min(PICTURES, len(scene.numbers))))
    grid = few.grid(bench.lab.model.schedule.length)
    boost, act = bench.first.phases.t_boost, act_of(bench.first)
    return diagnose.measure(bench.lab.model, few.images, few.latents, grid, act, boost)


STUDIES: Mapping[str, Study] = {
    "theorem1": Study("Theorem 1", _theorem1, theorem1.plot, theorem1.verdict, 0),
    "homogeneity": Study("Homogeneity", homogeneity.measure, homogeneity.plot, homogeneity.verdict),
    "linearity": Study("Linearity", linearity.measure, linearity.plot, linearity.verdict, 3),
    "robustness": Study(
        "Robustness", robustness.measure, robustness.plot, robustness.verdict, least=LEAST_FID
    ),
    "consistency": Study("Consistency", consistency.measure, consistency.plot, consistency.verdict),
    "layers": Study("Layers", layers.measure, layers.plot, layers.verdict),
    "intervals": Study(
        "Intervals", intervals.measure, intervals.plot, intervals.verdict, least=LEAST_FID
    ),
    "diagnose": Study("Where an edit gets lost", _diagnose, diagnose.plot, diagnose.verdict),
}


@dataclass(frozen=True)
class FindStrength:
    """The strength that `asyrp train` would write on the card of a task's f_t."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Where the guide's progress on validation faces saturates."""
        lab, task = lab_of(self.plan.settings), task_of(self.task)
        phases, train = phases_kept(folder, task), scene_kept(folder, "train", task)
        saved = trained(Job(lab, task, phases, train, folder))
        return {"strength": saturated(lab, task, phases, saved, self.plan.curve_faces)}


@dataclass(frozen=True)
class Work:
    """One study on the built-in world."""

    plan: Plan
    name: str
    faces: int

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Its numbers."""
        return STUDIES[self.name].measure(bench_of(self.plan, folder, self.name, self.faces))


def bench_of(plan: Plan, folder: Path, name: str, faces: int) -> Bench:
    """The bench of a study, from the stages before it."""
    lab, tasks = lab_of(plan.settings), [task_of(one) for one in tasks_of(name)]
    train, learned = scene_kept(folder, "train", *tasks), []
    for task in tasks:
        phases = phases_kept(folder, task)
        saved = trained(Job(lab, task, phases, train, folder))
        strength = result_of(folder, f"strength-{task.name}")["strength"]
        card = replace(saved.card, strength=strength)
        learned.append(Learned(task, phases, saved._replace(card=card)))
    held, test = (scene_kept(folder, split, *tasks) for split in ("validation", "test"))
    return Bench(lab, learned, train, held, test, faces)


def tasks_of(name: str) -> tuple[str, ...]:
    """The tasks whose f_t a study needs.

    Raises:
        AsyrpError: unknown study.
    """
    if name not in STUDIES:
        raise AsyrpError(f"unknown study {name!r}; needed one of: {', '.join(STUDIES)}")
    return TASKS[: STUDIES[name].tasks]


def stage_name(name: str) -> str:
    """The name of a study's stage."""
    return f"study-{name}"


def study_stages(plan: Plan, names: Sequence[str], faces: int) -> list[Stage]:
    """Shared stages, the directions, and the studies.

    Raises:
        AsyrpError: fewer faces than a study needs, or than the pool has.
    """
    for name in names:
        tasks_of(name)
        if not STUDIES[name].least <= faces <= plan.test_faces:
            raise AsyrpError(
                f"the study {name!r} needs {STUDIES[name].least} to {plan.test_faces} faces (the "
                f"test faces); got {faces}; change --faces or --test-faces"
            )
    tasks = list(dict.fromkeys(task for name in names for task in tasks_of(name)))
    stages = shared_stages(plan) + direction_stages(plan, tasks)
    for task in tasks:
        before = ("curves", f"direction-{task}")
        stages.append(Stage(f"strength-{task}", FindStrength(plan.shared, task), before))
    for name in names:
        needs = tuple(f"strength-{task}" for task in tasks_of(name))
        common = ("curves", "train", "validation", "test")
        stages.append(Stage(stage_name(name), Work(plan.shared, name, faces), (*common, *needs)))
    return stages
