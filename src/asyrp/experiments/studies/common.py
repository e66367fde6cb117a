"""What the studies share: their bench, their verdicts, and a few measurements."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.domains.lab import Lab, edited, judged
from asyrp.domains.scenes import Scene
from asyrp.domains.tasks import Task, lacking
from asyrp.errors import AsyrpError
from asyrp.experiments.claims import LEVEL, Measures, Outcome, registered
from asyrp.finders.prepare import Phases
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import SavedDirection
from asyrp.method.latent_space import Pixels
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import LEAST_FID
from asyrp.reporting.statistics import Estimate, Tuned, of_mean, resamples

Numbers = Mapping[str, Any]
"""The result of a study as JSON data."""
TUNING_DRAWS = 200  # resamples of the tuning images


class Learned(NamedTuple):
    """A task with its phases and its trained f_t."""

    task: Task
    phases: Phases
    saved: SavedDirection

    def with_direction(self, direction: nn.Module) -> "Learned":
        """The same with another direction in f_t's place."""
        return self._replace(saved=SavedDirection(direction, self.saved.card))


Lacking = Callable[[Scene, Task], Sequence[int]]
"""Rows of the images that show a task's attribute, but not its value."""


def drawn_without(scene: Scene, task: Task) -> Sequence[int]:
    """Those of the built-in world's faces, by what was drawn."""
    return lacking(scene.faces, task)


class Bench(NamedTuple):
    """What a study works with: the first task is the one that most look at.

    validation: what settings are chosen on; results are told on `test` alone. faces: how many test
    images an average is taken over.
    """

    lab: Lab
    learned: Sequence[Learned]
    train: Scene
    validation: Scene
    test: Scene
    faces: int = 24
    lacking: Lacking = drawn_without

    @property
    def first(self) -> Learned:
        """The task that is looked at."""
        return self.learned[0]

    def scene(self) -> Scene:
        """Test images that lack the first task's value."""
        task = self.first.task
        return self.test.first(self.lacking(self.test, task), task, self.faces)

    def held(self, most: int | None = None) -> Scene:
        """The validation images (or so many of them) that lack the first task's value.

        Raises:
            AsyrpError: none does.
        """
        rows = self.lacking(self.validation, self.first.task)[:most]
        if not rows:
            raise AsyrpError(
                f"settings are chosen on validation images that lack {self.first.task.value!r}; "
                f"none of {len(self.validation.numbers)} does; raise --validation-faces"
            )
        return self.validation.rows(rows)

    def showing(self) -> Tensor | None:
        """Features of the images of all splits in which the judge sees the first task's value.

        What Frechet distances of edits are taken to, (m, d); None where there are too few.
        """
        task, parts = self.first.task, []
        for scene in (self.train, self.validation, self.test):
            seen = self.lab.judging.answers(scene.images)[task.factor]
            parts.append(scene.images[seen == self.lab.judging.wanted(task.factor, task.value)])
        images = torch.cat(parts)
        return features_of(self.lab.features, images) if len(images) >= LEAST_FID else None


class Verdict(NamedTuple):
    """Whether a claim of the paper holds here. holds: None where the numbers do not decide.

    why: where it does not hold, what else was measured about it. outcome: for the adjustment of a
    page to the number of its claims.
    """

    claim: str
    holds: bool | None
    text: str
    why: str = ""
    outcome: Outcome | None = None


def ruled(name: str, found: Measures) -> Verdict:
    """What the rules of a registered claim say of its measures; no text yet."""
    claim = registered()[name]
    outcome = claim.outcome(found)
    return Verdict(claim.text, outcome.at(LEVEL), "", outcome=outcome)


def bound_of(name: str) -> float:
    """The bound of a claim's first rule."""
    return registered()[name].rules[0].bound


class Arm(NamedTuple):
    """What is compared, at every setting that was tried: the place of the best, and what it does.

    values: of `judged`, at the best setting, of test images.
    """

    best: int
    tuned: Tuned
    values: Mapping[str, np.ndarray]


def arm_of(scores: Sequence[np.ndarray], on_test: Callable[[int], Mapping[str, np.ndarray]]) -> Arm:
    """Choose by the scores of tuning images; test images see what resamples of these choose.

    Args:
        scores: of every setting, (m,). on_test: what the setting at a place does to test images.
    """
    table = np.stack(scores)
    rows = resamples(table.shape[1], 0, TUNING_DRAWS)
    best = int(table.mean(1).argmax())
    made = {int(k): on_test(int(k)) for k in {best, *table[:, rows].mean(-1).argmax(0)}}
    results = np.full((len(table), len(made[best]["clean"])), np.nan)
    for place, values in made.items():
        results[place] = np.nan_to_num(values["clean"])
    return Arm(best, Tuned(table, results), made[best])


def score(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """How good an edit is, (n,): clean; where means are equal any success, then small changes."""
    clean, success, moved = (np.nan_to_num(values[k]) for k in ("clean", "success", "lpips"))
    found: np.ndarray = clean + 1e-3 * success - 1e-6 * moved
    return found


def as_estimate(kept: Mapping[str, Any]) -> Estimate:
    """An estimate that was kept as JSON."""
    return Estimate(**kept)


def act_of(learned: Learned, strength: float = 1.0) -> Attribute:
    """A task's f_t; strength 1 is the dose of its card."""
    return learned.saved.attribute(strength * learned.saved.card.strength)


def edit_scene(
    bench: Bench, scene: Scene, attributes: Sequence[Attribute], t_boost: int | None = None
) -> Tensor:
    """A scene edited with the bench's network; boosted as the first task is."""
    boost = bench.first.phases.t_boost if t_boost is None else t_boost
    return edited(bench.lab.model, scene, attributes, boost)


def summary(bench: Bench, scene: Scene, edits: Tensor) -> dict[str, Estimate]:
    """success, leakage, clean and lpips of the first task, means over faces."""
    return means(judged(bench.lab, bench.first.task, scene, edits))


def means(values: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
    """The means over images of what `judged` gives."""
    return {name: of_mean(values[name]) for name in ("success", "leakage", "clean", "lpips")}


def confidence(lab: Lab, images: Tensor) -> np.ndarray:
    """How sure the judge is of each image, (n,): its highest probability, mean over attributes."""
    parts = []
    for batch in images.split(64):
        likely = lab.judging.probabilities(batch).values()
        parts.append(torch.stack([p.max(1).values for p in likely]).mean(0))
    return torch.cat(parts).double().numpy()


def log_odds(lab: Lab, images: Tensor, task: Task) -> np.ndarray:
    """log p / (1 - p) of the task's value by the judge, (n,)."""
    return lab.judging.log_odds(images, task.factor, task.value)


@torch.no_grad()
def pictures_of(lab: Lab, x: Tensor) -> Tensor:
    """Clean x as pictures, decoded one at a time where x is a latent."""
    if isinstance(lab.model.space, Pixels):
        return x
    return torch.cat([lab.model.space.decode(one[None]) for one in x])


def as_saved(lab: Lab, x: Tensor) -> Tensor:
    """Clean x clipped to [-1, 1], as a file would be; latents have no such range and stay."""
    return x.clamp(-1, 1) if isinstance(lab.model.space, Pixels) else x


def is_drawn(numbers: Numbers) -> bool:
    """Whether numbers are of the built-in world; those of other networks name their network."""
    return "network" not in numbers


def noun(numbers: Numbers) -> str:
    """What one of the images is called."""
    return "face" if is_drawn(numbers) else "image"


def shares(estimate: Estimate) -> str:
    """A share with its interval, in words."""
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.0f} % ({low:.0f} to {high:.0f})"


def ranged(estimate: Estimate, digits: int = 2) -> str:
    """A number with its interval, in words."""
    value, low, high = (f"{number:.{digits}f}" for number in estimate[:3])
    return f"{value} ({low} to {high})"
