"""The directions that ship with a built-in domain: trained, given a strength, measured, shown.

Run: ASYRP_PHOTOGRAPHS=DIR python benchmarks/directions.py --domain photographs-64 --tasks smiling
or, as the drawn faces' were, --domain avatars-64 --budget 0.035 --train 128
--training.along edited --training.epochs 2 --strengths 0.4 0.5 0.6 0.8 1.0 1.2 1.5 2.0

A direction is trained on training images that lack its value, and bound to where the value shows if
the domain says so. Its strength is that at which the judge, which guided nothing, sees the value on
90 % of validation images. Its card also has how much of the text an image has to show, by the
guide, where each validation image takes the least of `asyrp edit`'s five strengths that shows it:
as much as a budget of leakage allows, if that is 90 % of the images, else what leads to 90 % with
the least leakage. Success and what else changed are measured once, on test images, and travel on
the card. Directions go into the domain's folder; docs/directions-DOMAIN.md, what it is made of as
JSON, and a sheet of samples, unchosen, into docs.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import tyro
from safetensors.torch import load_file, save_file
from torch import Tensor

from asyrp.domains.base import Domain, Images, Split, Task, guide_of, load_domain, task_of
from asyrp.domains.find_direction import interval_of
from asyrp.domains.inverted_images import (
    REFINEMENTS,
    InvertedImages,
    edited,
    inverted,
    load_inverted,
    save_inverted,
)
from asyrp.domains.shipped import DOMAINS, strips
from asyrp.experiments.measure import judged
from asyrp.finders.prepare import EDIT_STEPS, Pictures, curves_of, make_card, start_training
from asyrp.method.direction_file import SavedDirection, load_direction, save_direction
from asyrp.method.editing import latents_of
from asyrp.method.editing_interval import EditInterval
from asyrp.method.enough import FACTORS, reading
from asyrp.method.text_direction import TextDirection
from asyrp.reporting.statistics import Estimate, of_mean
from asyrp.runtime.cpu import set_up_torch
from asyrp.settings import Precision, TrainSettings
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder
from directions_page import BROKEN, WORTH, page
from directions_strength import Look, least_reading, means_at, strength_of, up_to_enough

SAMPLES = 8  # of a sheet
RARE = 8  # times as many images are looked through for values that nearly all lack
TRAIN = TrainSettings(
    along="noised", epochs=1, batch_size=16, lambda_keep=1.0, lambda_recon=1.0, validate_every=0
)


@dataclass(frozen=True)
class Options:
    """What to train and how many images to look at."""

    tasks: tuple[str, ...] = ()
    """Tasks of the domain; none for those whose values training data had and that lack a row."""
    domain: str = "photographs-64"
    """The domain."""
    train: int = 256
    """Images to train on, fewer where fewer lack the value."""
    validation: int = 64
    """Images to choose the strength on."""
    test: int = 64
    """Images to measure on."""
    strengths: tuple[float, ...] = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0)
    """Strengths that are tried upwards until one is enough."""
    budget: float = 0.055
    """Leakage on validation images up to which more success is preferred."""
    training: TrainSettings = field(default_factory=lambda: TRAIN)
    """How to train."""
    dtype: Precision = "auto"
    """Precision of the networks' products."""
    out: Path = Path("build/directions")
    """Folder for trained directions, inverted images and edits, which are not made again."""
    docs: Path = Path("docs")
    """Folder of the page and its sheets."""


def main(options: Options) -> None:
    """Do what is missing, then write the page."""
    set_up_torch()
    domain = load_domain(options.domain, dtype=options.dtype)
    options = replace(options, out=options.out / domain.name)
    told = new_folder(options.docs) / f"directions-{domain.name}.json"
    found = json.loads(told.read_text()) if told.is_file() else {}
    missed = [name for name, task in domain.tasks.items() if not task.unseen and name not in found]
    for name in options.tasks or missed:
        found[name] = work(domain, task_of(domain, name), options)
        print(name, found[name], flush=True)
        write_json(told, dict(sorted(found.items())))
    rows = [{"task": name, **row} for name, row in sorted(found.items())]
    missing = {row["task"]: sheet_of(domain, row["task"], options) for row in rows if row["ships"]}
    missing = {name: path for name, path in missing.items() if not path.is_file()}
    for name, strip in strips(domain.model, missing, SAMPLES) if missing else ():
        missing[name].parent.mkdir(parents=True, exist_ok=True)
        write_png(missing[name], contact_sheet([*strip]))
    write_text(options.docs / f"directions-{domain.name}.md", page(domain, rows))


def work(domain: Domain, task: Task, options: Options) -> dict[str, Any]:
    """Train, choose strengths, measure and keep one direction; its row of the page."""
    interval = cached_interval(domain, task, options)
    options = replace(options, training=replace(options.training, region=task.region))
    guide = guide_of(domain, task, keep=True)
    validation = scene(domain, task, "validation", options.validation, interval, options)
    test = scene(domain, task, "test", options.test, interval, options)
    saved, told = trained(domain, task, guide, interval, options)
    look = partial(looked, domain, task, validation, saved, guide, options)
    looks = [*up_to_enough(map(look, options.strengths))]
    best = strength_of(looks)
    tried = [look(round(factor * best, 4)) for factor in FACTORS]
    least = least_reading(tried, options.budget)
    shown = {one.strength: [one.success, one.leakage] for one in (*looks, *tried)}
    needed = None if least is None else means_at(tried, least)
    measured = measured_on(domain, task, test, as_needed(domain, test, saved, guide, best, least))
    shares = {name: measured[name].value for name in ("success", "leakage", "leakage_back")}
    told |= {"test": {"images": len(test.numbers), **shares}, "strengths": shown, "needed": needed}
    texts = (task.source, task.target)
    card = make_card(domain.model, texts, guide, interval, options.training, told, best)
    ships = worth(domain, task, *(needed or shown[best]))
    if ships:
        path = place_of(domain, task.name)
        path.parent.mkdir(exist_ok=True)
        save_direction(path, saved.direction, replace(card, enough=least))
    return {
        "ships": ships,
        "texts": f"{task.source} → {task.target}",
        "follows": task.follows,
        "region": task.region,
        "interval": [interval.t_start, interval.t_edit],
        "strength": best,
        "enough": least,
        "validation": {"one strength": shown[best], "as needed": needed},
        "trained": {"along": options.training.along, "images": told["images"]},
        "looked": {"images": len(validation.numbers), "budget": options.budget},
        "images": len(test.numbers),
        **{name: value._asdict() for name, value in measured.items()},
    }


def looked(
    domain: Domain,
    task: Task,
    images: InvertedImages,
    saved: SavedDirection,
    guide: TextDirection,
    options: Options,
    strength: float,
) -> Look:
    """Images at a strength; edits that were made before are read again."""
    path = options.out / f"{task.name}-{strength:g}.safetensors"
    if not path.is_file():
        save_file({"x": edits(domain, images, saved, strength).half().contiguous()}, path)
    x = load_file(path)["x"].float()
    found = Look(strength, reading(guide, x), judged(domain, task, images, x))
    print(task.name, strength, found.success, found.leakage, flush=True)
    return found


def measured_on(
    domain: Domain, task: Task, images: InvertedImages, made: Tensor
) -> dict[str, Estimate]:
    """Success, leakage (of all attributes too, and the reconstruction's own), clean and LPIPS."""
    found = judged(domain, task, images, made)
    every = judged(domain, replace(task, follows=()), images, made)
    back = judged(domain, task, images, images.reconstructions.float())
    told = {name: of_mean(found[name]) for name in ("success", "leakage", "clean", "lpips")}
    more = {"leakage_all": every["leakage"], "leakage_back": back["leakage"]}
    return told | {name: of_mean(values) for name, values in more.items()}


def worth(domain: Domain, task: Task, success: float, leakage: float) -> bool:
    """Whether a direction with this success and leakage, on validation images, ships."""
    whole = f"{domain.name}/{task.name}" not in BROKEN
    return whole and success >= WORTH[0] and leakage <= WORTH[1]


def as_needed(
    domain: Domain,
    images: InvertedImages,
    saved: SavedDirection,
    guide: TextDirection,
    strength: float,
    least: float | None,
) -> Tensor:
    """Edits as `asyrp edit` makes them by a card with this strength and reading."""
    if least is None:
        return edits(domain, images, saved, strength)
    found, left = torch.empty_like(images.images), [*range(len(images.numbers))]
    for factor in FACTORS:  # all images that need more at once
        if left:
            found[left] = edits(domain, images.rows(left), saved, factor * strength)
            left = [row for row in left if float(reading(guide, found[row : row + 1])) < least]
    return found


def trained(
    domain: Domain, task: Task, guide: TextDirection, interval: EditInterval, options: Options
) -> tuple[SavedDirection, dict[str, Any]]:
    """A direction and what its card says of the training; its strength is 1 as yet.

    One that was trained before is read again.
    """
    kept = options.out / f"{task.name}.safetensors"
    if kept.is_file():
        found = load_direction(kept, domain.model)
        return found, {name: found.card.training[name] for name in ("images", "losses")}
    x, top = lacking_images(domain, task, "train", options.train, 3).x, interval.t_start
    latents = x  # which training on noised images does not look at
    if options.training.along != "noised":
        latents = latents_of(
            domain.model, x, EDIT_STEPS, refinements=REFINEMENTS, up_to=top
        ).float()
    pictures = Pictures(x, latents, top)
    job = start_training(domain.model, guide, pictures, pictures[:0], interval, options.training)
    losses = [step.total for step in job.steps]
    told = {"images": len(x), "losses": [losses[0], losses[-1]]}
    card = make_card(domain.model, guide.asked[:2], guide, interval, options.training, told)  # type: ignore[arg-type]
    saved = SavedDirection(job.direction.requires_grad_(False), card)
    save_direction(kept, *saved)
    return saved, told


def cached_interval(domain: Domain, task: Task, options: Options) -> EditInterval:
    """The task's own interval, or that of curves of 16 validation images."""
    if task.interval is not None:
        return task.interval
    images = domain.images("validation", 16)
    latents = latents_of(domain.model, images.x, EDIT_STEPS, refinements=REFINEMENTS)
    curves = curves_of(domain.model, images.x, latents, domain.distance)
    return interval_of(domain, curves, task)


def scene(
    domain: Domain, task: Task, split: Split, count: int, interval: EditInterval, options: Options
) -> InvertedImages:
    """Images that lack the value, inverted to where editing begins; the inversions are kept."""
    top = domain.model.t_top if interval.t_start is None else interval.t_start
    kept = options.out / f"{task.name}-{split}-{count}-{top}.safetensors"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        images = lacking_images(domain, task, split, count, 2)
        save_inverted(kept, inverted(domain.model, images, top))
    return load_inverted(kept)


def lacking_images(domain: Domain, task: Task, split: Split, count: int, times: int) -> Images:
    """The first images of a split that lack the value: of so many times the count, or of more."""
    for several in (times, RARE * times):
        images = domain.images(split, several * count)
        rows = domain.lacking(images, task)[:count]
        if 2 * len(rows) > count:
            break
    return Images(split, tuple(images.numbers[row] for row in rows), images.x[rows])


def edits(domain: Domain, images: InvertedImages, saved: SavedDirection, strength: float) -> Tensor:
    """Edited images."""
    return edited(domain.model, images, [saved.attribute(strength)]).float()


def place_of(domain: Domain, task: str) -> Path:
    """Where a direction ships."""
    return DOMAINS / domain.name.rpartition("-")[0] / "directions" / f"{task}.safetensors"


def sheet_of(domain: Domain, task: str, options: Options) -> Path:
    """Where the sheet of a direction lies."""
    return options.docs / "images" / f"{domain.name}-{task}.png"


if __name__ == "__main__":
    main(tyro.cli(Options))
