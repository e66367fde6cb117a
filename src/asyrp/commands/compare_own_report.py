"""What `asyrp compare` writes about a network of the user's."""

from collections.abc import Mapping
from typing import Any

from asyrp.bootstrap import DRAWS, Estimate
from asyrp.evaluation import METRICS, Tools
from asyrp.jobs import Phases
from asyrp.options.compare import Compare
from asyrp.scorers import templates_of
from asyrp.tables import markdown
from asyrp.world.rivals import RIVALS

SWAP = "swap"
Tables = Mapping[str, Mapping[str, Estimate]]
"""method -> metric -> estimate."""


def title(name: str) -> str:
    """A method's name in tables."""
    return "DDIM, condition swapped" if name == SWAP else RIVALS[name].title


def page(
    options: Compare,
    tools: Tools,
    phases: Phases,
    tables: Tables,
    costs: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, float]],
) -> str:
    """table.md."""
    names = list(tables)
    metrics = [m for m in METRICS if any(m in tables[name] for name in names)]
    found = [{"method": title(name), **{m: tables[name].get(m) for m in metrics}} for name in names]
    spent = [
        {
            "method": title(name),
            **{key: f"{value:,.2f}" for key, value in costs[name].items()},
            "setting": ", ".join(f"{k} {v:g}" for k, v in settings[name].items()),
        }
        for name in names
    ]
    parts = [
        "# Comparison",
        _notes(options, tools, phases, next(iter(tables.values()))),
        markdown(found),
        "\n".join(f"- {m}: {METRICS[m]}" for m in metrics),
        "What it cost (seconds on this machine):",
        markdown(spent),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _notes(options: Compare, tools: Tools, phases: Phases, some: Mapping[str, Estimate]) -> str:
    own, counts = options.own, options.counts
    templates = templates_of(tools.guide.encoder) if tools.guide else []
    networks = {
        "distance": tools.distance,
        "segmenter": tools.segmenting,
        "features of FID and KID": tools.features,
        "identity": tools.identity,
    }
    named = "; ".join(f"{key}: {one.name}" for key, one in networks.items() if one is not None)
    images = max(estimate.images for estimate in some.values())
    return (
        f"Network {options.network.model}, {images} test images, {own.source!r} → {own.target!r}. "
        f"t_start {phases.t_start}, t_edit {phases.t_edit}, t_boost {phases.t_boost}. Intervals: "
        f"95 %, bootstrap over images, seed 0, {DRAWS} draws; noise with seed 0. Methods that "
        "train see the same images for as many optimiser steps "
        f"({options.training.epochs} epochs, batch {options.training.batch_size}, "
        f"{options.training.steps}-step grid). Each tries four settings on the same "
        f"{counts.validation_faces} images, and the one with the highest S_dir minus LPIPS is "
        f"taken. S_dir: encoder {options.guides.encoder}, {len(templates)} templates, source "
        f"image: the original; higher is better, and the encoder trained the edits too. {named}. "
        "There is no judge for images of your own, so success and leakage are not measured; "
        "guidance by images and classifiers would need paintings and labels of every image, and "
        "is left out."
    )
