"""Consistency: dh_t is nearly the same for all images and timesteps (section 5.3, appendix L).

And a direction that was trained on one number of steps works on others (section 4.1, S / S~).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from asyrp.domains.find_direction import recorded
from asyrp.domains.inverted_images import InvertedImages, edited
from asyrp.experiments.measure import judged
from asyrp.experiments.studies.common import (
    SOME,
    Numbers,
    StudyContext,
    Verdict,
    act_of,
    bound_of,
    by_both,
    edit_images,
    means,
    noun,
    ranged,
    ruled,
    shares,
)
from asyrp.method.directions import global_direction, mean_direction
from asyrp.metrics.perceptual import distances
from asyrp.reporting.figures import COLORS, MARKS, lines, new_figure, reach
from asyrp.reporting.statistics import of_difference, of_mean, of_means

STEPS = (10, 20, 40, 100, 1000)
PLAIN_UP_TO = 100  # steps up to which the transfer without the rule is walked too
TRANSFER_FACES = 8


def measure(context: StudyContext, steps: Sequence[int] = STEPS) -> dict[str, Any]:
    """Cosines over t, the edits of f_t, of its mean and of one dh, and transfer between grids.

    dh_t is recorded and averaged on training images, and edits test images.
    """
    learned, images = context.first, context.test_images()
    known = [count for count in steps if count <= context.domain.model.schedule.length]
    table = recorded(context.domain, context.train, learned.saved)
    return {
        "task": learned.task.name,
        "recorded": len(context.train.numbers),
        "margin": bound_of("consistency"),
        "cosines": cosines(table),
        "edits": _edits(context, images, table),
        "transfer": transfer(context, images.few(TRANSFER_FACES), known),
    }


def cosines(table: Mapping[int, Tensor]) -> dict[str, Any]:
    """Cosine of every face's dh_t with its mean over faces and with the global dh, over t.

    table: timestep -> (n, c, h', w').
    """
    times = sorted(table)
    centres = {t: table[t].mean(0) for t in times}
    single = torch.stack([centres[t] for t in times]).mean(0)
    return {
        "t": times,
        "with_mean": [of_mean(_cosines(table[t], centres[t])) for t in times],
        "with_global": [of_mean(_cosines(table[t], single)) for t in times],
        "mean_with_global": [float(_cosines(centres[t][None], single)[0]) for t in times],
    }


def _cosines(rows: Tensor, other: Tensor) -> np.ndarray:
    flat = functional.cosine_similarity(rows.flatten(1), other.flatten()[None], dim=1)
    return flat.cpu().double().numpy()


def _edits(
    context: StudyContext, images: InvertedImages, table: Mapping[int, Tensor]
) -> dict[str, Any]:
    domain, learned, mean = context.domain, context.first, mean_direction([table])
    single = global_direction(mean)
    acts = {
        "f_t": act_of(learned),
        "mean over faces": act_of(learned.with_direction(mean)),
        "one dh": act_of(learned.with_direction(single)),
    }
    made = {name: edit_images(context, images, [act]) for name, act in acts.items()}
    seen = {name: judged(domain, learned.task, images, edits) for name, edits in made.items()}
    found = {name: means(values) for name, values in seen.items()}
    for name, one in found.items():
        for key in ("success", "success_2"):
            one[f"{key}_minus_f_t"] = of_difference(seen[name][key], seen["f_t"][key])
        one["lpips_to_f_t"] = of_mean(distances(domain.distance, made["f_t"], made[name]))
    return found


def transfer(context: StudyContext, images: InvertedImages, steps: Sequence[int]) -> dict[str, Any]:
    """Success of the same f_t on grids of other lengths, with the S / S~ rule and without."""
    with_rule = [_on_grid(context, images, count, True) for count in steps]
    without_rule = [
        _on_grid(context, images, count, False) if count <= PLAIN_UP_TO else None for count in steps
    ]
    return {"steps": list(steps), "with_rule": with_rule, "without_rule": without_rule}


def _on_grid(
    context: StudyContext, images: InvertedImages, count: int, rule: bool
) -> dict[str, Any]:
    walked, model = images._replace(steps=count), context.domain.model
    boost = context.first.interval.t_boost
    act = act_of(context.first, 1.0 if rule else count / images.steps)
    edits = edited(model, walked, [act], boost)
    plain = walked._replace(reconstructions=edited(model, walked, [], boost))
    values = judged(context.domain, context.first.task, plain, edits)
    values["lpips"] = distances(context.domain.distance, plain.reconstructions, edits)
    return {name: of_mean(values[name]) for name in ("success", "leakage", "lpips")}


def plot(numbers: Numbers) -> Figure:
    """Cosines over t, of training faces; change of test faces over the number of steps."""
    figure, (left, right) = new_figure(5.2, 3.6, 2)
    kept, one_is = numbers["cosines"], noun(numbers)
    series = {
        f"{one_is} with mean over {one_is}s": kept["with_mean"],
        f"{one_is} with one dh": kept["with_global"],
        "mean with one dh": kept["mean_with_global"],
    }
    lines(left, kept["t"], series, "timestep t", "cosine of dh_t")
    left.set_ylim(min(0.0, *left.get_ylim()), 1.03)
    moved = numbers["transfer"]
    ways = (("S / S~", moved["with_rule"]), ("as it is", moved["without_rule"]))
    for place, (label, rows) in enumerate(ways):
        known = [(s, r["lpips"]) for s, r in zip(moved["steps"], rows, strict=True) if r]
        right.errorbar(
            [s for s, _ in known],
            [e.value for _, e in known],
            yerr=reach([e for _, e in known]),
            marker=MARKS[place],
            color=COLORS[place],
            label=label,
        )
    right.set(xscale="log", xlabel="steps of the grid", ylabel="perceptual change by the edit")
    right.legend(fontsize=8)
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether one dh succeeds as often as f_t on the same images, within the margin."""
    edits, one_is = numbers["edits"], noun(numbers)
    lost, second = (edits["one dh"][f"{key}_minus_f_t"] for key in ("success", "success_2"))
    cosines = {name: of_means(numbers["cosines"][name]) for name in ("with_mean", "with_global")}
    with_mean, with_global = (one.value for one in cosines.values())
    succeeds = edits["f_t"]["success"].value >= SOME
    found = {
        **by_both("success, one dh minus f_t", *((lost, second) if succeeds else (None, None))),
        "mean cosine of dh_t with its mean over images": cosines["with_mean"],
    }
    told = ", ".join(
        f"{name.replace('faces', f'{one_is}s')} {shares(one['success'])}"
        for name, one in edits.items()
    )
    text = (
        f"A training {one_is}'s dh_t has cosine {with_mean:.2f} with its "
        f"mean over the {numbers['recorded']} training {one_is}s and {with_global:.2f} with one dh "
        f"for everything, their mean over t too (means over t). On test {one_is}s, success: {told};"
        f" one dh minus f_t on the same {one_is}s: {shares(lost)}, by the second judge "
        f"{shares(second)}, where less than "
        f"{100 * numbers['margin']:.0f} points either way counts as the same; the pictures of one "
        f"dh differ from those of f_t by {edits['one dh']['lpips_to_f_t'].value:.3f}. On other "
        f"numbers of steps with the S / S~ rule: {_transferred(numbers['transfer'])}."
    )
    why = "" if succeeds else f"f_t itself succeeds on fewer than {SOME:.0%}: too few to lose any."
    return ruled("consistency", found, text, why)


def _transferred(transfer: Numbers) -> str:
    return "; ".join(
        f"{steps} steps, success {shares(row['success'])}, change {ranged(row['lpips'], 3)}"
        for steps, row in zip(transfer["steps"], transfer["with_rule"], strict=True)
    )
