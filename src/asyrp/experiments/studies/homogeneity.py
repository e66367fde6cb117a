"""Homogeneity: a shift found on one image edits others, in h; in eps it does not (section 5.3)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from asyrp.domains.find_direction import fitted
from asyrp.domains.inverted_images import InvertedImages, edited
from asyrp.editing_methods.other_spaces import epsilon_space
from asyrp.experiments.measure import judged
from asyrp.experiments.studies.common import (
    Numbers,
    StudyContext,
    Verdict,
    by_both,
    noun,
    plain_means,
    ruled,
    shares,
)
from asyrp.experiments.tuning import Arm, ahead, arm_of, score
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.hspace import HSpaceUNet
from asyrp.reporting.figures import COLORS, MARKS, lines, new_figure, reach
from asyrp.reporting.statistics import of_mean

Rates = Mapping[str, Sequence[float]]

STRENGTHS = (0.5, 1.0, 1.5, 2.2, 3.3)
# Adam's, for tables of h and of eps, two each: of all rates and strengths the one that suits other
# faces, of validation, best is taken. The lowest loss on the one face would not do: in eps it is an
# adversarial pattern.
RATES: Rates = {"h": (5e-2, 1.5e-1), "eps": (3e-3, 1e-2)}
PASSES = 24  # optimiser steps at each timestep


class Tried(NamedTuple):
    """A table that a learning rate found, at a strength, and what it does on validation faces."""

    rate: float
    strength: float
    act: Attribute
    validation: Mapping[str, np.ndarray]


def measure(context: StudyContext, passes: int = PASSES, rates: Rates = RATES) -> dict[str, Any]:
    """Find dh_t and De_t on one training image, apply both to it and to others.

    Learning rates and strengths are chosen on validation images, whose luck is in the interval.
    """
    row = context.domain.lacking(context.train.clean, context.first.task)[0]
    spaces = {"h": context.domain.model, "eps": epsilon_space(context.domain.model)}
    own, validation = context.train.rows([row]), context.validation_images()
    found, arms = {}, {}
    for name, space in spaces.items():
        found[name], arms[name] = _in_space(context, space, own, validation, rates[name], passes)
    return {
        "spaces": found,
        "strengths": STRENGTHS,
        "validation": len(validation.numbers),
        **ahead(arms["h"], [arms["eps"]], "difference"),
        "task": context.first.task.name,
    }


def _in_space(
    context: StudyContext,
    space: HSpaceUNet,
    own: InvertedImages,
    validation: InvertedImages,
    rates: Sequence[float],
    passes: int,
) -> tuple[dict[str, Any], Arm]:
    """What tables for one face do to it and to others; the best of them on test faces."""
    domain, first, test = context.domain, context.first, context.test_images()

    def seen(images: InvertedImages, act: Attribute) -> dict[str, np.ndarray]:
        edits = edited(space, images, [act], first.interval.t_boost)
        return judged(domain, first.task, images, edits)

    table = replace(context.settings, kind="timestep", along="edited", epochs=passes, batch_size=1)
    tried, losses = [], {}
    for rate in rates:
        settings = replace(table, learning_rate=rate)
        fit = fitted(domain, first.task, first.interval, own, settings, space)
        losses[f"{rate:g}"] = fit.loss
        acts = {strength: fit.saved.attribute(strength) for strength in STRENGTHS}
        tried += [Tried(rate, s, act, seen(validation, act)) for s, act in acts.items()]
    arm = arm_of([score(one.validation) for one in tried], lambda k: seen(test, tried[k].act))
    best, clean = tried[arm.best], defaultdict(list)
    for one in tried:
        clean[f"{one.rate:g}"].append(plain_means(one.validation)["clean"])
    alike = {f"{one.strength:g}": one for one in tried if one.rate == best.rate}
    return {
        "own": {strength: plain_means(seen(own, one.act)) for strength, one in alike.items()},
        "validation": {strength: plain_means(one.validation) for strength, one in alike.items()},
        "rate": best.rate,
        "strength": best.strength,
        "losses": losses,
        "clean_tried": clean,
        "others": {metric: of_mean(row) for metric, row in arm.values.items()},
    }, arm


def plot(numbers: Numbers) -> Figure:
    """Success and leakage on validation faces over strength; on test faces at the one chosen."""
    figure, axes = new_figure(4.4, 3.4, 2)
    for place, metric in enumerate(("success", "leakage")):
        for row, (name, one) in enumerate(numbers["spaces"].items()):
            series = {f"found in {name}": [kept[metric] for kept in one["validation"].values()]}
            label = f"{metric} on other {noun(numbers)}s"
            lines(axes[place], numbers["strengths"], series, "strength", label, first=row)
            test = one["others"][metric]
            axes[place].errorbar(
                one["strength"],
                test.value,
                yerr=reach([test]),
                marker=MARKS[row],
                markerfacecolor="white",
                ms=8,
                capsize=3,
                color=COLORS[row],
                label=f"found in {name}, test {noun(numbers)}s",
            )
        axes[place].legend(fontsize=8)
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether the clean share on other images is higher in h."""
    found, second = (numbers[key] for key in ("difference", "difference_2"))
    one_is, spaces = noun(numbers), numbers["spaces"]
    told = [_told(name, one, one_is) for name, one in spaces.items()]
    text = (
        f"A shift for one {one_is}, with the learning rate and strength that suit "
        f"{numbers['validation']} validation {one_is}s best, of equally many for both "
        f"spaces; the others are test {one_is}s. {' '.join(told)} Clean edits of the others, h "
        f"minus eps, with the luck of that choice: {shares(found)}; by the second judge "
        f"{shares(second)}."
    )
    changed = {name: one["others"]["lpips"].value for name, one in spaces.items()}
    why = (
        f"At these strengths the shift in eps changes other "
        f"pictures by {changed['eps']:.3f}, that in h by {changed['h']:.3f}."
    )
    measures = by_both("clean edits of other images, h minus eps", found, second)
    return ruled("homogeneity", measures, text, why)


def _told(name: str, one: Mapping[str, Any], one_is: str) -> str:
    row = one["others"]
    worked = [s for s, values in one["own"].items() if values["success"]]
    own = (
        f"succeeds on its own {one_is} from strength {worked[0]}" if worked else "fails on its own"
    )
    return (
        f"Found in {name}, it {own}, and at strength {one['strength']:g} reaches "
        f"{shares(row['success'])} of the others with {shares(row['leakage'])} leakage and a "
        f"perceptual change of {row['lpips'].value:.3f}."
    )
