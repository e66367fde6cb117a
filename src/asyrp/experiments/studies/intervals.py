"""Intervals: where editing should end, boosting begin, and what boosting does (4.1, 4.2, G, H)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.domains.lab import judged
from asyrp.domains.scenes import Scene
from asyrp.experiments.studies.common import (
    Bench,
    Numbers,
    Verdict,
    act_of,
    as_estimate,
    below,
    both,
    decided,
    difference,
    edit_scene,
    is_drawn,
    noun,
    pictures_of,
    ranged,
    rank,
    shares,
)
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import LEAST_FID, fid, new_fid
from asyrp.reporting.figures import heat, new_figure
from asyrp.reporting.statistics import of_mean, of_statistic

CELL_FACES = 24  # of one cell of the map
FID_DRAWS = 50
KINDS = ("faces", "with", "without")
ENDS = (0.05, 0.15, 0.45, 0.75)  # shares of the way up to t_start at which editing ends
CHOSEN = {
    True: "The choice of t_edit and t_boost is near the best.",
    False: "The choice of t_edit and t_boost is not near the best.",
    None: "Whether the choice of t_edit and t_boost is near the best does not show here.",
}
MARGIN = 0.1  # of clean edits: a choice that makes fewer by less than that is near the best
CUTOFF = 0.25  # cycles a pixel; half of the highest frequency that a picture can hold


def measure(bench: Bench, ends: Sequence[float] = ENDS) -> dict[str, Any]:
    """A map of t_edit x t_boost on validation faces; its best cell, the choice, boosting on test.

    The automatic choice comes from LPIPS curves alone, without any edit.
    """
    phases, start = bench.first.phases, bench.test.at
    t_edits = sorted({int(share * start) for share in ends} | {phases.t_edit})
    t_boosts = sorted({0, phases.t_boost // 2, phases.t_boost, 2 * phases.t_boost})
    held = bench.held(min(CELL_FACES, bench.faces))
    places = [(t_edit, t_boost) for t_edit in t_edits for t_boost in t_boosts if t_boost <= t_edit]
    cells, ranks = [], {}
    for place in places:
        edits = _cell(bench, held, *place)
        values = judged(bench.lab, bench.first.task, held, edits)
        ranks[place] = rank(values)
        shown = {name: float(np.nan_to_num(row).mean()) for name, row in values.items()}
        far = frechet_distance(bench, held, edits)
        cells.append({"t_edit": place[0], "t_boost": place[1], **shown, "fid": far})
    chosen = (phases.t_edit, phases.t_boost)
    best = max(places, key=lambda place: ranks[place])
    return {
        "task": bench.first.task.name,
        "t_edits": t_edits,
        "t_boosts": t_boosts,
        "held": len(held.numbers),
        "cells": cells,
        "automatic": chosen,
        "best": best,
        **_on_test(bench, best, chosen),
        "boosting": boosting(bench),
    }


def _on_test(bench: Bench, best: tuple[int, int], chosen: tuple[int, int]) -> dict[str, Any]:
    scene = bench.scene()
    clean = {
        place: np.nan_to_num(
            judged(bench.lab, bench.first.task, scene, _cell(bench, scene, *place))["clean"]
        )
        for place in {best, chosen}
    }
    return {
        "clean": {"best": of_mean(clean[best]), "automatic": of_mean(clean[chosen])},
        "best_minus_automatic": difference(clean[best], clean[chosen]),
        "margin": MARGIN,
    }


def _cell(bench: Bench, scene: Scene, t_edit: int, t_boost: int) -> Tensor:
    act = replace(act_of(bench.first), t_edit=t_edit)
    return edit_scene(bench, scene, [act], t_boost)


def frechet_distance(bench: Bench, scene: Scene, edits: Tensor) -> float | None:
    """Between a scene's faces and their edits; None for too few of them."""
    if len(scene.numbers) < LEAST_FID:
        return None
    real, seen = (features_of(bench.lab.features, x) for x in (scene.images, edits))
    return new_fid(real.shape[1])(real, seen)


def boosting(bench: Bench) -> dict[str, Any]:
    """Frechet distance to the faces, and high-frequency energy, with and without boosting."""
    scene, act = bench.scene(), [act_of(bench.first)]
    real = features_of(bench.lab.features, scene.images)
    drawn = pictures_of(bench.lab, scene.images)
    found: dict[str, Any] = {"faces": {"energy": of_mean(high_frequencies(drawn))}}
    seen = {}
    for name, boost in (("without", 0), ("with", bench.first.phases.t_boost)):
        edits = edit_scene(bench, scene, act, boost)
        seen[name] = features_of(bench.lab.features, edits)
        found[name] = {
            "fid": fid(real, seen[name], draws=FID_DRAWS),
            "energy": of_mean(high_frequencies(pictures_of(bench.lab, edits))),
        }
    distance = new_fid(real.shape[1])

    def nearer(rows: np.ndarray) -> float:
        chosen = torch.as_tensor(rows)
        both = [distance(real[chosen], seen[name][chosen]) for name in ("with", "without")]
        return both[0] - both[1]

    return {**found, "fid_difference": of_statistic(nearer, len(real), draws=FID_DRAWS)}


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
    some = any(one["value"] for one in numbers["clean"].values())
    same = list(numbers["best"]) == list(numbers["automatic"])
    lost = as_estimate(numbers["best_minus_automatic"])
    near = (same or below(lost, numbers["margin"])) if some else None
    harms = decided(as_estimate(numbers["boosting"]["fid_difference"]))
    helps = None if harms is None else not harms
    holds = both(near, helps)
    return Verdict(
        "t_edit and t_boost from LPIPS are near the best, and boosting helps quality",
        holds,
        _text(numbers),
        "" if holds else _why(numbers, near, helps),
    )


def _text(numbers: Numbers) -> str:
    boosted, images = numbers["boosting"], f"{noun(numbers)}s"
    lost, moved = numbers["best_minus_automatic"], boosted["fid_difference"]
    fids, energies = (
        {name: as_estimate(boosted[name][kind]) for name in ("with", "without")}
        for kind in ("fid", "energy")
    )
    clean = {name: as_estimate(one) for name, one in numbers["clean"].items()}
    return (
        f"On test {images} the automatic choice (t_edit {numbers['automatic'][0]}, t_boost "
        f"{numbers['automatic'][1]}) makes {shares(clean['automatic'])} clean edits, and the cell "
        f"of the map that is best on {numbers['held']} validation {images} (t_edit "
        f"{numbers['best'][0]}, t_boost {numbers['best'][1]}) {shares(clean['best'])}; the "
        f"difference on the same {images} is {shares(as_estimate(lost))}, where up to "
        f"{100 * numbers['margin']:.0f} points count as near. With boosting the Frechet "
        f"distance is {ranged(fids['with'], 2)}, without {ranged(fids['without'], 2)}; the "
        f"difference on the same {images} is {ranged(as_estimate(moved), 3)}. High-frequency "
        f"energy is {100 * energies['with'].value:.2f} % with, "
        f"{100 * energies['without'].value:.2f} % "
        f"without; {images} have {100 * boosted['faces']['energy']['value']:.2f} %."
    )


def _why(numbers: Numbers, near: bool | None, helps: bool | None) -> str:
    parts = [CHOSEN[near]]
    if not helps:
        energy = {k: one["energy"]["value"] for k, one in numbers["boosting"].items() if k in KINDS}
        lacking = 100 * (1 - energy["without"] / energy["faces"])
        reason = (
            " These are flat drawings with hard edges; what the paper's boosting restores is the "
            "texture of photographs."
        )
        does = "brings some of them back" if energy["with"] > energy["without"] else "adds none"
        parts.append(
            f"Boosting {'does harm' if helps is False else 'makes no difference that shows'}: "
            f"without it edits lack {lacking:.0f} % of the {noun(numbers)}s' high frequencies, and "
            f"its noise {does}.{reason if is_drawn(numbers) else ''}"
        )
    return " ".join(parts)
