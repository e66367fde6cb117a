"""What a comparison or a study is made of, as data, and the stages that all share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from asyrp.domains.base import SPLITS, Domain, Split, Task, guide_of, load_domain, task_of
from asyrp.domains.find_direction import interval_of
from asyrp.domains.inverted_images import (
    InvertedImages,
    inverted,
    lacking,
    load_inverted,
    save_inverted,
)
from asyrp.editing_methods.base import Inputs, why_not
from asyrp.editing_methods.catalogue import GUARDED, METHODS, method_of
from asyrp.editing_methods.finders import FINDER_METHODS, labels_suffice
from asyrp.errors import AsyrpError
from asyrp.finders.labels import LEAST
from asyrp.finders.prepare import EDIT_STEPS, curves_of
from asyrp.method.editing_interval import EditInterval
from asyrp.metrics.frechet import LEAST_FID
from asyrp.runtime.resumable import Stage, result_of
from asyrp.settings import Precision, TrainSettings

LEAST_TUNING = 2  # validation images that lack a task's value


@dataclass(frozen=True)
class Plan:
    """A domain, how many of its images, which tasks and which methods.

    steps: of the grid that edits are made on. rates: learning rates that are tried, as factors of
    the one that each method is known for; none to take that. fingerprint: of the domain.
    """

    domain: str = "avatars-64"
    tasks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    test_images: int = 64
    pool: int = 112
    train_images: int = 64
    validation_images: int = 40
    curve_images: int = 16
    steps: int = EDIT_STEPS
    settings: TrainSettings = field(default_factory=TrainSettings)
    rates: tuple[float, ...] = (0.3, 1.0, 3.0)
    fingerprint: str = ""
    device: str = field(default="cpu", repr=False)  # changes results by rounding alone
    dtype: Precision = "float32"

    def __post_init__(self) -> None:
        for name in ("test_images", "train_images", "validation_images", "curve_images"):
            if getattr(self, name) < 2:
                raise AsyrpError(f"{name} must be 2 or more; got {getattr(self, name)}")
        if self.test_images < LEAST_FID:
            raise AsyrpError(
                f"the Frechet distance needs at least {LEAST_FID} test images; got "
                f"{self.test_images}"
            )
        if self.pool < self.test_images:
            raise AsyrpError(
                f"the pool must hold the test images: pool {self.pool} < {self.test_images}"
            )

    @property
    def shared(self) -> "Plan":
        """What the result of a stage depends on, whichever other tasks and methods there are."""
        return replace(self, tasks=(), methods=())

    @property
    def counts(self) -> Mapping[Split, int]:
        """How many images of each split are inverted."""
        train, validation = self.train_images, self.validation_images
        return {"train": train, "validation": validation, "test": self.pool}


_loaded = cache(load_domain)


def domain_of(plan: Plan) -> Domain:
    """The domain of a plan, loaded once a process."""
    return _loaded(plan.domain, plan.device, plan.dtype)


def settled(plan: Plan) -> Plan:
    """A plan with all tasks and methods where it names none, checked before any work.

    Raises:
        AsyrpError: an unknown task, a method that the domain cannot run, or a split with too few
            images that lack a task's value.
    """
    domain = domain_of(plan)
    tasks = plan.tasks or tuple(name for name, one in domain.tasks.items() if one.compared)
    runs = [name for name, method in METHODS.items() if not why_not(method, domain)]
    for name in plan.methods:
        if reason := why_not(method_of(name), domain):
            raise AsyrpError(f"{name!r} does not run here: {reason}; needed some of: {runs}")
    chosen = [task_of(domain, name) for name in tasks]
    check_images(plan, domain, chosen)
    methods = plan.methods or tuple(runs)
    return replace(plan, tasks=tasks, methods=methods, fingerprint=domain.fingerprint)


def with_finders(plan: Plan) -> Plan:
    """The same with f_t and every finder for methods, and the tasks that labels suffice for.

    AsyrpError where there is no such task.
    """
    domain, asked = domain_of(plan), plan.tasks
    x = domain.images("train", plan.train_images).x
    tasks = [t for t in asked or domain.tasks if labels_suffice(domain, task_of(domain, t), x)]
    if not tasks:
        raise AsyrpError(
            f"finders that learn from labels need {LEAST} training images or more that show a "
            f"task's value, and as many that do not; no task has them among {len(x)}; raise "
            "--train-faces"
        )
    runs = [name for name, method in FINDER_METHODS.items() if not why_not(method, domain)]
    return replace(plan, tasks=tuple(tasks), methods=("asyrp", *runs))


def with_keeping(plan: Plan) -> Plan:
    """The same with f_t and what keeps the rest for methods, as far as the domain can run it."""
    runs = [name for name, method in GUARDED.items() if not why_not(method, domain_of(plan))]
    return replace(plan, methods=("asyrp", *runs))


def check_images(plan: Plan, domain: Domain, tasks: Sequence[Task]) -> None:
    """Raise AsyrpError where too few test or validation images lack a task's value."""
    needs: Mapping[Split, int] = {"test": plan.test_images, "validation": LEAST_TUNING}
    for split, wanted in needs.items():
        images = domain.images(split, plan.counts[split])
        for task in tasks:
            found = len(domain.lacking(images, task))
            if found < wanted:
                more = "raise --pool" if split == "test" else "raise --validation-faces"
                raise AsyrpError(
                    f"{task.name!r} needs {wanted} {split} images that lack it; among "
                    f"{len(images.numbers)} are {found}; {more} or ask for fewer"
                )


@dataclass(frozen=True)
class MeasureCurves:
    """LPIPS curves of validation images: where editing begins and ends for every task."""

    plan: Plan

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Curves, t_start and the phases of every task."""
        domain, steps = domain_of(self.plan), self.plan.steps
        few = domain.images("validation", self.plan.curve_images)
        images = inverted(domain.model, few, domain.model.schedule.length - 1, steps)
        parts = (domain.model, images.reconstructions, images.latents, domain.distance)
        curves = curves_of(*parts, steps)
        phases = {name: interval_of(domain, curves, task) for name, task in domain.tasks.items()}
        return {
            "curves": curves._asdict(),
            "t_starts": sorted({found.t_start for found in phases.values()}),
            "phases": {name: asdict(found) for name, found in phases.items()},
            "cosines": {name: guide_of(domain, task).cosine for name, task in domain.tasks.items()},
            "thresholds": vars(domain.distance.thresholds),
            "reconstruction_mse": images.errors,
        }


@dataclass(frozen=True)
class InvertImages:
    """The images of a split, inverted up to where editing begins, on their grid."""

    plan: Plan
    split: Split

    def __call__(self, folder: Path) -> Mapping[str, Any]:
        """Write SPLIT-T.safetensors for every t_start T that a task has."""
        domain = domain_of(self.plan)
        images = domain.images(self.split, self.plan.counts[self.split])
        steps = self.plan.settings.steps if self.split == "train" else self.plan.steps
        errors = {}
        for start in result_of(folder, "curves")["t_starts"]:
            found = inverted(domain.model, images, start, steps)
            save_inverted(_path(folder, self.split, start), found)
            errors[start] = found.errors
        return {"count": len(images.numbers), "reconstruction_mse": errors}


def shared_stages(plan: Plan) -> list[Stage]:
    """Curves, and inverted images."""
    own = plan.shared
    splits = [Stage(split, InvertImages(own, split), ("curves",)) for split in SPLITS]
    return [Stage("curves", MeasureCurves(own)), *splits]


def interval_kept(folder: Path, task: Task) -> EditInterval:
    """The phases of a task."""
    return EditInterval(**result_of(folder, "curves")["phases"][task.name])


def images_kept(plan: Plan, folder: Path, split: Split, *tasks: Task) -> InvertedImages:
    """The images of a split at the highest t_start of some tasks; of any for none."""
    if tasks:
        start = max(interval_kept(folder, task).t_start for task in tasks)
    else:
        start = max(result_of(folder, "curves")["t_starts"])
    return load_inverted(_path(folder, split, start), domain_of(plan).model.device)


def lacking_kept(plan: Plan, folder: Path, split: Split, task: Task) -> InvertedImages:
    """Images of a split that lack a task's value: of test as many as planned, else all."""
    domain, images = domain_of(plan), images_kept(plan, folder, split, task)
    if split == "test":
        return lacking(domain, images, task, plan.test_images)
    return images.rows(domain.lacking(images.clean, task))


def inputs_kept(plan: Plan, folder: Path, task: Task, rate: float | None = None) -> Inputs:
    """What a method gets for a task; rate: of learning."""
    train = images_kept(plan, folder, "train", task)
    settings = replace(plan.settings, learning_rate=rate) if rate else plan.settings
    return Inputs(interval_kept(folder, task), train, settings, folder)


def _path(folder: Path, split: str, start: int) -> Path:
    return folder / f"{split}-{start}.safetensors"
