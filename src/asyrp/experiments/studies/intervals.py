"""Intervals: where editing should end, boosting begin, and what boosting does (4.1, 4.2, G, H)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.domains.inverted_images import InvertedImages
from asyrp.experiments.claims import LEVEL, registered
from asyrp.experiments.measure import judged, pictures_of
from asyrp.experiments.studies.common import (
    SOME,
    Numbers,
    StudyContext,
    Verdict,
    act_of,
    bound_of,
    by_both,
    edit_images,
    noun,
    plain_means,
    ranged,
    ruled,
    shares,
)
from asyrp.experiments.tuning import ahead, arm_of, score
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import LEAST_FID, fid, fid_of
from asyrp.reporting.figures import heat, new_figure
from asyrp.reporting.statistics import of_mean, of_statistic

NEAR = "clean edits, best cell minus the automatic choice"
BOOSTED = "Frechet distance to pictures with the value, boosted minus not"
FID_DRAWS = 50
KINDS = ("faces", "with", "without")
ENDS = (0.05, 0.15, 0.45, 0.75)  # shares of the way up to t_start at which editing ends
CHOSEN = {
    True: "The choice of t_edit and t_boost is near the best.",
    False: "The choice of t_edit and t_boost is not near the best.",
    None: "Whether the choice of t_edit and t_boost is near the best does not show here.",
}
CUTOFF = 0.25  # cycles a pixel; half of the highest frequency that a picture can hold


def measure(context: StudyContext, ends: Sequence[float] = ENDS) -> dict[str, Any]:
    """A map of t_edit x t_boost on validation faces; its best cell, the choice, boosting on test.

    The automatic choice comes from LPIPS curves alone, without any edit.
    """
    phases, start, task = context.first.interval, context.test.at, context.first.task
    t_edits = sorted({int(share * start) for share in ends} | {phases.t_edit})
    t_boosts = sorted({0, phases.t_boost // 2, phases.t_boost, 2 * phases.t_boost})
    validation, showing = context.validation_images(), context.showing()
    places = [(t_edit, t_boost) for t_edit in t_edits for t_boost in t_boosts if t_boost <= t_edit]
    cells, scores = [], []
    for place in places:
        edits = _cell(context, validation, *place)
        values = judged(context.domain, task, validation, edits)
        scores.append(score(values))
        far = None
        if showing is not None and len(edits) >= LEAST_FID:
            far = fid_of(showing, features_of(context.features, edits))
        cells.append(dict(t_edit=place[0], t_boost=place[1], **plain_means(values), fid=far))
    chosen = (phases.t_edit, phases.t_boost)
    return {
        "task": task.name,
        "t_edits": t_edits,
        "t_boosts": t_boosts,
        "validation": len(validation.numbers),
        "cells": cells,
        "automatic": chosen,
        **_on_test(context, places, scores, chosen),
        "margin": bound_of("intervals"),
        "boosting": boosting(context, showing),
    }


def _on_test(
    context: StudyContext,
    places: Sequence[tuple[int, int]],
    scores: Sequence[np.ndarray],
    chosen: tuple[int, int],
) -> dict[str, Any]:
    """The best cell, and what it and the automatic choice do to test faces."""
    images = context.test_images()

    def at(place: tuple[int, int]) -> dict[str, np.ndarray]:
        return judged(context.domain, context.first.task, images, _cell(context, images, *place))

    best, values = arm_of(scores, lambda k: at(places[k])), at(chosen)
    automatic = arm_of([np.zeros(len(scores[0]))], lambda k: values)
    return {
        "best": places[best.best],
        "clean": {"best": of_mean(best.values["clean"]), "automatic": of_mean(values["clean"])},
        **ahead(best, [automatic], "best_minus_automatic"),
    }


def _cell(context: StudyContext, images: InvertedImages, t_edit: int, t_boost: int) -> Tensor:
    act = replace(act_of(context.first), t_edit=t_edit)
    return edit_images(context, images, [act], t_boost)


def boosting(context: StudyContext, showing: Tensor | None) -> dict[str, Any]:
    """What boosting does to the Frechet distance to pictures that show the value, and to sharpness.

    showing: features of such pictures; None leaves the distances out.
    """
    images, act = context.test_images(), [act_of(context.first)]
    drawn = pictures_of(context.domain.model, images.images)
    found: dict[str, Any] = {"faces": {"energy": of_mean(high_frequencies(drawn))}}
    seen = {}
    for name, boost in (("without", 0), ("with", context.first.interval.t_boost)):
        edits = edit_images(context, images, act, boost)
        seen[name] = features_of(context.features, edits)
        shown = pictures_of(context.domain.model, edits)
        found[name] = {"energy": of_mean(high_frequencies(shown))}
        if showing is not None:
            found[name]["fid"] = fid(showing, seen[name], False, draws=FID_DRAWS)
    if showing is None:
        return {**found, "fid_difference": None}

    def difference(rows: np.ndarray, shown: np.ndarray) -> float:
        chosen, real = torch.as_tensor(rows), showing[torch.as_tensor(shown)]
        return fid_of(real, seen["with"][chosen]) - fid_of(real, seen["without"][chosen])

    counts = (len(seen["with"]), len(showing))  # both sets of pictures are resampled
    return {**found, "fid_difference": of_statistic(difference, counts, draws=FID_DRAWS)}


def high_frequencies(images: Tensor) -> np.ndarray:
    """Share of each picture's energy (its mean left out) above CUTOFF cycles a pixel, (n,)."""
    grey = images.double().mean(1).cpu().numpy()
    power = np.abs(np.fft.fft2(grey - grey.mean((1, 2), keepdims=True))) ** 2
    height, width = grey.shape[1:]
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    total = np.maximum(power.sum((1, 2)), 1e-12)
    found: np.ndarray = power[:, radius > CUTOFF].sum(1) / total
    return found


def plot(numbers: Numbers) -> Figure:
    """Success, clean edits and Frechet distance on validation faces, the automatic one marked."""
    metrics = {"success": "success", "clean": "clean edits", "fid": "Frechet distance"}
    figure, axes = new_figure(4.6, 3.4, len(metrics))
    ends, boosts = numbers["t_edits"], numbers["t_boosts"]
    for place, (metric, label) in enumerate(metrics.items()):
        table = np.full((len(ends), len(boosts)), np.nan)
        for cell in numbers["cells"]:
            row, column = ends.index(cell["t_edit"]), boosts.index(cell["t_boost"])
            table[row, column] = np.nan if cell[metric] is None else cell[metric]
        heat(axes[place], table, [str(t) for t in ends], [str(t) for t in boosts], label)
        t_edit, t_boost = numbers["automatic"]
        axes[place].plot(
            boosts.index(t_boost), ends.index(t_edit), "s", ms=26, mfc="none", mec="#D55E00", mew=2
        )
        axes[place].set(xlabel="t_boost", ylabel="t_edit")
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether the automatic choice is as good as the best cell, and whether boosting helps."""
    some = max(one.value for one in numbers["clean"].values()) >= SOME
    lost = [
        numbers[key] if some else None for key in ("best_minus_automatic", "best_minus_automatic_2")
    ]
    measures = {**by_both(NEAR, *lost), BOOSTED: numbers["boosting"]["fid_difference"]}
    parts = [
        None if (one := rule.joined(measures)) is None else one.at(LEVEL)
        for rule in registered()["intervals"].rules
    ]
    return ruled("intervals", measures, _text(numbers), _why(numbers, *parts))


def _text(numbers: Numbers) -> str:
    boosted, images = numbers["boosting"], f"{noun(numbers)}s"
    with_it, without = (100 * boosted[name]["energy"].value for name in ("with", "without"))
    return (
        f"On test {images} the automatic choice (t_edit {numbers['automatic'][0]}, t_boost "
        f"{numbers['automatic'][1]}) makes {shares(numbers['clean']['automatic'])} clean edits, "
        f"and the cell of the map that is best on {numbers['validation']} validation {images} "
        f"(t_edit {numbers['best'][0]}, t_boost {numbers['best'][1]}) "
        f"{shares(numbers['clean']['best'])}; the difference on the same {images} is "
        f"{shares(numbers['best_minus_automatic'])}, by the second judge "
        f"{shares(numbers['best_minus_automatic_2'])}, where up to "
        f"{100 * numbers['margin']:.0f} points count as near. {_distances(numbers)} High-frequency "
        f"energy is {with_it:.2f} % with, {without:.2f} % without; {images} have "
        f"{100 * boosted['faces']['energy'].value:.2f} %."
    )


def _distances(numbers: Numbers) -> str:
    boosted, images = numbers["boosting"], f"{noun(numbers)}s"
    if boosted["fid_difference"] is None:
        return f"Too few {images} show the value for Frechet distances to them."
    return (
        f"With boosting the Frechet distance to {images} that show the value is "
        f"{ranged(boosted['with']['fid'])}, without {ranged(boosted['without']['fid'])}; the "
        f"difference is {ranged(boosted['fid_difference'], 3)}."
    )


def _why(numbers: Numbers, near: bool | None, helps: bool | None) -> str:
    if helps:
        return CHOSEN[near]
    energy = {name: numbers["boosting"][name]["energy"].value for name in KINDS}
    lacking = 100 * (1 - energy["without"] / energy["faces"])
    does = "brings some of them back" if energy["with"] > energy["without"] else "adds none"
    return (
        f"{CHOSEN[near]} "
        f"Boosting {'does harm' if helps is False else 'makes no difference that shows'}: "
        f"without it edits lack {lacking:.0f} % of the {noun(numbers)}s' high frequencies, and "
        f"its noise {does}."
    )
