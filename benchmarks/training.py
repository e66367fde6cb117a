"""What was tried for the defaults of training: settings against validation images of a domain.

Run: python benchmarks/training.py [--domain photographs-64] [--only NAME ...]
Every variant trains one task and edits the validation images that lack its value, at growing
strengths. It prints a line each and writes docs/training-tried.md, with a table a domain, from what
lies beside it as JSON; what was done is not done again.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import tyro
from torch import nn

from asyrp.domains.base import Domain, Split, Task, guide_of, load_domain, task_of
from asyrp.domains.inverted_images import (
    InvertedImages,
    edited,
    inverted,
    load_inverted,
    save_inverted,
)
from asyrp.experiments.equal_success import Trial, leakage_at
from asyrp.experiments.measure import judged
from asyrp.finders.prepare import start_training
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.directions import Direction
from asyrp.method.editing_interval import EditInterval
from asyrp.runtime.cpu import set_up_torch
from asyrp.settings import Precision, TrainSettings
from asyrp.storage.json_files import write_json, write_text

LADDER = (0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5)  # strengths
STEPS = 20  # of the grid that validation images are walked on
ENOUGH = 0.9  # the success at which leakage is compared
BEYOND = 2  # strengths that are tried from the first that is enough
OLD = 1e-7  # the floor that the loss had before
INTERVALS = {"avatars-64": (537, 153), "photographs-64": (500, 100)}


@dataclass(frozen=True)
class Variant:
    """One setting of training; t_start None is the domain's."""

    name: str
    settings: TrainSettings = field(default_factory=lambda: TrainSettings(validate_every=0))
    images: int = 48
    t_start: int | None = None
    keep: bool = False
    region: bool = False


def _tried(name: str, images: int = 48, **changes: Any) -> Variant:
    return Variant(name, TrainSettings(validate_every=0, **changes), images)


VARIANTS = (
    Variant("default"),
    _tried("another seed", seed=1),
    _tried("along the inverted trajectory", along="trajectory"),
    _tried("the same, another seed", along="trajectory", seed=1),
    _tried("on noised copies", along="noised", epochs=1, batch_size=16, images=256),
    Variant("texts to keep", keep=True),
    Variant("a region", region=True),
    Variant("both", keep=True, region=True),
    _tried("lambda_recon 1", lambda_recon=1.0),
    _tried("lambda_recon 3", lambda_recon=3.0),
    _tried("rate 0.002", learning_rate=2e-3),
    _tried("rate 0.01", learning_rate=1e-2),
    _tried("one dh a timestep", kind="timestep"),
    _tried("one dh", kind="global"),
    _tried("floor 0.1", floor=0.1),
    _tried("floor 0.4", floor=0.4),
    _tried("before: floor 1e-7, Adam 0.02", floor=OLD, learning_rate=2e-2),
    _tried("SGD 0.5, zero start", optimiser="sgd", learning_rate=0.5),
    _tried("batch 24", batch_size=24),
    _tried("batch 1, 1 epoch, rate 0.002", batch_size=1, epochs=1, learning_rate=2e-3),
    _tried("6 epochs", epochs=6),
    _tried("no decay", decay=False),
    _tried("default initialisation of f_t", zero_init=False),
    Variant("whole interval [T, t_edit]", t_start=999),
)


@dataclass(frozen=True)
class Options:
    """Measure settings of training on validation images."""

    domain: str = "avatars-64"
    """The domain."""
    task: str = "smiling"
    """The task that is trained."""
    out: Path = Path("build/training")
    """Folder for inverted images, which are not made again."""
    docs: Path = Path("docs")
    """Folder of training-tried.md and training-tried.json."""
    only: tuple[str, ...] = ()
    """Variants to run; default: all that have not run yet."""
    images: int = 40
    """Validation images to measure on; those that show the value are left out."""
    dtype: Precision = "auto"
    """Precision of the networks' products."""


def main(options: Options) -> None:
    """Run what is not done yet."""
    set_up_torch()
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.docs / "training-tried.json"
    tried = json.loads(kept.read_text()) if kept.exists() else {}
    rows = tried.setdefault(options.domain, {})
    domain = load_domain(options.domain, dtype=options.dtype)
    for variant in VARIANTS:
        if variant.name not in (options.only or VARIANTS_BY_NAME) or variant.name in rows:
            continue
        rows[variant.name] = measure(domain, variant, options)
        print(line(variant.name, rows[variant.name]), end="", flush=True)
        write_json(kept, tried)
    write_text(options.docs / "training-tried.md", page(tried, options.images))


VARIANTS_BY_NAME = {variant.name: variant for variant in VARIANTS}


def measure(domain: Domain, variant: Variant, options: Options) -> dict[str, object]:
    """Train a variant and judge it at growing strengths."""
    task, started = task_of(domain, options.task), time.process_time()
    start, end = INTERVALS[domain.name]
    interval = EditInterval(variant.t_start or start, end, 0)
    settings = replace(variant.settings, region=task.region if variant.region else ())
    pictures = images_of(domain, "train", variant.images, settings.steps, interval, options)
    guide, some = guide_of(domain, task, variant.keep), pictures.pictures
    job = start_training(domain.model, guide, some, some[:0], interval, settings)
    made = list(moved(job.direction, (step.t for step in job.steps)))
    found: dict[str, object] = {"seconds": round(time.process_time() - started)}
    found["largest_step"] = round(max(made) / float(np.median(made)), 1)
    found["alike"] = round(alike(job.direction), 3)
    direction = cast(Direction, job.direction.requires_grad_(False))
    rows = [*looked(domain, task, direction, settings, interval, options)]
    tried = [Trial(0.0, 0.0), *(Trial(shown, leaks) for _, shown, leaks in rows)]
    there = any(one.success >= ENOUGH for one in tried)
    return found | {"rows": rows, "at enough": leakage_at(tried, ENOUGH) if there else None}


def images_of(
    domain: Domain, split: Split, count: int, steps: int, interval: EditInterval, options: Options
) -> InvertedImages:
    """Images of a split, inverted once to where an interval begins."""
    name = f"{domain.name}-{split}-{count}-{steps}-{interval.t_start}.safetensors"
    if not (options.out / name).exists():
        start = min(domain.model.t_top, interval.t_start)
        found = inverted(domain.model, domain.images(split, count), start, steps)
        save_inverted(options.out / name, found)
    return load_inverted(options.out / name)


def moved(direction: nn.Module, steps: Iterator[object]) -> Iterator[float]:
    """The norm of every optimiser step."""
    before = nn.utils.parameters_to_vector(direction.parameters()).detach().clone()
    for _ in steps:
        now = nn.utils.parameters_to_vector(direction.parameters()).detach().clone()
        yield float((now - before).norm())
        before = now


def alike(direction: nn.Module) -> float:
    """The largest share of a tensor's weights within 1 % of their median size; noise has 0.01."""
    sizes = [p.detach().abs().flatten() for p in direction.parameters()]
    return max(float(((s / s.median() - 1).abs() < 0.01).float().mean()) for s in sizes)


@torch.no_grad()
def looked(
    domain: Domain,
    task: Task,
    direction: Direction,
    settings: TrainSettings,
    interval: EditInterval,
    options: Options,
) -> Iterator[tuple[float, float, float]]:
    """Strength, success and leakage beyond the reconstruction's, up to BEYOND that are enough."""
    images = images_of(domain, "validation", options.images, STEPS, interval, options)
    images = images.rows(domain.lacking(images.clean, task))
    back, enough = judged(domain, task, images, images.reconstructions), 0
    for strength in LADDER:
        when = (settings.steps, interval.t_start, settings.region)
        act = Attribute(direction, interval.t_edit, strength, *when)
        found = judged(domain, task, images, edited(domain.model, images, [act]))
        success = float(np.nanmean(found["success"]))
        yield strength, success, float(np.nanmean(found["leakage"]) - np.nanmean(back["leakage"]))
        enough += success >= ENOUGH
        if enough == BEYOND:
            return


def page(tried: Mapping[str, Mapping[str, Any]], images: int) -> str:
    """training-tried.md: domain -> variant -> what was measured."""
    head = (
        "# Settings of training that were tried\n\n"
        "Written by `python benchmarks/training.py`: one edit, trained on 48 images unless a "
        f"variant says else, judged on those of {images}\nvalidation images that lack the "
        "value. Under *strength*: judged to show it / other attributes changed beyond the\n"
        "reconstruction, in %, at growing strengths until 90 % show it. *at 90 %*: what changes "
        "where 90 % do, on a line between\nstrengths. *step*: the largest optimiser step over the "
        "median one. *alike*: the largest share of a tensor's weights\nwithin 1 % of one size, in "
        "% (scales of the normalisation start at 1, and count; a sign pattern would have 100 in\n"
        "the output layer, with *step* far above 10). *s*: seconds of CPU of the training, "
        f"{platform.machine()}, torch {torch.__version__}.\nEvery variant differs from the default "
        "in what it says; a point or two of leakage lies within the luck of a seed.\n"
    )
    parts = [head]
    for domain, rows in sorted(tried.items()):
        ordered = {name: rows[name] for name in VARIANTS_BY_NAME if name in rows}
        parts.append(
            f"\n## {domain}\n\n| variant | s | step | alike | strength: shown / others "
            "| at 90 % |\n|---|---|---|---|---|---|\n"
        )
        parts += [line(name, row) for name, row in ordered.items()]
    return "".join(parts)


def line(name: str, row: Mapping[str, Any]) -> str:
    """A variant in the table."""
    cells = [f"{s:g}: {100 * shown:.0f} / {100 * leaks:.1f}" for s, shown, leaks in row["rows"]]
    told = "never" if row["at enough"] is None else f"{100 * row['at enough']:.1f}"
    first = [name, row["seconds"], row["largest_step"], f"{100 * row['alike']:.0f}"]
    return f"| {' | '.join(map(str, [*first, ', '.join(cells[-4:]), told]))} |\n"


if __name__ == "__main__":
    main(tyro.cli(Options))
