"""Directions of photographs-64: trained on noised photographs, judged on test photographs.

Run: ASYRP_PHOTOGRAPHS=DIR python benchmarks/photographs.py --tasks smiling glasses
Trains each direction, chooses its strength on validation photographs (the most clean edits by the
judge, which guided nothing), and measures it once on test photographs. Writes docs/photographs.md,
a sheet of samples of the network an edit, which show nobody, and the directions into --out.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from asyrp.domains.base import Domain, Images, Task, load_domain, task_of
from asyrp.domains.inverted_images import InvertedImages, edited, inverted
from asyrp.experiments.measure import judged
from asyrp.finders.prepare import Pictures, make_card, start_training
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import SavedDirection, save_direction
from asyrp.method.directions import Direction
from asyrp.method.editing import edit, random_latents
from asyrp.method.editing_interval import EditInterval
from asyrp.method.text_direction import new_text_direction
from asyrp.reporting.statistics import Estimate, of_mean
from asyrp.reporting.tables import percent
from asyrp.runtime.cpu import settle
from asyrp.settings import TrainSettings
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.json_files import write_json, write_text

STRENGTHS = (0.1, 0.15, 0.2, 0.3, 0.4)
SAMPLES, STEPS = 8, 40


@dataclass(frozen=True)
class Options:
    """What to train and how many photographs to look at."""

    tasks: tuple[str, ...] = ("smiling", "glasses")
    """Tasks of the domain."""
    domain: str = "photographs-64"
    """The domain."""
    train: int = 192
    """Photographs to train on that lack the value."""
    validation: int = 24
    """Photographs to choose the strength on."""
    test: int = 48
    """Photographs to measure on."""
    epochs: int = 1
    """Passes over them."""
    out: Path = Path("build/photographs")
    """Folder for directions and numbers; a task that is there is not done again."""
    docs: Path = Path("docs")
    """Folder for photographs.md and its sheets."""


def main(options: Options) -> None:
    """Do what is missing, then write the page."""
    settle()
    domain = load_domain(options.domain)
    for name in options.tasks:
        kept = options.out / f"{name}.json"
        if not kept.is_file():
            write_json(kept, work(domain, task_of(domain, name), options))
            print(kept.read_text(), flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(options.out.glob("*.json"))]
    write_text(options.docs / "photographs.md", page(rows, options))


def work(domain: Domain, task: Task, options: Options) -> dict[str, Any]:
    """Train, choose and measure one direction."""
    interval = cast(EditInterval, task.interval)
    settings = TrainSettings(
        along="noised", epochs=options.epochs, batch_size=16, steps=20, validate_every=0
    )
    some = lacking(domain, domain.images("train", 4 * options.train), task, options.train)
    others = [one.target for one in domain.tasks.values() if one.attribute != task.attribute]
    guide = new_text_direction(domain.encoder, task.source, task.target, keep=others)
    pictures = Pictures(some.x, some.x)
    job = start_training(domain.model, guide, pictures, pictures[:0], interval, settings)
    losses = [step.total for step in job.steps]
    direction = job.direction.requires_grad_(False)
    validation = scene(domain, task, "validation", options.validation)
    found = {s: measured(domain, task, validation, direction, s) for s in STRENGTHS}
    best = max(STRENGTHS, key=lambda s: float(np.nanmean(found[s]["clean"])))
    told = {"images": len(some.numbers), "losses": [losses[0], losses[-1]]}
    texts = (task.source, task.target)
    card = make_card(domain.model, texts, guide, interval, settings, told, best)
    options.out.mkdir(parents=True, exist_ok=True)
    save_direction(options.out / f"{task.name}.safetensors", direction, card)
    test = scene(domain, task, "test", options.test)
    values = measured(domain, task, test, direction, best)
    back = judged(domain, task, test, test.reconstructions)
    sheet(
        domain,
        SavedDirection(direction, card),
        options.docs / "images" / f"photographs-{task.name}.png",
    )
    return {
        "task": task.name,
        "texts": f"{task.source} → {task.target}",
        "strength": best,
        "images": len(test.numbers),
        **{name: of_mean(values[name]) for name in ("success", "leakage", "clean")},
        "leakage_back": of_mean(back["leakage"]),
    }


def lacking(domain: Domain, images: Images, task: Task, most: int) -> Images:
    """The first images that do not show the value."""
    rows = domain.lacking(images, task)[:most]
    return Images(images.split, tuple(images.numbers[row] for row in rows), images.x[rows])


def scene(domain: Domain, task: Task, split: Any, count: int) -> InvertedImages:
    """Images that lack the value, inverted to where editing begins."""
    interval = cast(EditInterval, task.interval)
    few = lacking(domain, domain.images(split, 3 * count), task, count)
    return inverted(domain.model, few, interval.t_start, STEPS)


def measured(
    domain: Domain, task: Task, images: InvertedImages, direction: nn.Module, strength: float
) -> dict[str, np.ndarray]:
    """What the judge says of the edits at a strength."""
    return judged(domain, task, images, edits_of(domain, task, images, direction, strength))


def edits_of(
    domain: Domain, task: Task, images: InvertedImages, direction: nn.Module, strength: float
) -> Tensor:
    """Edited images."""
    interval = cast(EditInterval, task.interval)
    act = Attribute(cast(Direction, direction), interval.t_edit, strength, 20, interval.t_start)
    return edited(domain.model, images, [act])


@torch.no_grad()
def sheet(domain: Domain, saved: SavedDirection, path: Path) -> None:
    """Samples of the network, unchosen, and their edits at half, one and one and a half times."""
    latents = random_latents(domain.model, SAMPLES, 5)
    factors = (0.0, 0.5, 1.0, 1.5)
    rows = [
        edit(domain.model, latents, [saved.attribute(saved.card.strength * f)] if f else [])
        for f in factors
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, contact_sheet([row.clamp(-1, 1) for row in rows]))


HEAD = """# Photographs

Written by `python benchmarks/photographs.py`: directions of photographs-64, each trained on {train}
noised photographs (no inversion) with what its other edits are about to keep, its strength chosen
on {validation} validation photographs, measured once on test photographs that lack the value, by a
judge that guided nothing. Shares in %, 95 % intervals; *back*: other attributes that the plain
reconstruction changes. Machine: {threads} thread(s) of a {machine} CPU, torch {torch}.

The network is young (81 thousand pictures) and saw the test photographs: its card says so.

| edit | photographs | strength of dh | success | leakage | clean | back |
|---|---|---|---|---|---|---|
"""
SHEET = """![Eight samples and their edits](images/photographs-{task}.png)

*{texts}*, on eight samples of the network that nobody chose: unedited, at 0.5, 1 and 1.5 times the
strength.
"""


def page(rows: list[dict[str, Any]], options: Options) -> str:
    """photographs.md."""
    about = {"threads": torch.get_num_threads(), "machine": platform.machine()}
    head = HEAD.format(
        train=options.train, validation=options.validation, torch=torch.__version__, **about
    )
    lines = []
    for row in rows:
        shares = [row[name] for name in ("success", "leakage", "clean", "leakage_back")]
        cells = [row["texts"], row["images"], f"{row['strength']:g}", *map(percent_of, shares)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return head + "\n".join([*lines, "", *(SHEET.format(**row) for row in rows)])


def percent_of(kept: dict[str, Any]) -> str:
    """A share as kept in JSON."""
    return percent(Estimate(**kept))


if __name__ == "__main__":
    main(tyro.cli(Options))
