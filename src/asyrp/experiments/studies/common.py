"""What the studies share: their context, their verdicts, and a few measurements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from asyrp.domains.base import Domain, Task
from asyrp.domains.inverted_images import InvertedImages, edited, lacking
from asyrp.errors import AsyrpError
from asyrp.experiments.claims import LEVEL, SECOND, Measures, Outcome, registered
from asyrp.experiments.scale import seen_in
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing_interval import EditInterval
from asyrp.metrics.features import FeatureNetwork, features_of
from asyrp.metrics.frechet import LEAST_FID
from asyrp.reporting.statistics import Estimate, of_mean
from asyrp.scorers.judge import Judge, probabilities
from asyrp.settings import TrainSettings

Made = TypeVar("Made")
Numbers = Mapping[str, Any]
"""The result of a study, with its estimates as such."""


class Learned(NamedTuple):
    """A task with its phases and its trained f_t."""

    task: Task
    interval: EditInterval
    saved: SavedDirection

    def with_direction(self, direction: nn.Module) -> "Learned":
        """The same with another direction in f_t's place."""
        return self._replace(saved=SavedDirection(direction, self.saved.card))


@dataclass(frozen=True)
class StudyContext:
    """What a study works with: the first task is the one that most look at.

    validation: what settings are chosen on; results are told on `test` alone. count: how many test
    images an average is taken over.
    """

    domain: Domain
    settings: TrainSettings
    learned: Sequence[Learned]
    train: InvertedImages
    validation: InvertedImages
    test: InvertedImages
    count: int = 24

    @property
    def first(self) -> Learned:
        """The task that is looked at."""
        return self.learned[0]

    @property
    def judge(self) -> Judge:
        """The domain's judge; studies that ask it are refused where there is none."""
        return cast(Judge, self.domain.scorers.judge)

    @property
    def features(self) -> FeatureNetwork:
        """The domain's features for Frechet distances, likewise."""
        return cast(FeatureNetwork, self.domain.scorers.features)

    def test_images(self) -> InvertedImages:
        """Test images that lack the first task's value."""
        return lacking(self.domain, self.test, self.first.task, self.count)

    def validation_images(self) -> InvertedImages:
        """Validation images that lack the first task's value; AsyrpError for none."""
        rows = self.domain.lacking(self.validation.clean, self.first.task)
        if not rows:
            raise AsyrpError(
                f"settings are chosen on validation images that lack {self.first.task.value!r}; "
                f"none of {len(self.validation.numbers)} does; raise --validation-faces"
            )
        return self.validation.rows(rows)

    def showing(self) -> Tensor | None:
        """Features of training and validation images that show the first task's value, (m, d).

        The judge says which; Frechet distances of edits are taken to them. None for too few.
        """
        every = torch.cat([self.train.images, self.validation.images])
        shown, _ = seen_in(self.domain, self.first.task, every)
        return features_of(self.features, shown) if len(shown) >= LEAST_FID else None


SOME = 0.3  # the least share of edits of which a margin of ten points is a part


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


def ruled(name: str, found: Measures, text: str = "", why: str = "") -> Verdict:
    """What the rules of a registered claim say of its measures."""
    claim = registered()[name]
    outcome = claim.outcome(found)
    return Verdict(claim.text, outcome.at(LEVEL), text, why, outcome)


def by_both(
    measure: str, first: Estimate | float | None, second: Estimate | float | None
) -> Measures:
    """A measure by both judges, as rules with two judges ask for it."""
    return {measure: first, measure + SECOND: second}


def bound_of(name: str) -> float:
    """The bound of a claim's first rule."""
    return registered()[name].rules[0].bound


def as_estimates(kept: Any) -> Any:
    """JSON data with the estimates in it as such."""
    if isinstance(kept, list):
        return [as_estimates(one) for one in kept]
    if not isinstance(kept, Mapping):
        return kept
    if {"value", "low", "high", "images"} <= kept.keys():
        return Estimate(**kept)
    return {name: as_estimates(one) for name, one in kept.items()}


def of_json(function: Callable[[Numbers], Made]) -> Callable[[Numbers], Made]:
    """The function of results as JSON has them."""
    return wraps(function)(lambda numbers: function(as_estimates(numbers)))


def act_of(learned: Learned, strength: float = 1.0) -> Attribute:
    """A task's f_t; strength 1 is the dose of its card."""
    return learned.saved.attribute(strength * learned.saved.card.strength)


def edit_images(
    context: StudyContext,
    images: InvertedImages,
    attributes: Sequence[Attribute],
    t_boost: int | None = None,
) -> Tensor:
    """Images edited with the domain's network; boosted as the first task is."""
    boost = context.first.interval.t_boost if t_boost is None else t_boost
    return edited(context.domain.model, images, attributes, boost)


def means(values: Mapping[str, np.ndarray]) -> dict[str, Estimate]:
    """The means over images of what `judged` gives."""
    return {name: of_mean(values[name]) for name in ("success", "leakage", "clean", "lpips")}


def plain_means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Means over images without an interval; an image without a value counts as 0."""
    return {name: float(np.nan_to_num(row).mean()) for name, row in values.items()}


def confidence(domain: Domain, images: Tensor) -> np.ndarray:
    """How sure the judge is of each image, (n,): its highest probability, mean over attributes."""
    parts = []
    for batch in images.split(64):
        likely = probabilities(cast(Judge, domain.scorers.judge), batch).values()
        parts.append(torch.stack([p.max(1).values for p in likely]).mean(0))
    return torch.cat(parts).double().cpu().numpy()


def noun(numbers: Numbers) -> str:
    """What one of the images is called."""
    return str(numbers.get("noun", "image"))


def shares(estimate: Estimate) -> str:
    """A share with its interval, in words."""
    low, high = 100 * estimate.low, 100 * estimate.high
    return f"{100 * estimate.value:.0f} % ({low:.0f} to {high:.0f})"


def ranged(estimate: Estimate, digits: int = 2) -> str:
    """A number with its interval, in words."""
    value, low, high = (f"{number:.{digits}f}" for number in estimate[:3])
    return f"{value} ({low} to {high})"
