"""Intervals: where editing should end, boosting begin, and what boosting does (4.1, 4.2, G, H)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.bootstrap import Estimate, of_mean
from asyrp.figures import heat, new_figure
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import fid
from asyrp.studies.common import (
    Bench,
    Numbers,
    Verdict,
    act_of,
    as_estimate,
    difference,
    edit_scene,
    shares,
)
from asyrp.world.lab import judged
from asyrp.world.scenes import Scene

CELL_FACES = 16  # of one cell of the map
ENDS = (0.3, 0.45, 0.6, 0.75)  # shares of the way up to t_start at which editing ends
CUTOFF = 0.25  # cycles a pixel; half of the highest frequency that a picture can hold


def measure(bench: Bench, ends: Sequence[float] = ENDS) -> dict[str, Any]:
    """A map of t_edit x t_boost, the automatic choice in it, and what boosting does."""
    phases, start = bench.first.phases, bench.test.at
    t_edits = sorted({int(share * start) for share in ends} | {phases.t_edit})
    t_boosts = sorted({0, phases.t_boost, min(t_edits[0], 2 * phases.t_boost)})
    scene = bench.scene().rows(range(min(CELL_FACES, bench.faces)))
    places = [(t_edit, t_boost) for t_edit in t_edits for t_boost in t_boosts]
    values = {place: _cell(bench, scene, *place) for place in places}
    clean = {place: np.nan_to_num(found["clean"]) for place, found in values.items()}
    chosen = (phases.t_edit, phases.t_boost)
    best = max(places, key=lambda place: float(clean[place].mean()))
    return {
        "task": bench.first.task.name,
        "t_edits": t_edits,
        "t_boosts": t_boosts,
        "cells": [
            {"t_edit": t_edit, "t_boost": t_boost, **_means(values[t_edit, t_boost])}
            for t_edit, t_boost in places
        ],
        "automatic": chosen,
        "best": best,
        "best_minus_automatic": difference(clean[best], clean[chosen]),
        "boosting": boosting(bench),
    }


def _cell(bench: Bench, scene: Scene, t_edit: int, t_boost: int) -> dict[str, np.ndarray]:
    act = replace(act_of(bench.first), t_edit=t_edit)
    edits = edit_scene(bench, scene, [act], min(t_boost, t_edit))
    return judged(bench.lab, bench.first.task, scene, edits)


def _means(values: dict[str, np.ndarray]) -> dict[str, Estimate]:
    return {name: of_mean(values[name]) for name in ("success", "leakage", "clean", "lpips")}


def boosting(bench: Bench) -> dict[str, Any]:
    """Frechet distance to the faces, and high-frequency energy, with and without boosting."""
    scene, act = bench.scene(), [act_of(bench.first)]
    real = features_of(bench.lab.features, scene.images)
    found: dict[str, Any] = {"faces": {"energy": of_mean(high_frequencies(scene.images))}}
    for name, boost in (("without", 0), ("with", bench.first.phases.t_boost)):
        edits = edit_scene(bench, scene, act, boost)
        found[name] = {
            "fid": fid(real, features_of(bench.lab.features, edits), draws=50),
            "energy": of_mean(high_frequencies(edits)),
        }
    return found


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
    """Success and clean edits over the map, the automatic choice marked."""
    figure, axes = new_figure(5.0, 3.6, 2)
    ends, boosts = numbers["t_edits"], numbers["t_boosts"]
    for place, metric in enumerate(("success", "clean")):
        table = np.full((len(ends), len(boosts)), np.nan)
        for cell in numbers["cells"]:
            row, column = ends.index(cell["t_edit"]), boosts.index(cell["t_boost"])
            table[row, column] = cell[metric]["value"]
        heat(axes[place], table, [str(t) for t in ends], [str(t) for t in boosts], metric)
        t_edit, t_boost = numbers["automatic"]
        axes[place].plot(
            boosts.index(t_boost), ends.index(t_edit), "s", ms=26, mfc="none", mec="#D55E00", mew=2
        )
        axes[place].set(xlabel="t_boost", ylabel="t_edit")
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether the automatic choice is as good as the best cell, and whether boosting helps."""
    lost = as_estimate(numbers["best_minus_automatic"])
    with_, without = numbers["boosting"]["with"], numbers["boosting"]["without"]
    helps = with_["fid"]["value"] < without["fid"]["value"]
    energy = numbers["boosting"]["faces"]["energy"]["value"]
    text = (
        f"The automatic choice (t_edit {numbers['automatic'][0]}, t_boost "
        f"{numbers['automatic'][1]}) makes {shares(lost)} fewer clean edits than the best cell of "
        f"the map (t_edit {numbers['best'][0]}, t_boost {numbers['best'][1]}), which was chosen "
        f"with hindsight on these faces. Boosting {'lowers' if helps else 'raises'} the Frechet "
        f"distance from {without['fid']['value']:.3f} to {with_['fid']['value']:.3f}; "
        f"high-frequency energy goes from {100 * without['energy']['value']:.2f} % to "
        f"{100 * with_['energy']['value']:.2f} %, faces have {100 * energy:.2f} %."
    )
    return Verdict(
        "t_edit and t_boost from LPIPS are near the best, and boosting helps quality",
        lost.low <= 0 and helps,
        text,
    )
