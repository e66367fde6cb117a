"""Products in bfloat16 beside float32: how much faster, and what is lost, in one run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from asyrp.domains.base import Domain, Images, Split, Task, load_domain
from asyrp.domains.find_direction import fitted, interval_of
from asyrp.domains.inverted_images import REFINEMENTS, InvertedImages, edited, inverted
from asyrp.experiments.measure import judged
from asyrp.finders.prepare import curves_of
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import edit, invert, latents_of, random_latents
from asyrp.method.editing_interval import EditInterval
from asyrp.reporting.statistics import of_mean
from asyrp.reporting.tables import Row, markdown
from asyrp.runtime.precision import bfloat16_pays
from asyrp.settings import Precision, TrainSettings
from bench import meter
from bench.subjects import SHIFTED, images_of, shift_of, subject

KINDS: Mapping[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}
SPLITS: tuple[Split, ...] = ("validation", "test")
POINTS = 0.02  # of success that may be lost, and of leakage that may be added


@dataclass(frozen=True)
class ReducedWalk:
    """Inversion and editing of the same images in both precisions, in turn."""

    network: str
    images: int
    steps: int
    runs: int = 5
    size: int = meter.GEMM_SIZE

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Seconds, ratios, and the share of the rate of matrix products in the same precision."""
        models = {name: subject(self.network, name) for name in KINDS}
        some = models["float32"]
        x, z = images_of(some, self.images), random_latents(some, self.images)
        act = Attribute(shift_of(some), SHIFTED, trained_steps=self.steps)
        works: dict[str, meter.Work] = {}
        for name, model in models.items():
            works[f"inversion, {name}"] = partial(latents_of, model, x, self.steps)
            works[f"editing, {name}"] = partial(edit, model, z, [act], self.steps)
        kinds = {work: KINDS["bfloat16"] for work in works if "bfloat16" in work}
        clocks = meter.alternate(works, self.runs, self.size, kinds)
        rows = {
            work: {"seconds": meter.spread(clocks.of[work]), "share": clocks.share(work)}
            for work in works
        }
        ratios = {
            work: clocks.ratio(f"{work}, float32", f"{work}, bfloat16")
            for work in ("inversion", "editing")
        }
        return {"steps": self.steps, "works": rows, "ratio": ratios}


class Trial(NamedTuple):
    """A domain in one precision, and what was found with it."""

    domain: Domain
    training: InvertedImages
    held: dict[Split, InvertedImages]
    saved: SavedDirection


@dataclass(frozen=True)
class ReducedTraining:
    """A task of a domain, trained and judged in both precisions on the same images.

    train, judged: images to train on, and of validation and of test that lack the task's value.
    """

    domain: str
    task: str = "smiling"
    train: int = 48
    judged: int = 64
    epochs: int = 2
    steps: int = 20
    edit_steps: int = 40
    runs: int = 3

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Seconds of inversion and training in turn; success and leakage of either's edits."""
        domains = {name: load_domain(self.domain, dtype=name) for name in KINDS}
        exact = domains["float32"]
        task = exact.tasks[self.task]
        interval = self._interval(exact, task)
        train = exact.images("train", self.train)
        held = {split: self._lacking(exact, task, split) for split in SPLITS}
        trials: dict[str, Trial] = {}
        seconds: dict[str, dict[str, list[float]]] = {
            work: {name: [] for name in KINDS} for work in ("inversion", "training")
        }
        for turn in range(self.runs):
            for name in [*KINDS][:: 1 if turn % 2 == 0 else -1]:
                domain = domains[name]
                took, training = timed(lambda d=domain: self._inverted(d, train, interval))  # type: ignore[misc]
                seconds["inversion"][name].append(took)
                took, found = timed(
                    lambda d=domain, t=training: fitted(d, task, interval, t, self._settings)  # type: ignore[misc]
                )
                seconds["training"][name].append(took)
                if name not in trials:
                    images = {s: self._inverted(domain, x, interval) for s, x in held.items()}
                    trials[name] = Trial(domain, training, images, found.saved)
        return {
            "task": self.task,
            "images": {"train": len(train.x), "judged": self.judged},
            "epochs": self.epochs,
            "pays": bfloat16_pays(torch.device("cpu")),
            "seconds": {
                work: {name: meter.spread(of) for name, of in names.items()}
                for work, names in seconds.items()
            },
            "ratio": {
                work: meter.spread(
                    [a / b for a, b in zip(of["float32"], of["bfloat16"], strict=True)]
                )
                for work, of in seconds.items()
            },
            "judged": {
                name: {split: self._judged(trial, task, split, interval) for split in SPLITS}
                for name, trial in trials.items()
            },
        }

    @property
    def _settings(self) -> TrainSettings:
        return TrainSettings(steps=self.steps, epochs=self.epochs)

    def _interval(self, domain: Domain, task: Task) -> EditInterval:
        x = domain.images("validation", min(16, self.judged)).x
        steps, how = self.edit_steps, {"refinements": REFINEMENTS}
        done = invert(domain.model, x, steps, **how)  # type: ignore[arg-type]
        back = done.reconstructions
        curves = curves_of(domain.model, back, done.latents, domain.distance, steps)
        return interval_of(domain, curves, task)

    def _lacking(self, domain: Domain, task: Task, split: Split) -> Images:
        """The first images of a split that lack the task's value."""
        every = domain.images(split, 4 * self.judged)
        rows = domain.lacking(every, task)[: self.judged]
        return Images(split, tuple(every.numbers[row] for row in rows), every.x[rows])

    def _inverted(self, domain: Domain, images: Images, interval: EditInterval) -> InvertedImages:
        return inverted(domain.model, images, interval.t_start, self.edit_steps)

    def _judged(
        self, trial: Trial, task: Task, split: Split, interval: EditInterval
    ) -> dict[str, Any]:
        images = trial.held[split]
        act = trial.saved.attribute(trial.saved.card.strength)
        edits = edited(trial.domain.model, images, [act], interval.t_boost)
        values = judged(trial.domain, task, images, edits)
        return {name: of_mean(values[name]).as_json() for name in ("success", "leakage", "lpips")}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Its seconds and what it answers."""
    found: list[Any] = []
    return meter.seconds_of(lambda: found.append(work())), found[0]


def kept(part: Mapping[str, Any]) -> bool:
    """Whether bfloat16 keeps success and leakage, of validation and of test images."""
    there, here = part["judged"]["float32"], part["judged"]["bfloat16"]
    return all(
        here[split]["success"]["value"] >= there[split]["success"]["value"] - POINTS
        and here[split]["leakage"]["value"] <= there[split]["leakage"]["value"] + POINTS
        for split in SPLITS
    )


def told(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What it says on the page."""
    walks = [
        {
            "network": name.removeprefix("reduced-walk-"),
            "work": work,
            "seconds": "{median:.3g} [{least:.3g}, {most:.3g}]".format(**one["seconds"]),
            "share of GEMM in the same precision, %": f"{100 * one['share']['median']:.1f}",
        }
        for name, part in found.items()
        if name.startswith("reduced-walk-")
        for work, one in part["works"].items()
    ]
    trainings: list[Row] = []
    for name, part in found.items():
        if name.startswith("reduced-train-"):
            trainings += _rows(name.removeprefix("reduced-train-"), part)
    texts = [markdown(walks)] if walks else []  # type: ignore[arg-type]
    for name, part in found.items():
        if "ratio" in part and name.startswith("reduced-"):
            ratios = ", ".join(f"{work} {one['median']:.2f}" for work, one in part["ratio"].items())
            texts.append(f"{name.removeprefix('reduced-')}: times as fast in bfloat16: {ratios}.")
    if trainings:
        texts.append(
            "Directions trained and judged in either precision on the same images, strength 1; "
            "means over images with their 95 % intervals."
        )
        texts.append(markdown(trainings))
    return texts


def _rows(domain: str, part: Mapping[str, Any]) -> list[Row]:
    return [
        {
            "domain": domain,
            "precision": name,
            "images": f"{split}, {part['images']['judged']}",
            "success, %": _percent(one["success"]),
            "leakage, %": _percent(one["leakage"]),
        }
        for name, splits in part["judged"].items()
        for split, one in splits.items()
    ]


def _percent(told: Mapping[str, Any]) -> str:
    value, low, high = (100 * told[name] for name in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f} to {high:.1f})"
