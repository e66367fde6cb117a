"""Layers: the same training at every block of the network, not only the bottleneck (D.3)."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from asyrp.baselines.wrapped import at_block, blocks
from asyrp.figures import dots, new_figure
from asyrp.studies.common import Bench, Numbers, Verdict, as_estimate, shares, summary
from asyrp.world.lab import edited, train_direction

TRAIN_FACES = 24


def measure(bench: Bench, chosen: Sequence[str] | None = None) -> dict[str, Any]:
    """An f_t of the same kind, faces and steps at each block, judged on the same test faces."""
    names = blocks(bench.lab.model) if chosen is None else list(chosen)
    return {
        "task": bench.first.task.name,
        "train_faces": min(TRAIN_FACES, len(bench.train.numbers)),
        "blocks": {name: _at(bench, name) for name in names},
    }


def _at(bench: Bench, block: str) -> dict[str, Any]:
    space, phases = at_block(bench.lab.model, block), bench.first.phases
    few = bench.train.rows(range(min(TRAIN_FACES, len(bench.train.numbers))))
    saved = train_direction(bench.lab, bench.first.task, phases, few, space)
    scene, strength = bench.scene(), bench.first.saved.card.strength
    edits = edited(space, scene, [saved.attribute(strength)], phases.t_boost)
    return {"shape": list(space.h_shape), **summary(bench, scene, edits)}


def plot(numbers: Numbers) -> Figure:
    """Success, leakage and clean edits, a row a block."""
    figure, (axes,) = new_figure(6.4, 4.4)
    rows = numbers["blocks"]
    names = [f"{name}, {'x'.join(map(str, row['shape']))}" for name, row in rows.items()]
    series = {
        metric: [as_estimate(row[metric]) for row in rows.values()]
        for metric in ("success", "leakage", "clean")
    }
    dots(axes, names, series, "share of test faces")
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether no block makes more clean edits than the bottleneck."""
    claim = "The bottleneck is the best place for the shift"
    clean = {name: as_estimate(row["clean"]) for name, row in numbers["blocks"].items()}
    best = max(clean, key=lambda name: clean[name].value)
    success = {name: as_estimate(row["success"]) for name, row in numbers["blocks"].items()}
    if "mid" not in clean:
        return Verdict(claim, None, "The bottleneck was not among the blocks.")
    text = (
        f"Clean edits at the bottleneck: {shares(clean['mid'])}; most at {best}: "
        f"{shares(clean[best])}. Success before the bottleneck: "
        f"{_listed(success, 'down')}; behind it: {_listed(success, 'up')}."
    )
    if best == "mid":
        return Verdict(claim, True, text)
    overlapping = clean["mid"].high >= clean[best].low
    return Verdict(claim, None if overlapping else False, text)


def _listed(rows: dict[str, Any], kind: str) -> str:
    chosen = {name: one for name, one in rows.items() if name.startswith(kind)}
    return ", ".join(f"{name} {100 * one.value:.0f} %" for name, one in chosen.items()) or "none"
