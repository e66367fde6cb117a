"""Linearity: the attribute grows with the strength, and directions add up (section 5.3)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np
from matplotlib.figure import Figure

from asyrp.domains.inverted_images import InvertedImages
from asyrp.errors import AsyrpError
from asyrp.experiments import second_judge
from asyrp.experiments.claims import SECOND, Measures, registered
from asyrp.experiments.studies.common import (
    Learned,
    Numbers,
    StudyContext,
    Verdict,
    act_of,
    by_both,
    edit_images,
    noun,
    ranged,
    ruled,
    shares,
)
from asyrp.metrics.answers import succeeded
from asyrp.metrics.perceptual import distances
from asyrp.reporting.figures import dots, lines, new_figure
from asyrp.reporting.statistics import Estimate, of_difference, of_mean, of_statistic
from asyrp.scorers.judge import answers, log_odds, wanted

STRENGTHS = tuple(float(s) for s in np.linspace(-2, 2, 9))
SUMS = "success in sums minus 70 % of that alone, the least"
BEYOND = ("beyond_share", "beyond_share_2")
RARE = 0.3  # success alone below which a sum says little
LEAST_SHARE = 0.7  # of an attribute's success alone, that a sum has to keep


def measure(context: StudyContext, strengths: Sequence[float] = STRENGTHS) -> dict[str, Any]:
    """The judge's log-odds over strength, and sums of up to three directions."""
    return {
        "task": context.first.task.name,
        **over_strength(context, strengths),
        "sums": sums(context),
    }


def over_strength(context: StudyContext, strengths: Sequence[float]) -> dict[str, Any]:
    """Log-odds of the wanted value, change of the picture, and how straight their lines are.

    Images are those of the pool, whether they show the value or not, so that both signs have
    something to change.
    """
    images, task = context.test.rows(range(context.count)), context.first.task
    odds, moved = [], []
    for strength in strengths:
        edits = edit_images(context, images, [act_of(context.first, strength)])
        odds.append(log_odds(context.judge, edits, task.attribute, task.value))
        moved.append(distances(context.domain.distance, images.reconstructions, edits))
    table = np.array(odds)

    def of_rows(measure: Callable[[Sequence[float], np.ndarray], float]) -> Estimate:
        return of_statistic(lambda rows: measure(strengths, table[:, rows].mean(1)), table.shape[1])

    return {
        "strengths": list(strengths),
        "log_odds": [of_mean(row) for row in odds],
        "success": [of_mean(np.where(row > 0, 1.0, 0.0)) for row in odds],
        "lpips": [of_mean(row) for row in moved],
        "r2": of_rows(r_squared),
        "evenness": of_rows(evenness),
        "r2_of_each": float(np.median([r_squared(strengths, row) for row in table.T])),
    }


def r_squared(x: Sequence[float], y: np.ndarray) -> float:
    """Share of y's variance that a straight line over x explains."""
    residual = y - np.polyval(np.polyfit(x, y, 1), x)
    total = ((y - y.mean()) ** 2).sum()
    return float(1 - (residual**2).sum() / total) if total > 0 else 0.0


def evenness(x: Sequence[float], y: np.ndarray) -> float:
    """Least slope of the cubic through y over the slope of the line: 1 is straight, 0 flat there.

    What R2 leaves out: tanh(1.5 x) and a clipped line have an R2 of 0.92 over -2 to 2.
    """
    cubic, (slope, _) = np.polyfit(x, y, min(3, len(x) - 1)), np.polyfit(x, y, 1)
    return float(np.polyval(np.polyder(cubic), x).min() / slope) if slope > 0 else 0.0


def sums(context: StudyContext) -> list[dict[str, Any]]:
    """Success of every attribute alone, in pairs and in threes, on images that lack them all.

    beyond_share, beyond_share_2: success minus LEAST_SHARE of that alone, image by image, by both
    judges. AsyrpError for too few such images.
    """
    learned = list(context.learned[:3])
    images = _lacking_all(context, learned)
    rows: list[dict[str, Any]] = []
    alone: dict[str, list[np.ndarray]] = {}
    for size in range(1, len(learned) + 1):
        for chosen in combinations(learned, size):
            boost = min(one.interval.t_boost for one in chosen)
            edits = edit_images(context, images, [act_of(one) for one in chosen], boost)
            seen, made = answers(context.judge, edits), {}
            for task in (one.task for one in chosen):
                place = wanted(context.judge, task.attribute, task.value)
                made[task.name] = [
                    succeeded(seen, task.attribute, place),
                    second_judge.succeeded(context.domain, task, images, edits),
                ]
            alone |= made if size == 1 else {}
            beyond = {
                key: {
                    name: of_difference(row[judge], alone[name][judge], LEAST_SHARE)
                    for name, row in made.items()
                }
                for judge, key in enumerate(BEYOND)
            }
            success = {name: of_mean(row) for name, (row, _) in made.items()}
            rows.append({"together": list(made), "success": success, **beyond})
    return rows


def _lacking_all(context: StudyContext, learned: Sequence[Learned]) -> InvertedImages:
    domain, test = context.domain, context.test
    lacking = (set(domain.lacking(test.clean, one.task)) for one in learned)
    rows = sorted(set.intersection(*lacking))
    if len(rows) < 2:
        raise AsyrpError(
            f"sums of directions need at least 2 images that lack all of them; got {len(rows)} of "
            f"{len(test.numbers)}; draw more"
        )
    return test.rows(rows[: context.count])


def plot(numbers: Numbers) -> Figure:
    """Log-odds over strength with the fitted line; success alone and together."""
    figure, (left, right) = new_figure(5.2, 3.6, 2)
    strengths, odds = numbers["strengths"], numbers["log_odds"]
    lines(left, strengths, {"judge": odds}, "strength", "log-odds of the value")
    fit = np.polyfit(strengths, [one.value for one in odds], 1)
    left.plot(strengths, np.polyval(fit, strengths), "--", color="#555555", linewidth=1)
    left.set_title(f"R² = {numbers['r2'].value:.3f}", fontsize=9)
    alone, summed = _alone(numbers), _in_sums(numbers)
    if summed:
        series = {
            "alone": [alone[name] for _, name, _ in summed],
            "in the sum": [one for _, _, one in summed],
        }
        dots(right, [place for place, _, _ in summed], series, "success")
        right.tick_params(axis="y", labelsize=7)
    else:
        right.set_axis_off()
    return figure


def _alone(numbers: Numbers) -> dict[str, Estimate]:
    single = [row["success"] for row in numbers["sums"] if len(row["together"]) == 1]
    return {name: one for row in single for name, one in row.items()}


def _in_sums(numbers: Numbers) -> list[tuple[str, str, Estimate]]:
    """In words, whose success in which sum; its name; and that success."""
    return [
        (f"{name} in {' + '.join(row['together'])}", name, one)
        for row in numbers["sums"]
        if len(row["together"]) > 1
        for name, one in row["success"].items()
    ]


def verdict(numbers: Numbers) -> Verdict:
    """Straightness, and what is left of each attribute in sums."""
    r2, alone = numbers["r2"], _alone(numbers)
    kept = {
        place: one.value / max(alone[name].value, 1e-9)
        for place, name, one in _in_sums(numbers)
        if alone[name].value > 0
    }
    text = _line_of(numbers, r2)
    if len(alone) == 1:
        text += f" Success at strength 1: {shares(*alone.values())}."
    if kept:
        worst = min(kept, key=lambda name: kept[name])
        told = "; ".join(f"{name} {shares(one)}" for name, one in alone.items())
        text += (
            f" Success alone: {told}. In sums each keeps at least {100 * kept[worst]:.0f} % of "
            f"that (least: {worst}); they count as added up where the interval of success minus "
            f"{100 * LEAST_SHARE:.0f} % of that alone, image by image, is nowhere below 0."
        )
    measures = _measures(numbers, alone)
    if (second := measures.get(SUMS + SECOND)) is not None:
        text += f" The least by the second judge: {shares(cast(Estimate, second))}."
    name = "linearity" if len(alone) > 1 else "linearity of one"
    straight = registered()[name].rules[0].outcome(r2).holds
    return ruled(name, measures, text, _why(numbers, straight, alone))


def _measures(numbers: Numbers, alone: Mapping[str, Estimate]) -> Measures:
    """What the claim is decided by: of sums the least, unless one never succeeds alone."""
    found = {"R2 of a line": numbers["r2"], "least slope over the mean slope": numbers["evenness"]}
    together = [row for row in numbers["sums"] if len(row["together"]) > 1]
    if not together:
        return found
    shown = all(alone[name].value for row in together for name in row["success"])
    least = [
        min((one for row in together for one in row[key].values()), key=lambda one: one.value)
        for key in BEYOND
    ]
    return {**found, **by_both(SUMS, *(least if shown else (None, None)))}


def _line_of(numbers: Numbers, r2: Estimate) -> str:
    """How straight the log-odds are, in words."""
    target = numbers.get("target", numbers["task"])
    return (
        f"Log-odds of {target!r} over strengths {numbers['strengths'][0]:g} "
        f"to {numbers['strengths'][-1]:g}: R² {ranged(r2, 3)} for "
        f"the mean {noun(numbers)}, {numbers['r2_of_each']:.3f} for the median {noun(numbers)}; "
        f"at its flattest it grows {ranged(numbers['evenness'])} times as fast as on average."
    )


def _why(numbers: Numbers, straight: bool, alone: Mapping[str, Estimate]) -> str:
    """Where the line bends, and which attributes are too rare alone to say much in sums."""
    strengths, parts = numbers["strengths"], []
    slopes = np.diff([one.value for one in numbers["log_odds"]]) / np.diff(strengths)
    if not straight or min(slopes) < 0.5 * float(np.mean(slopes)):
        bend = int(np.argmin(slopes))
        parts.append(
            f"It is flattest between {strengths[bend]:g} and {strengths[bend + 1]:g} (slope "
            f"{min(slopes):.1f}, mean {float(np.mean(slopes)):.1f})."
        )
    rare = [name for name, one in alone.items() if one.value < RARE]
    if rare and len(alone) > 1:
        parts.append(f"{', '.join(rare)} seldom succeeds alone, so its sums say little.")
    return " ".join(parts)
