"""asyrp demo: the whole job on a domain, measured by its judge."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from torch import Tensor

from asyrp.commands.common import inverted, on_domain, progress, say
from asyrp.commands.outputs import check_direction
from asyrp.commands.report import summary, write_report
from asyrp.commands.train import Material, checkpoint_of, gather, train
from asyrp.domains.base import Domain, Images, Split, Task, guide_of, load_domain, task_of
from asyrp.errors import AsyrpError
from asyrp.experiments.measure import pictures_of
from asyrp.experiments.plots import plot_curves, save_figure
from asyrp.finders.prepare import EDIT_STEPS
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import Inversion, Report, edit, silent
from asyrp.method.strength_sweep import strip
from asyrp.metrics.answers import changed, succeeded
from asyrp.metrics.perceptual import distances
from asyrp.options import Demo, Inverting, Network, Train
from asyrp.runtime.cpu import settle
from asyrp.scorers.judge import Judge, answers, shown, wanted
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.json_files import write_json
from asyrp.storage.outputs import others
from asyrp.storage.results import check_results

STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
STRIP_IMAGES, SHEET_IMAGES = 6, 12
DIRECTION = "direction.safetensors"
FILES = ("report.html", "report.json", "faces.png", "strip.png", "curves.png")


class Learned(NamedTuple):
    """A direction and what it was found with."""

    material: Material
    saved: SavedDirection


class Score(NamedTuple):
    """Shares in [0, 1]: edits that show the value, and answers about other attributes that changed.

    by_attribute: the latter of each attribute alone.
    """

    success: float
    leakage: float
    by_attribute: dict[str, float]


class Tested(NamedTuple):
    """Test images before, reconstructed and edited, and what the judge says."""

    images: Images
    inversion: Inversion
    edited: Tensor
    plain: Score
    score: Score


def run(options: Demo) -> None:
    """Write report.html, report.json, the direction and the pictures."""
    check(options)
    seconds: dict[str, float] = {}
    settle()
    with timed(seconds, "load networks"):
        domain = load_domain(options.domain)
        task = wanted_task(domain, options)
    with timed(seconds, "write images"):
        _write_training_images(domain, options.out / "faces", options)
        images = test_images(domain, task, options.test_faces)
    learned = _learn(domain, task, options, options.out, seconds)
    with timed(seconds, "invert and edit test images"):
        tested = _test(domain, task, learned, images)
    with atomic_folder(options.out) as out:
        with timed(seconds, "pictures"):
            figures = _pictures(domain, task, learned, tested, out)
        content = _content(domain, task, learned, tested, seconds)
        write_json(out / "report.json", content)
        write_report(out / "report.html", content, figures)
    say(summary(content))
    say(f"wrote {options.out / 'report.html'} after {sum(seconds.values()):.0f} s")


def check(options: Demo) -> None:
    """Refuse what cannot work before anything is written."""
    if min(options.train_faces, options.test_faces, options.validation_faces + 1) < 1:
        raise AsyrpError(
            "--train-faces and --test-faces must be 1 or more, --validation-faces 0 or more"
        )
    check_results(options.out, None, FILES)
    check_direction(options.out / DIRECTION)


def wanted_task(domain: Domain, options: Demo) -> Task:
    """The task that was asked for.

    Raises:
        AsyrpError: the domain has no judge, no such task, or texts that its encoder cannot read.
    """
    if domain.scorers.judge is None:
        raise AsyrpError(f"a demo is measured by a judge, and {domain.name} has none; give it one")
    task = task_of(domain, options.task or next(iter(domain.tasks)))
    task = replace(
        task,
        source=options.source or task.source,
        target=options.target or task.target,
        attribute=options.factor or task.attribute,
        value=options.value or task.value,
    )
    wanted(domain.scorers.judge, task.attribute, task.value)
    guide_of(domain, task)
    return task


def _learn(
    domain: Domain, task: Task, options: Demo, out: Path, seconds: dict[str, float]
) -> Learned:
    """What `asyrp train` does, a stage at a time."""
    job = on_domain(
        Train(
            task.source,
            (task.target,),
            out / DIRECTION,
            images=out / "faces",
            validation=options.validation_faces,
            training=options.training,
            network=Network(domain=options.domain),
        )
    )
    guide, model = guide_of(domain, task), domain.model
    with timed(seconds, "invert, find intervals"):
        material = gather(model, [guide], job)
    with timed(seconds, "train"):
        (saved,) = train(model, [guide], material, job)
        checkpoint_of(job).unlink(missing_ok=True)
    return Learned(material, saved)


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Keep the seconds of a stage."""
    started = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - started, 2)


def _write_training_images(domain: Domain, folder: Path, options: Demo) -> None:
    """Images of `train`, then of `validation`, whose names come last and are held out."""
    before = [path.name for path in folder.glob("*.png")]
    if others(folder, before):
        raise AsyrpError(
            f"{str(folder)!r} holds pictures that no demo drew; give another folder with --out"
        )
    for name in before:  # of an earlier demo, perhaps with other numbers of images
        (folder / name).unlink()
    counts = {"train": options.train_faces, "validation": options.validation_faces}
    with atomic_folder(folder) as made:
        for split, count in counts.items():
            if count:
                x = domain.images(cast(Split, split), count).x
                for index, picture in enumerate(pictures_of(domain.model, x)):
                    write_png(made / f"{split}-{index:05d}.png", picture)


def test_images(domain: Domain, task: Task, most: int) -> Images:
    """The first test images that show the attribute but not the value: `most`, or all there are."""
    count, found = 2 * most, domain.images("test", 2 * most)
    while len(rows := domain.lacking(found, task)) < most and len(found.numbers) == count:
        count *= 2
        found = domain.images("test", count)
    if not rows:
        raise AsyrpError(f"no test image of {domain.name} lacks {task.value!r}; give others")
    rows = rows[:most]
    return Images(found.split, tuple(found.numbers[row] for row in rows), found.x[rows])


def _test(domain: Domain, task: Task, learned: Learned, images: Images) -> Tested:
    names = [f"test {domain.noun} {number}" for number in images.numbers]
    model, judge = domain.model, cast(Judge, domain.scorers.judge)
    inversion = inverted(model, images.x, names, EDIT_STEPS, Inverting(), 16)
    with progress(f"editing {len(names)} images") as report:
        edited = learned_edit(domain, learned.saved, inversion.latents, report)
    scores = (score(judge, task, images.x, x) for x in (inversion.reconstructions, edited))
    return Tested(images, inversion, edited, *scores)


def score(judge: Judge, task: Task, before: Tensor, after: Tensor) -> Score:
    """Success of a task, and what else changed, over all images and attributes that show."""
    seen, then = answers(judge, before), answers(judge, after)
    moved = changed(seen, then, shown(judge, seen, task.attribute, task.value))
    made = succeeded(then, task.attribute, wanted(judge, task.attribute, task.value))
    known = {name: row for name, row in moved.items() if not np.isnan(row).all()}
    leakage = float(np.nanmean(np.concatenate(list(known.values()))))
    shares = {name: float(np.nanmean(row)) for name, row in known.items()}
    return Score(float(made.mean()), leakage, shares)


def learned_edit(
    domain: Domain, saved: SavedDirection, latents: Tensor, report: Report = silent
) -> Tensor:
    """Edit with the direction, its card's strength counting as 1."""
    act, boost = saved.attribute(), saved.card.t_boost
    return edit(domain.model, latents, [act], EDIT_STEPS, boost, report=report)


def _pictures(
    domain: Domain, task: Task, learned: Learned, tested: Tested, out: Path
) -> dict[str, Path]:
    """Caption -> file, in the order of the report."""
    model, some = domain.model, slice(0, SHEET_IMAGES)
    sheet = [tested.images.x[some], tested.inversion.reconstructions[some], tested.edited[some]]
    write_png(out / "faces.png", enlarged(contact_sheet([pictures_of(model, x) for x in sheet])))
    few, card = tested.inversion.latents[:STRIP_IMAGES], learned.saved.card
    acts = [[learned.saved.attribute(strength * card.strength)] for strength in STRENGTHS]
    columns = strip(model, few, acts, EDIT_STEPS, card.t_boost)
    rows = [pictures_of(model, row) for row in columns.transpose(0, 1)]
    write_png(out / "strip.png", enlarged(contact_sheet(rows)))
    figures = {
        f"Test {domain.noun}s: original, reconstruction, edit.": out / "faces.png",
        f"Strengths {', '.join(map(str, STRENGTHS))}.": out / "strip.png",
    }
    (found,) = learned.material.found
    if found is not None:
        figure = plot_curves(found, guide_of(domain, task).cosine, domain.distance.thresholds)
        save_figure(figure, out / "curves.png")
        figures[f"LPIPS curves of the validation {domain.noun}s."] = out / "curves.png"
    return figures


def enlarged(image: Tensor, factor: int = 2) -> Tensor:
    """(3, h, w) with every pixel repeated."""
    return image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def _content(
    domain: Domain, task: Task, learned: Learned, tested: Tested, seconds: dict[str, float]
) -> dict[str, Any]:
    card, material = learned.saved.card, learned.material
    moved = distances(domain.distance, tested.images.x, tested.edited)
    return {
        "domain": domain.name,
        "source": task.source,
        "target": task.target,
        "attribute": task.attribute,
        "value": task.value,
        "success_before": tested.plain.success,
        "success_after": tested.score.success,
        "leakage": tested.score.leakage,
        "leakage_reconstruction": tested.plain.leakage,
        "leakage_by_attribute": tested.score.by_attribute,
        "leakage_reconstruction_by_attribute": tested.plain.by_attribute,
        "perceptual_distance": float(moved.mean()),
        "reconstruction_mse": tested.inversion.errors.mean().item(),
        "t_start": card.t_start,
        "t_edit": card.t_edit,
        "t_boost": card.t_boost,
        "strength": card.strength,
        "text_cosine": card.text_cosine,
        "train_images": len(material.train),
        "validation_images": len(material.held),
        "test_images": len(tested.images.numbers),
        "training": card.training,
        "seconds": {**seconds, "total": round(sum(seconds.values()), 2)},
    }
