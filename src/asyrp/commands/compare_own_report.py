"""What `asyrp compare` writes about a network of the user's."""

from collections.abc import Mapping
from typing import Any

from asyrp.commands.judges import described, leaning
from asyrp.commands.own_ground import warned
from asyrp.editing_methods.trained import RIVALS
from asyrp.method.editing_interval import EditInterval
from asyrp.method.protocols import templates_of
from asyrp.metrics.table import METRICS, Scorers
from asyrp.metrics.zero_shot import Questions
from asyrp.options.compare import Compare
from asyrp.reporting.bootstrap import DRAWS, Estimate
from asyrp.reporting.tables import markdown

SWAP = "swap"
Tables = Mapping[str, Mapping[str, Estimate]]
"""method -> metric -> estimate."""


def title(name: str) -> str:
    """A method's name in tables."""
    return "DDIM, condition swapped" if name == SWAP else RIVALS[name].title


def page(
    notes: str,
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
        notes,
        markdown(found),
        "\n".join(f"- {m}: {METRICS[m]}" for m in metrics),
        "What it cost (seconds on this machine):",
        markdown(spent),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def notes_of(
    options: Compare,
    tools: Scorers,
    phases: EditInterval,
    some: Mapping[str, Estimate],
    questions: Questions | None,
) -> str:
    """How it was done."""
    own, counts = options.own, options.counts
    images = max(estimate.images for estimate in some.values())
    told = (
        f"Network {options.network.model}, {images} test images, {own.source!r} → {own.target!r}. "
        f"t_start {phases.t_start}, t_edit {phases.t_edit}, t_boost {phases.t_boost}. Intervals: "
        f"95 %, bootstrap over images, seed 0, {DRAWS} draws; noise with seed 0. Methods that "
        "train see the same images for as many optimiser steps "
        f"({options.training.epochs} epochs, batch {options.training.batch_size}, "
        f"{options.training.steps}-step grid). Each tries four settings on the same "
        f"{counts.validation_faces} images, and the one with {_BEST[questions is not None]} is "
        f"taken. {_networks(options, tools)} {_judge(options, questions)} Guidance by images and "
        "classifiers would need paintings and labels of every image, and is left out."
    )
    warning = warned(options, questions)
    return f"{told}\n\n**Warning:** {warning}." if warning else told


_BEST = {
    False: "the highest S_dir minus LPIPS",
    True: "the most clean edits, then the most successes, then the smallest change",
}


def _networks(options: Compare, tools: Scorers) -> str:
    templates = templates_of(tools.guide.encoder) if tools.guide else []
    lender = options.guides.encoder if options.beside.features == "encoder" else ""
    networks = {
        "distance": tools.distance,
        "segmenter": tools.segmenting,
        "features of FID and KID": tools.features,
        "identity": tools.identity,
    }
    named = "; ".join(f"{key}: {one.name}" for key, one in networks.items() if one is not None)
    return (
        f"S_dir: encoder {options.guides.encoder}, {len(templates)} templates, source image: the "
        f"original; higher is better, and the encoder trained the edits too. {named}."
        f"{f' {lent}.' if (lent := leaning(lender, options.guides.encoder)) else ''}"
    )


def _judge(options: Compare, questions: Questions | None) -> str:
    if questions is None:
        return "Without --judge success and leakage are not measured."
    own = options.own
    return (
        f"Judge of {own.attribute} = {own.value!r}: {described(questions)}. It judges all test "
        "images; `success_before` is the share that it sees the value in already. It is weaker "
        "than a trained judge, and tuned every row alike."
    )
