"""Layers: the same training at every block of the network, not only the bottleneck (D.3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.domains.find_direction import fitted
from asyrp.domains.inverted_images import InvertedImages, edited
from asyrp.editing_methods.other_spaces import at_block, blocks
from asyrp.experiments.measure import as_saved, judged
from asyrp.experiments.studies.common import (
    Numbers,
    StudyContext,
    Verdict,
    by_both,
    confidence,
    means,
    noun,
    ranged,
    ruled,
    shares,
)
from asyrp.experiments.tuning import Arm, ahead, arm_of, score
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import LEAST_FID, fid
from asyrp.reporting.figures import dots, new_figure
from asyrp.reporting.statistics import of_mean

MIDDLE = "mid"  # the bottleneck
TRAIN_FACES = 24
STRENGTHS = (0.5, 1.0, 1.5, 2.2)  # tried at every block
FID_DRAWS = 50


def measure(context: StudyContext, chosen: Sequence[str] | None = None) -> dict[str, Any]:
    """An f_t of the same kind, faces and steps at each block, judged on the same test faces.

    Every block's strength, and the block that the bottleneck is compared with, are chosen on the
    same validation faces, whose luck is in the interval.
    """
    names = blocks(context.domain.model) if chosen is None else list(chosen)
    validation, showing = context.validation_images(), context.showing()
    found, arms = {}, {}
    for name in names:
        found[name], arms[name] = _at(context, validation, showing, name)
    middle = arms.pop(MIDDLE, None)
    best = max(arms, key=lambda name: arms[name].scores.mean(1).max(), default=None)
    ahead_of_best = ahead(middle, [*arms.values()], "mid_minus_best") if arms and middle else {}
    return {
        "task": context.first.task.name,
        "train_faces": min(TRAIN_FACES, len(context.train.numbers)),
        "validation": len(validation.numbers),
        "blocks": found,
        "best_other": best,
        "mid_minus_best": None,
        **ahead_of_best,
    }


def _at(
    context: StudyContext, validation: InvertedImages, showing: Tensor | None, block: str
) -> tuple[dict[str, Any], Arm]:
    """What an f_t at a block does, with the strength that suits validation faces best."""
    domain, first, images = context.domain, context.first, context.test_images()
    space = at_block(domain.model, block)
    parts = (first.interval, context.train.few(TRAIN_FACES), context.settings, space)
    saved = fitted(domain, first.task, *parts).saved

    def edits(kept: InvertedImages, place: int) -> Tensor:
        acts = [saved.attribute(STRENGTHS[place])]
        return as_saved(domain, edited(space, kept, acts, first.interval.t_boost))

    def seen(kept: InvertedImages, place: int) -> dict[str, np.ndarray]:
        return judged(domain, first.task, kept, edits(kept, place))

    scores = [score(seen(validation, place)) for place in range(len(STRENGTHS))]
    arm = arm_of(scores, lambda place: seen(images, place))
    best = edits(images, arm.best)
    numbers = {
        "shape": list(space.h_shape),
        "strength": STRENGTHS[arm.best],
        **means(arm.values),
        "confidence": of_mean(confidence(domain, best)),
    }
    if showing is not None and len(best) >= LEAST_FID:
        numbers["fid"] = fid(showing, features_of(context.features, best), False, draws=FID_DRAWS)
    return numbers, arm


def plot(numbers: Numbers) -> Figure:
    """Success, leakage and clean edits, and how real the pictures look, a row a block."""
    figure, (left, right) = new_figure(5.6, 4.4, 2)
    rows = numbers["blocks"]
    names = [f"{name}, {'x'.join(map(str, row['shape']))}" for name, row in rows.items()]
    series = {
        metric: [row[metric] for row in rows.values()] for metric in ("success", "leakage", "clean")
    }
    dots(left, names, series, f"share of test {noun(numbers)}s")
    found = [row["fid"] for row in rows.values() if "fid" in row]
    if len(found) == len(names):
        label = f"Frechet distance to {noun(numbers)}s that show it"
        dots(right, names, {"edits": found}, label)
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether the bottleneck makes more clean edits than the block that is best beside it."""
    clean = {name: one["clean"] for name, one in numbers["blocks"].items()}
    measure = "clean edits, bottleneck minus the best other block"
    if numbers["mid_minus_best"] is None:
        text = "The bottleneck and another block were not among the blocks."
        return ruled("layers", by_both(measure, None, None), text)
    first, second = (numbers[k] for k in ("mid_minus_best", "mid_minus_best_2"))
    best, images = numbers["best_other"], f"{noun(numbers)}s"
    text = (
        f"Clean edits at the bottleneck: {shares(clean[MIDDLE])}; at {best}, the best other block "
        f"on {numbers['validation']} validation {images}: {shares(clean[best])}; "
        f"the bottleneck minus it on the same {images}, with the luck of that choice: "
        f"{shares(first)}; by the second judge {shares(second)}. "
        f"Every block has the strength that suits these best, and was trained with the rate that "
        f"was tuned for the bottleneck, on {numbers['train_faces']} {images}, once. "
        f"Success (leakage) before the "
        f"bottleneck: {_listed(numbers, 'down')}; at it: {_listed(numbers, 'mid')}; behind it: "
        f"{_listed(numbers, 'up')}."
    )
    return ruled("layers", by_both(measure, first, second), text, _why(numbers, best))


def _why(numbers: Numbers, best: str) -> str:
    """What the two blocks' pictures look like beside each other."""
    one, other = numbers["blocks"][MIDDLE], numbers["blocks"][best]
    size = other["shape"][-1] / one["shape"][-1]
    text = (
        f"The paper sees weak edits before the bottleneck and artefacts behind it. Here an f_t of "
        f"the same kind at {best} has a map {size:g} times as wide to draw on, and pictures change "
        f"by {other['lpips'].value:.3f} (bottleneck {one['lpips'].value:.3f})"
    )
    if "fid" in one:
        text += f"; Frechet distance {ranged(other['fid'])} against {ranged(one['fid'])}"
    return f"{text}."


def _listed(numbers: Numbers, kind: str) -> str:
    told = [
        f"{name} {100 * one['success'].value:.0f} % ({100 * one['leakage'].value:.0f} %)"
        for name, one in numbers["blocks"].items()
        if name.startswith(kind)
    ]
    return ", ".join(told) or "none"
