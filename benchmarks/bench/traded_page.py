"""Speed against quality, in tables."""

from collections.abc import Mapping
from typing import Any

from asyrp.reporting.tables import Row, markdown

Part = Mapping[str, Any]


def told(part: Part | None) -> list[str]:
    """Success, leakage, distance and time of every way; nothing where it was not measured."""
    if part is None:
        return []
    return [
        f'"{part["task"]}" on avatars-64, {part["faces"]} test faces that do not show it, judged '
        "by the world's judge; times as fast as the reference implementation at 40 steps (for "
        "training: of the same interval, an image and epoch). One face is "
        f"{100 / part['faces']:.1f} points. The setting of a bar is the fastest that keeps success "
        f"and leakage within two points on {part['chosen_on']} validation faces; the bar is met "
        "only if it keeps them on the test faces too.",
        markdown(_ways(part["editing"])),
        "Directions of shorter training grids, edited on those 40 steps and on their own:",
        markdown(_subsets(part["training"])),
        "Where training begins (`--begin-from`):",
        markdown(_starts(part["training"])),
    ]


def _ways(editing: Part) -> list[Row]:
    return [
        {
            "editing": way["name"],
            "times as fast": f"{editing['naive_seconds'] / way['seconds']:.2f}",
            **_judged(way),
        }
        for way in editing["ways"]
    ]


def _subsets(training: Part) -> list[Row]:
    return [
        {
            "training grid": f"{row['training_steps']} steps",
            "edited on": f"{row['edited_on']} steps",
            "times as fast": f"{training['naive_seconds'] / row['seconds_an_image']:.2f}",
            **_judged(row),
        }
        for row in training["subsets"]
    ]


def _starts(training: Part) -> list[Row]:
    return [
        {
            "begins from": row["begun"],
            "epochs": row["epochs"],
            "seconds an image": f"{row['epochs'] * row['seconds_an_image']:.2f}",
            **_judged(row),
        }
        for row in training["starts"]
    ]


def _judged(row: Part) -> dict[str, str]:
    held = row["validation"]
    return {
        "success, %": f"{100 * row['success']:.1f}",
        "leakage, %": f"{100 * row['leakage']:.1f}",
        "LPIPS": f"{row['lpips']:.3f}",
        "validation: success, leakage, %": (
            f"{100 * held['success']:.1f}, {100 * held['leakage']:.1f}"
        ),
    }
