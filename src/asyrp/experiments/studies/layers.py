"""Layers: the same training at every block of the network, not only the bottleneck (D.3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from asyrp.domains.lab import edited, judged, train_direction
from asyrp.domains.scenes import Scene
from asyrp.editing_methods.other_spaces import at_block, blocks
from asyrp.experiments.studies.common import (
    Bench,
    Numbers,
    Verdict,
    as_estimate,
    as_saved,
    confidence,
    decided,
    difference,
    is_drawn,
    means,
    noun,
    rank,
    shares,
)
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import LEAST_FID, fid
from asyrp.reporting.figures import dots, new_figure
from asyrp.reporting.statistics import of_mean

MIDDLE = "mid"  # the bottleneck
TRAIN_FACES = 24
HELD_FACES = 12
FID_DRAWS = 50


def measure(bench: Bench, chosen: Sequence[str] | None = None) -> dict[str, Any]:
    """An f_t of the same kind, faces and steps at each block, judged on the same test faces.

    The block that the bottleneck is compared with is chosen on validation faces.
    """
    names = blocks(bench.lab.model) if chosen is None else list(chosen)
    held = bench.held(HELD_FACES)
    found = {name: _at(bench, held, name) for name in names}
    clean = {name: one.pop("clean_rows") for name, one in found.items()}
    ranks = {name: one.pop("rank") for name, one in found.items() if name != MIDDLE}
    best = max(ranks, key=lambda name: ranks[name], default=None)
    return {
        "task": bench.first.task.name,
        "train_faces": min(TRAIN_FACES, len(bench.train.numbers)),
        "held": len(held.numbers),
        "blocks": found,
        "best_other": best,
        "mid_minus_best": difference(clean[MIDDLE], clean[best])
        if best and MIDDLE in clean
        else None,
    }


def _at(bench: Bench, held: Scene, block: str) -> dict[str, Any]:
    """What an f_t at a block does on test faces, and its rank on those of validation."""
    space, phases = at_block(bench.lab.model, block), bench.first.phases
    few = bench.train.rows(range(min(TRAIN_FACES, len(bench.train.numbers))))
    saved = train_direction(bench.lab, bench.first.task, phases, few, space)
    scene, act = bench.scene(), saved.attribute(bench.first.saved.card.strength)
    tried, edits = (
        as_saved(bench.lab, edited(space, kept, [act], phases.t_boost)) for kept in (held, scene)
    )
    values = judged(bench.lab, bench.first.task, scene, edits)
    real, seen = (features_of(bench.lab.features, x) for x in (scene.images, edits))
    return {
        "shape": list(space.h_shape),
        **means(values),
        "clean_rows": np.nan_to_num(values["clean"]),
        "rank": rank(judged(bench.lab, bench.first.task, held, tried)),
        "confidence": of_mean(confidence(bench.lab, edits)),
        **({"fid": fid(real, seen, draws=FID_DRAWS)} if len(real) >= LEAST_FID else {}),
    }


def plot(numbers: Numbers) -> Figure:
    """Success, leakage and clean edits, and how real the pictures look, a row a block."""
    figure, (left, right) = new_figure(5.6, 4.4, 2)
    rows = numbers["blocks"]
    names = [f"{name}, {'x'.join(map(str, row['shape']))}" for name, row in rows.items()]
    series = {
        metric: [as_estimate(row[metric]) for row in rows.values()]
        for metric in ("success", "leakage", "clean")
    }
    dots(left, names, series, f"share of test {noun(numbers)}s")
    found = [as_estimate(row["fid"]) for row in rows.values() if "fid" in row]
    if len(found) == len(names):
        label = f"Frechet distance to the {noun(numbers)}s before"
        dots(right, names, {"edits": found}, label)
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether the bottleneck makes more clean edits than the block that is best beside it."""
    claim = "The bottleneck is the best place for the shift"
    clean = {name: as_estimate(row["clean"]) for name, row in numbers["blocks"].items()}
    if numbers["mid_minus_best"] is None:
        return Verdict(claim, None, "The bottleneck and another block were not among the blocks.")
    ahead, best = as_estimate(numbers["mid_minus_best"]), numbers["best_other"]
    text = (
        f"Clean edits at the bottleneck: {shares(clean[MIDDLE])}; at {best}, the best other block "
        f"on {numbers['held']} validation {noun(numbers)}s: {shares(clean[best])}; the bottleneck "
        f"minus it on the same {noun(numbers)}s: {shares(ahead)}. Success (leakage) before the "
        f"bottleneck: {_listed(numbers, 'down')}; at it: {_listed(numbers, 'mid')}; behind it: "
        f"{_listed(numbers, 'up')}."
    )
    holds = decided(ahead)
    return Verdict(claim, holds, text, "" if holds else _why(numbers, best))


def _why(numbers: Numbers, best: str) -> str:
    """What the two blocks' pictures look like beside each other."""
    one, other = numbers["blocks"][MIDDLE], numbers["blocks"][best]
    size = other["shape"][-1] / one["shape"][-1]
    text = (
        f"The paper sees weak edits before the bottleneck and artefacts behind it. Here an f_t of "
        f"the same kind at {best} has a map {size:g} times as wide to draw on, and pictures change "
        f"by {other['lpips']['value']:.3f} (bottleneck {one['lpips']['value']:.3f})"
    )
    if "fid" in one:
        fids = [as_estimate(row["fid"]) for row in (other, one)]
        text += (
            "; Frechet distance {:.2f} ({:.2f} to {:.2f}) against {:.2f} ({:.2f} to {:.2f})".format(
                *fids[0][:3], *fids[1][:3]
            )
        )
    reason = (
        " A likely reason, not tested here: these drawings are simple and all in one place, so "
        "that a shift near the output is enough to draw a mouth."
    )
    return (
        f"{text}.{reason if is_drawn(numbers) else ''} Every block was trained with the settings "
        f"that were tuned for the bottleneck, on {numbers['train_faces']} {noun(numbers)}s."
    )


def _listed(numbers: Numbers, kind: str) -> str:
    chosen = {name: one for name, one in numbers["blocks"].items() if name.startswith(kind)}
    told = [
        f"{name} {100 * one['success']['value']:.0f} % ({100 * one['leakage']['value']:.0f} %)"
        for name, one in chosen.items()
    ]
    return ", ".join(told) or "none"
