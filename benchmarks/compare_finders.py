"""Finders side by side: the same images, judge, distance and rule of strength for all of them."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asyrp.finders.base import DirectionFinder, FinderData, FoundDirection, last_of
from asyrp.finders.prepare import Pictures
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import DirectionCard, SavedDirection, save_direction
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.protocols import PerceptualDistance
from asyrp.method.strength import STRENGTHS, saturation
from asyrp.method.strength_sweep import strip
from asyrp.metrics.answers import changed, clean, leaked, succeeded
from asyrp.metrics.perceptual import distances
from asyrp.reporting.statistics import Estimate, of_mean
from asyrp.scorers.judge import Answers, Shown

Judge = Callable[[Tensor], Answers]
"""x as the network has it, (n, c, height, width) -> attribute -> (n,) index of the value seen."""


@dataclass(frozen=True)
class Trial:
    """What all finders are measured on.

    attribute, wanted: what the judge should see. validation, test: images at T with their latents;
    they lack it. steps: of the editing grid. shown: which other attributes count, by the answers
    before the edit; None for all.
    """

    attribute: str
    wanted: int
    validation: Pictures
    test: Pictures
    interval: EditInterval
    judge: Judge
    distance: PerceptualDistance
    steps: int = 40
    strengths: Sequence[float] = STRENGTHS
    shown: Callable[[Answers], Shown] | None = None


class Row(NamedTuple):
    """Over the test images: shares of success, leakage and both at once, and the distance."""

    success: Estimate
    leakage: Estimate
    clean: Estimate
    distance: Estimate


class FinderResult(NamedTuple):
    """What a finder came to.

    chosen, strength: which of its directions, and how strong, negative where it was turned round;
    both by the validation images. seconds: of finding. bytes: of the direction's file.
    """

    finder: str
    chosen: str
    strength: float
    row: Row
    seconds: float
    bytes: int


def compare_finders(
    model: HSpaceUNet, finders: Mapping[str, DirectionFinder], data: FinderData, trial: Trial
) -> Iterator[FinderResult]:
    """A row for each finder that the data suffices for, in their order."""
    for name, finder in finders.items():
        if finder.needs <= data.gives:
            yield measure_finder(model, name, finder, data, trial)


def measure_finder(
    model: HSpaceUNet, name: str, finder: DirectionFinder, data: FinderData, trial: Trial
) -> FinderResult:
    """Find, choose the direction and strength on validation images, and measure on test images.

    Of several directions, and both ways of each that has no texts, the one counts that has the most
    success at any strength; a finder of one direction chooses the strength alone.
    """
    begun = time.perf_counter()
    found = last_of(finder.find(model, data))
    seconds = time.perf_counter() - begun
    tried = [(one, sign) for one in found for sign in ((1.0,) if one.texts[1] else (1.0, -1.0))]
    curves = [dose_response(model, one, sign, data, trial) for one, sign in tried]
    best = int(np.argmax([max(curve) for curve in curves]))
    (one, sign), curve = tried[best], curves[best]
    strength = sign * saturation(trial.strengths, curve)
    values = judged(model, attribute_of(one, strength, data, trial), trial.test, trial)
    row = Row(**{key: of_mean(value) for key, value in values.items()})
    return FinderResult(name, one.name, strength, row, seconds, bytes_of(one, data, trial))


def attribute_of(
    found: FoundDirection, strength: float, data: FinderData, trial: Trial
) -> Attribute:
    """A direction as it is applied in a trial."""
    return SavedDirection(found.direction, card_of(data, trial)).attribute(strength)


def card_of(data: FinderData, trial: Trial) -> DirectionCard:
    """A card without a story."""
    when = trial.interval
    return DirectionCard("", "", when.t_edit, when.t_boost, data.steps, "", t_start=when.t_start)


def dose_response(
    model: HSpaceUNet, found: FoundDirection, sign: float, data: FinderData, trial: Trial
) -> list[float]:
    """The success of each strength on the validation images."""
    one = attribute_of(found, sign, data, trial)
    edits = [[replace(one, strength=sign * strength)] for strength in trial.strengths]
    made = strip(model, trial.validation.latents, edits, trial.steps, trial.interval.t_boost)
    answers = [trial.judge(x) for x in made]
    return [float(succeeded(a, trial.attribute, trial.wanted).mean()) for a in answers]


@torch.no_grad()
def judged(
    model: HSpaceUNet, attribute: Attribute, pictures: Pictures, trial: Trial
) -> dict[str, np.ndarray]:
    """success, leakage, clean and distance of each image, against its reconstruction."""
    edits = [[attribute], []]
    edited, plain = strip(model, pictures.latents, edits, trial.steps, trial.interval.t_boost)
    before, after = trial.judge(plain), trial.judge(edited)
    every = {name: np.ones(len(row), bool) for name, row in before.items()}
    shown = every if trial.shown is None else trial.shown(before)
    success = succeeded(after, trial.attribute, trial.wanted)
    leaks = leaked(changed(before, after, shown), trial.attribute)
    return {
        "success": success,
        "leakage": leaks,
        "clean": clean(success, leaks),
        "distance": distances(trial.distance, plain, edited),
    }


def bytes_of(found: FoundDirection, data: FinderData, trial: Trial) -> int:
    """The size of the direction's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "direction.safetensors"
        save_direction(path, found.direction, card_of(data, trial))
        return path.stat().st_size
