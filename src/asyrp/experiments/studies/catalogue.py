"""All studies by name, as the command and the reproduction run them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from asyrp.domains.base import SPLITS, Domain, task_of
from asyrp.domains.find_direction import saturated
from asyrp.domains.inverted_images import inverted
from asyrp.editing_methods.asyrp import trained
from asyrp.errors import AsyrpError
from asyrp.experiments.plan import Plan, domain_of, images_kept, interval_kept, shared_stages
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
from asyrp.experiments.studies.common import (
    Learned,
    Numbers,
    StudyContext,
    Verdict,
    act_of,
    of_json,
)
from asyrp.experiments.training import direction_stages
from asyrp.lookup import look_up
from asyrp.method.text_conditioning import FixedPrompt
from asyrp.metrics.frechet import LEAST_FID
from asyrp.runtime.resumable import Stage, result_of

WORDS: Mapping[bool | None, str] = {True: "holds", False: "fails", None: "undecided"}
PICTURES = 8  # images of the studies that look at single steps
TASKS = ("smiling", "glasses", "blonde")  # looked at first, where a domain has tasks of these names


class Study(NamedTuple):
    """What a study measures, how it is drawn and judged, and how many tasks and images it needs.

    judged: whether it asks the domain's judge.
    """

    title: str
    measure: Callable[[StudyContext], dict[str, Any]]
    plot: Callable[[Numbers], Figure]
    verdict: Callable[[Numbers], Verdict]
    tasks: int = 1
    least: int = 2
    judged: bool = True


def _theorem1(context: StudyContext) -> dict[str, Any]:
    few, domain = context.test.latents[:PICTURES], context.domain
    return theorem1.measure(domain.model, few, context.test.at, domain.distance)


def _diagnose(context: StudyContext) -> dict[str, Any]:
    few = context.test_images().few(PICTURES)
    model, boost = context.domain.model, context.first.interval.t_boost
    grid = few.grid(model.schedule.length)
    return diagnose.measure(model, few.images, few.latents, grid, act_of(context.first), boost)


def _study(title: str, module: Any, **more: Any) -> Study:
    """The study of a module, which draws and judges results as JSON has them."""
    plot, verdict = of_json(module.plot), of_json(module.verdict)
    return Study(title, **{"measure": module.measure, "plot": plot, "verdict": verdict, **more})


STUDIES: Mapping[str, Study] = {
    "theorem1": _study("Theorem 1", theorem1, measure=_theorem1, tasks=0, judged=False),
    "homogeneity": _study("Homogeneity", homogeneity),
    "linearity": _study("Linearity", linearity, tasks=3),
    "robustness": _study("Robustness", robustness, least=LEAST_FID),
    "consistency": _study("Consistency", consistency),
    "layers": _study("Layers", layers),
    "intervals": _study("Intervals", intervals, least=LEAST_FID),
    "diagnose": _study("Where an edit gets lost", diagnose, measure=_diagnose, judged=False),
}


def study_of(name: str) -> Study:
    """A study by name, or one of yours as MODULE:NAME; AsyrpError for any other."""
    return look_up(name, STUDIES, "study")


def why_no_study(name: str, domain: Domain) -> str:
    """Why a study does not run on a domain; "" where it does."""
    if study_of(name).judged and domain.scorers.judge is None:
        return f"it asks a judge, and {domain.name} has none"
    if name == "layers" and isinstance(domain.model.unet, FixedPrompt):
        return "it cuts a network at every block, which needs one without captions"
    return ""


@dataclass(frozen=True)
class FindStrength:
    """The strength that `asyrp train` would write on the card of a task's f_t."""

    plan: Plan
    task: str

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Where the guide's progress on validation images saturates."""
        domain = domain_of(self.plan)
        task = task_of(domain, self.task)
        saved, start = trained(domain, task, folder), interval_kept(folder, task).t_start
        few = domain.images("validation", self.plan.curve_images)
        images = inverted(domain.model, few, start, self.plan.settings.steps)
        return {"strength": saturated(domain, task, saved, images)}


@dataclass(frozen=True)
class RunStudy:
    """One study on a domain."""

    plan: Plan
    name: str
    count: int

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Its numbers, with the domain and the judge that they are of."""
        plan, domain, learned = self.plan, domain_of(self.plan), []
        tasks = [task_of(domain, one) for one in tasks_of(self.name, domain)]
        for task in tasks:
            saved = trained(domain, task, folder)
            strength = result_of(folder, f"strength-{task.name}")["strength"]
            card = replace(saved.card, strength=strength)
            learned.append(Learned(task, interval_kept(folder, task), saved._replace(card=card)))
        train, validation, test = (images_kept(plan, folder, split, *tasks) for split in SPLITS)
        parts = (learned, train, validation, test, self.count)
        context = StudyContext(domain, plan.settings, *parts)
        judge = domain.scorers.judge
        return {
            **study_of(self.name).measure(context),
            "domain": domain.name,
            "noun": domain.noun,
            "judge": None if judge is None else judge.name,
            **({"target": learned[0].task.target} if learned else {}),
            "phases": {one.task.name: asdict(one.interval) for one in learned},
        }


def tasks_of(name: str, domain: Domain) -> tuple[str, ...]:
    """The tasks whose f_t a study needs."""
    first = [task for task in TASKS if task in domain.tasks]
    order = [*first, *(task for task in domain.tasks if task not in first)]
    return tuple(order[: study_of(name).tasks])


def told(found: Verdict) -> str:
    """A verdict in a line."""
    why = "" if found.holds else found.why
    return f"{found.claim}: {WORDS[found.holds]} here. {found.text} {why}".strip()


def stage_name(name: str) -> str:
    """The name of a study's stage."""
    return f"study-{name.replace(':', '.')}"


def check_study(plan: Plan, name: str, count: int) -> None:
    """AsyrpError for what a domain cannot run, too few images for a study, or too many."""
    if not study_of(name).least <= count <= plan.test_images:
        raise AsyrpError(
            f"the study {name!r} needs {study_of(name).least} to {plan.test_images} images "
            f"(the test images); got {count}; change --faces or --test-faces"
        )
    if reason := why_no_study(name, domain_of(plan)):
        raise AsyrpError(f"the study {name!r} does not run here: {reason}")


def study_stages(plan: Plan, names: Sequence[str], count: int) -> list[Stage]:
    """Shared stages, the directions, and the studies; see `check_study` for what is refused."""
    domain = domain_of(plan)
    for name in names:
        check_study(plan, name, count)
    tasks = list(dict.fromkeys(task for name in names for task in tasks_of(name, domain)))
    stages = shared_stages(plan) + direction_stages(plan, tasks)
    for task in tasks:
        before = ("curves", f"direction-{task}")
        stages.append(Stage(f"strength-{task}", FindStrength(plan.shared, task), before))
    for name in names:
        needs = tuple(f"strength-{task}" for task in tasks_of(name, domain))
        common = ("curves", "train", "validation", "test")
        work = RunStudy(plan.shared, name, count)
        stages.append(Stage(stage_name(name), work, (*common, *needs)))
    return stages
