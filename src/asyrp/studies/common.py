"""What the studies share: their bench, their verdicts, and a few measurements."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.bootstrap import Estimate, of_mean
from asyrp.direction_files import SavedDirection
from asyrp.jobs import Phases
from asyrp.process import Attribute
from asyrp.world.lab import Lab, edited, judged
from asyrp.world.scenes import Scene
from asyrp.world.tasks import Task

Numbers = Mapping[str, Any]
"""The result of a study as JSON data."""


class Learned(NamedTuple):
    """A task with its phases and its trained f_t."""

    task: Task
    phases: Phases
    saved: SavedDirection

    def with_direction(self, direction: nn.Module) -> "Learned":
        """The same with another direction in f_t's place."""
        return self._replace(saved=SavedDirection(direction, self.saved.card))


class Bench(NamedTuple):
    """What a study works with: the first task is the one that most look at.

    faces: how many test faces an average is taken over.
    """

    lab: Lab
    learned: Sequence[Learned]
    train: Scene
    test: Scene
    faces: int = 24

    @property
    def first(self) -> Learned:
        """The task that is looked at."""
        return self.learned[0]

    def scene(self) -> Scene:
        """Test faces that lack the first task's value."""
        return self.test.lacking(self.first.task, self.faces)


class Verdict(NamedTuple):
    """Whether a claim of the paper holds here. holds: None where the numbers do not decide.

    why: where it does not hold, what else was measured about it.
    """

    claim: str
    holds: bool | None
    text: str
    why: str = ""


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
    values = judged(bench.lab, bench.first.task, scene, edits)
    return {name: of_mean(values[name]) for name in ("success", "leakage", "clean", "lpips")}


def difference(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Mean of a - b over the same images."""
    return of_mean(a - b)


def decided(found: Estimate) -> bool | None:
    """Whether a difference is above 0; None where its interval holds 0."""
    if found.low <= 0 <= found.high:
        return None
    return found.value > 0


@torch.no_grad()
def confidence(lab: Lab, images: Tensor) -> np.ndarray:
    """How sure the judge is of each picture, (n,): its highest probability, mean over factors."""
    parts = []
    for batch in images.split(64):
        likely = lab.judge.probabilities(batch.float().cpu()).values()
        parts.append(torch.stack([p.max(1).values for p in likely]).mean(0))
    return torch.cat(parts).double().numpy()


def log_odds(lab: Lab, images: Tensor, task: Task) -> np.ndarray:
    """log p / (1 - p) of the task's value by the judge, (n,)."""
    wanted = lab.judging.wanted(task.factor, task.value)
    with torch.no_grad():
        logits = lab.judge(images.float().cpu())[task.factor].double()
    others = torch.cat([logits[:, :wanted], logits[:, wanted + 1 :]], 1)
    found: np.ndarray = (logits[:, wanted] - others.logsumexp(1)).numpy()
    return found


def shares(estimate: Estimate) -> str:
    """A share with its interval, in words."""
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.0f} % ({low:.0f} to {high:.0f})"


def ranged(estimate: Estimate, digits: int = 2) -> str:
    """A number with its interval, in words."""
    value, low, high = (f"{number:.{digits}f}" for number in estimate[:3])
    return f"{value} ({low} to {high})"
