"""Homogeneity: a shift found on one image edits others, in h; in eps it does not (section 5.3)."""

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from asyrp.baselines.wrapped import epsilon_space
from asyrp.bootstrap import of_mean
from asyrp.figures import lines, new_figure
from asyrp.studies.common import (
    Bench,
    Numbers,
    Verdict,
    as_estimate,
    decided,
    difference,
    shares,
)
from asyrp.unet import HSpaceUNet
from asyrp.world.lab import edited, judged, train_direction
from asyrp.world.tasks import lacking

STRENGTHS = (0.5, 1.0, 1.5)
RATES = {"h": 5e-2, "eps": 1e-2}  # Adam's, for tables of h and of eps
PASSES = 24  # optimiser steps at each timestep


def measure(bench: Bench, passes: int = PASSES) -> dict[str, Any]:
    """Find dh_t and De_t on one training face, apply both to it and to test faces."""
    row = lacking(bench.train.faces, bench.first.task)[0]
    spaces = {"h": bench.lab.model, "eps": epsilon_space(bench.lab.model)}
    found = {name: _in_space(bench, name, space, row, passes) for name, space in spaces.items()}
    rows = {name: one.pop("clean_rows") for name, one in found.items()}
    best = {name: max(one, key=lambda values: float(values.mean())) for name, one in rows.items()}
    return {
        "spaces": found,
        "strengths": STRENGTHS,
        "difference": difference(best["h"], best["eps"]),
        "task": bench.first.task.name,
    }


def _in_space(bench: Bench, name: str, space: HSpaceUNet, row: int, passes: int) -> dict[str, Any]:
    task, phases = bench.first.task, bench.first.phases
    settings = replace(
        bench.lab.settings, kind="timestep", epochs=passes, batch_size=1, learning_rate=RATES[name]
    )
    lab, own = bench.lab._replace(settings=settings), bench.train.rows([row])
    saved = train_direction(lab, task, phases, own, space)
    scene = bench.scene()
    found: dict[str, Any] = {"own": {}, "others": {}, "clean_rows": []}
    for strength in STRENGTHS:
        act = [saved.attribute(strength)]
        both = {
            "own": (own, edited(space, own, act, phases.t_boost)),
            "others": (scene, edited(space, scene, act, phases.t_boost)),
        }
        for where, (faces, edits) in both.items():
            values = judged(bench.lab, task, faces, edits)
            if where == "own":
                found[where][f"{strength:g}"] = {k: float(v[0]) for k, v in values.items()}
            else:
                found[where][f"{strength:g}"] = {k: of_mean(v) for k, v in values.items()}
                found["clean_rows"].append(np.nan_to_num(values["clean"]))
    return found


def plot(numbers: Numbers) -> Figure:
    """Success and leakage on other faces over strength, h beside eps."""
    figure, axes = new_figure(4.4, 3.4, 2)
    for place, metric in enumerate(("success", "leakage")):
        series = {
            f"found in {name}": [as_estimate(row[metric]) for row in one["others"].values()]
            for name, one in numbers["spaces"].items()
        }
        lines(axes[place], numbers["strengths"], series, "strength", f"{metric} on other faces")
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether the best clean share on other faces is higher in h."""
    found = as_estimate(numbers["difference"])
    told = []
    for name, one in numbers["spaces"].items():
        strength = max(one["others"], key=lambda s: one["others"][s]["clean"]["value"])
        row = {k: as_estimate(v) for k, v in one["others"][strength].items()}
        own = "succeeds" if any(o["success"] for o in one["own"].values()) else "fails"
        told.append(
            f"found in {name}, it {own} on its own face and reaches {shares(row['success'])} of "
            f"the others with {shares(row['leakage'])} leakage (strength {strength})"
        )
    text = (
        f"A shift for one face: {'; '.join(told)}. Clean edits of other faces, h minus eps: "
        f"{shares(found)}."
    )
    return Verdict("A shift found on one image edits others in h, not in eps", decided(found), text)
