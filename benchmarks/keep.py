"""Leakage with and without `--keep-others`: the same training, with and without texts to keep.

Run: python benchmarks/keep.py [--tasks NAME ...]
Validation faces that lack the attribute are edited at several strengths, and leakage is compared at
equal success. It prints one line for each training and writes docs/keep-measured.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import tyro

from asyrp.domains.avatars.captions import others
from asyrp.domains.avatars.domain import TASKS
from asyrp.domains.avatars.judge import load_judge
from asyrp.finders.prepare import start_training
from asyrp.method.directions import Direction
from asyrp.method.editing_interval import EditInterval
from asyrp.method.text_direction import new_text_direction
from asyrp.networks import load_model
from asyrp.scorers.load import load_encoder
from asyrp.settings import TrainSettings
from asyrp.storage.json_files import write_json
from training import STRENGTHS, Bench, Variant, faces_of, judged, leakage_at

WEIGHTS = (0.0, 1.0, 3.0)  # lambda_keep


@dataclass(frozen=True)
class Options:
    """Measure what texts to keep do to leakage."""

    out: Path = Path("build/training")
    """Folder for what is kept between runs; that of benchmarks/training.py has the faces."""
    docs: Path = Path("docs")
    """Folder for keep-measured.md."""
    tasks: tuple[str, ...] = ("smiling", "angry", "glasses", "beard", "bald", "blonde")
    """Attributes, by the names of `asyrp compare --tasks`."""
    weights: tuple[float, ...] = WEIGHTS
    """Weights lambda_keep; 0 is a training without texts to keep."""
    faces: int = 40
    """Validation faces; those that have the attribute are left out."""


def measure(options: Options, name: str, weight: float) -> dict[str, Any]:
    """Train a task with a weight and judge it at every strength."""
    task = TASKS[name]
    keep = others(task.target) if weight else ()
    guide = new_text_direction(load_encoder("avatars-64-clip"), task.source, task.target, keep=keep)
    have = Bench(load_model("avatars-64"), guide, load_judge(), options.out, options.faces)
    variant = Variant(name)
    pictures = faces_of(have, "train", variant.images, variant.settings.steps, variant.t_start)
    phases = EditInterval(variant.t_start, variant.t_edit, 0)
    settings = TrainSettings(lambda_keep=weight)
    job = start_training(have.model, guide, pictures, pictures[:0], phases, settings)
    for _ in job.steps:
        pass
    direction = cast(Direction, job.direction.requires_grad_(False))
    wanted = (task.attribute, task.value)
    return {"texts": len(keep), "rows": [*judged(have, variant, direction, wanted)]}


def common(rows: list[dict[str, Any]]) -> float:
    """The success at which a task's trainings are compared: 90 %, or what all of them reach."""
    best = min(max(one[1] for one in row["rows"]) for row in rows)
    return min(0.9, 0.98 * best)


def page(kept: dict[str, dict[str, Any]], options: Options) -> str:
    """keep-measured.md."""
    head = (
        "# What texts to keep do\n\n"
        "Written by `python benchmarks/keep.py`: directions on avatars-64, each trained as by "
        "default on 48\nfaces, with all other attributes of the world as texts to keep "
        "(`--keep-others`) at several weights\n(`--train.lambda-keep`), and without. Leakage, in "
        f"%, of those of {options.faces} validation faces that lack the\nattribute, at the success "
        "in the second column, on a line between strengths; in brackets the share\nof that without."
        "\n\n"
    )
    titles = ["attribute", "success", "without", *(f"weight {w:g}" for w in options.weights[1:])]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for task in options.tasks:
        rows = [kept[key] for w in options.weights if (key := f"{task} {w:g}") in kept]
        if len(rows) == len(options.weights):
            lines.append(line(task, rows))
    return head + "\n".join(lines) + "\n"


def line(task: str, rows: list[dict[str, Any]]) -> str:
    """A task in the table."""
    at = common(rows)
    leaks = [leakage_at(row["rows"], at) or 0.0 for row in rows]
    cells = [f"{100 * leak:.1f} ({100 * leak / max(leaks[0], 1e-9):.0f} %)" for leak in leaks[1:]]
    return f"| {' | '.join([task, f'{100 * at:.0f}', f'{100 * leaks[0]:.1f}', *cells])} |"


def main(options: Options) -> None:
    """Run what is not done yet."""
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "keep.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    for task in options.tasks:
        for weight in options.weights:
            key = f"{task} {weight:g}"
            if key in kept:
                continue
            kept[key] = measure(options, task, weight)
            told = [
                f"{s:g}: {100 * row[1]:.0f}/{100 * row[2]:.1f}"
                for s, row in zip(STRENGTHS, kept[key]["rows"], strict=True)
            ]
            print(key, *told, flush=True)
            write_json(path, kept)
            (options.docs / "keep-measured.md").write_text(page(kept, options), encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options))
