"""asyrp demo: edits of a domain's images, judged, and of a photograph, on one page."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from PIL import Image
from torch import Tensor

from asyrp.commands import edit as edit_command
from asyrp.commands.common import progress, say
from asyrp.commands.demo_directions import asked_in_words, direction_of, is_ready, timed
from asyrp.commands.forecast import DECODER, foresee, inverting_passes, training_passes
from asyrp.commands.inverting import Inverter
from asyrp.commands.outputs import check_direction
from asyrp.commands.report import summary, write_report
from asyrp.domains.base import Domain, Images, Task, guide_of, load_domain, task_of
from asyrp.domains.shipped import shipped_for
from asyrp.errors import AsyrpError
from asyrp.experiments.measure import pictures_of
from asyrp.experiments.plots import plot_curves, save_figure
from asyrp.finders.prepare import EDIT_STEPS, curves_of
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import Inversion, edit
from asyrp.method.editing_interval import Given, find_intervals
from asyrp.method.strength_sweep import strip
from asyrp.metrics.answers import changed, succeeded
from asyrp.metrics.perceptual import distances
from asyrp.options.domains import Demo
from asyrp.options.editing import Edit
from asyrp.options.shared import Applying, Inverting, Network
from asyrp.runtime.cpu import set_up_torch
from asyrp.runtime.precision import check_range
from asyrp.scorers.judge import Judge, answers, shown, wanted
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import contact_sheet, read_upright, save_png, write_png
from asyrp.storage.json_files import write_json
from asyrp.storage.results import check_results

STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
STRIP_IMAGES, SHEET_IMAGES = 4, 12
FEW = 2  # tasks of a demo that names none


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


def run(options: Demo) -> dict[str, Any]:
    """Write report.html, report.json, the directions that were trained, and the pictures."""
    check(options)
    seconds: dict[str, float] = {}
    set_up_torch()
    with timed(seconds, "load networks"):
        domain = load_domain(options.domain, dtype=options.dtype)
        drawn = cache(partial(domain.images, "test"))
        tasks = wanted_tasks(domain, options)
        check_tasks(domain, tasks, options)
    _foresee(domain, tasks, options)
    pictures, edits = dict[str, Path](), list[dict[str, Any]]()
    if options.photo is not None:
        with timed(seconds, "edit the photograph"):
            pictures |= _photograph(options.photo, tasks, options)
    for task in tasks:
        saved = direction_of(domain, task, options, seconds)
        with timed(seconds, f"{task.name}: invert and edit test images"):
            images = test_images(domain, task, options.test_images, drawn)
            tested = _test(domain, task, saved, images)
        with timed(seconds, f"{task.name}: pictures"):
            pictures |= _pictures(domain, task, saved, tested, options.out / task.name)
        edits.append(_content(domain, task, saved, tested))
        say(summary(edits[-1]))
    took = {**seconds, "total": round(sum(seconds.values()), 2)}
    content = {"domain": domain.name, "edits": edits, "seconds": took}
    with atomic_folder(options.out) as out:
        write_json(out / "report.json", content)
        write_report(out / "report.html", content, pictures)
    say(f"wrote {options.out / 'report.html'} after {sum(seconds.values()):.0f} s")
    return {"out": options.out, **content}


def _foresee(domain: Domain, tasks: Sequence[Task], options: Demo) -> None:
    """With --dry-run: end here, and say what would come."""
    steps, trained = EDIT_STEPS, [one for one in tasks if not is_ready(domain, one, options)]
    images = options.test_images + (options.photo is not None)
    strips = len(STRENGTHS) * STRIP_IMAGES
    each = inverting_passes(images, steps, Inverting())
    each += (images + strips) * steps * (1 + DECODER) + SHEET_IMAGES * steps
    along, learning = training_passes(options.train_images, options.training)
    passes, learning = len(tasks) * each + len(trained) * along, len(trained) * learning
    names = ", ".join(task.name for task in tasks)
    would = f"edit {images} images for each of {names}, training {len(trained)} directions first, "
    would += f"into {options.out}"
    kept = options.train_images * options.training.steps if trained else 0
    foresee(would, domain.model, passes, learning=learning, kept=kept)


def check(options: Demo) -> None:
    """Refuse what cannot work before anything is written."""
    if min(options.train_images, options.test_images, options.validation_images + 1) < 1:
        raise AsyrpError(
            "--train-images and --test-images must be 1 or more, --validation-images 0 or more"
        )
    if len(options.task) > 1 and asked_in_words(options):
        raise AsyrpError("--source, --target, --factor and --value change one --task; name one")


def wanted_tasks(domain: Domain, options: Demo) -> list[Task]:
    """The tasks that were asked for.

    Raises:
        AsyrpError: the domain has no judge, no such task, or texts that its encoder cannot read.
    """
    judge = domain.scorers.judge
    if judge is None:
        raise AsyrpError(f"a demo is measured by a judge, and {domain.name} has none; give it one")
    names = options.task
    if not names:
        ready = shipped_for(domain.model.fingerprint())
        first = [name for name in domain.tasks if name in ready] or [next(iter(domain.tasks))]
        names = tuple(first[: 1 if asked_in_words(options) else FEW])
    tasks = [
        replace(
            task,
            source=options.source or task.source,
            target=options.target or task.target,
            attribute=options.factor or task.attribute,
            value=options.value or task.value,
        )
        for task in (task_of(domain, name) for name in names)
    ]
    for task in tasks:
        wanted(judge, task.attribute, task.value)
        guide_of(domain, task)
    return tasks


def check_tasks(domain: Domain, tasks: Sequence[Task], options: Demo) -> None:
    """Refuse folders that hold what is not ours, and a precision that trains nothing."""
    check_results(options.out, options.photo, ("report.html", "report.json"))
    for task in tasks:
        check_results(options.out / task.name, None, ("faces.png", "strip.png", "curves.png"))
        if not is_ready(domain, task, options):
            check_range(domain.model.dtype)
            check_direction(options.out / f"{task.name}.safetensors")


def _photograph(photo: Path, tasks: list[Task], options: Demo) -> dict[str, Path]:
    """The photograph and its edits beside each other, made as `asyrp edit --align` makes them."""
    out = options.out / "photograph"
    rows, ready = [np.asarray(read_upright(photo))], [] if asked_in_words(options) else tasks
    for task in ready:
        place = out / task.name
        edit_command.run(
            Edit(
                images=photo,
                out=place,
                align="celeba",
                applying=Applying(direction=(task.name,)),
                network=Network(domain=options.domain, dtype=options.dtype),
                overwrite=options.overwrite,
            )
        )
        rows.append(np.asarray(read_upright(next((place / "pasted").glob("*.png")))))
    with atomic_folder(out) as folder:
        save_png(folder / "edits.png", Image.fromarray(np.hstack(rows)))
    names = ", ".join(task.target for task in ready)
    return {f"The photograph, and its edits to: {names}.": out / "edits.png"}


def test_images(domain: Domain, task: Task, most: int, drawn: Callable[[int], Images]) -> Images:
    """The first test images that show the attribute but not the value: `most`, or all there are.

    drawn: how many -> as many test images, which may be the network's samples.
    """
    count, found = 2 * most, drawn(2 * most)
    while len(rows := domain.lacking(found, task)) < most and len(found.numbers) == count:
        count *= 2
        found = drawn(count)
    if not rows:
        raise AsyrpError(f"no test image of {domain.name} lacks {task.value!r}; give others")
    rows = rows[:most]
    return Images(found.split, tuple(found.numbers[row] for row in rows), found.x[rows])


def _test(domain: Domain, task: Task, saved: SavedDirection, images: Images) -> Tested:
    names = [f"test {domain.noun} {number}" for number in images.numbers]
    model, judge = domain.model, cast(Judge, domain.scorers.judge)
    inversion = Inverter(model, EDIT_STEPS, Inverting())(images.x, names)
    with progress(f"editing {len(names)} images") as report:
        how = ([saved.attribute()], EDIT_STEPS, saved.card.t_boost)  # 1 is the card's strength
        edited = edit(model, inversion.latents, *how, report=report)
    scores = (score(judge, task, images.x, x) for x in (inversion.reconstructions, edited))
    return Tested(images, inversion, edited, *scores)


def score(judge: Judge, task: Task, before: Tensor, after: Tensor) -> Score:
    """Success of a task, and what else changed, over all images and attributes that show."""
    seen, then = answers(judge, before), answers(judge, after)
    moved = changed(seen, then, shown(judge, seen, task.attribute, task.value))
    made = succeeded(then, task.attribute, wanted(judge, task.attribute, task.value))
    left = {n: row for n, row in moved.items() if n not in task.follows and not np.isnan(row).all()}
    shares = {name: float(np.nanmean(row)) for name, row in left.items()}
    return Score(float(made.mean()), float(np.nanmean(np.stack([*left.values()]))), shares)


def _pictures(
    domain: Domain, task: Task, saved: SavedDirection, tested: Tested, place: Path
) -> dict[str, Path]:
    """Caption -> file, in the order of the report."""
    model, some, card = domain.model, slice(0, SHEET_IMAGES), saved.card
    sheet = [tested.images.x[some], tested.inversion.reconstructions[some], tested.edited[some]]
    latents, distance = tested.inversion.latents[some], domain.distance
    acts = [[saved.attribute(strength * card.strength)] for strength in STRENGTHS]
    columns = strip(model, latents[:STRIP_IMAGES], acts, EDIT_STEPS, card.t_boost)
    rows = [pictures_of(model, row) for row in columns.transpose(0, 1)]
    curves = curves_of(model, tested.images.x[some], latents, distance)
    thresholds, given = distance.thresholds, Given(card.t_start, card.t_edit, card.t_boost)
    found = find_intervals(curves, card.text_cosine, thresholds, given)
    with atomic_folder(place) as folder:
        faces = contact_sheet([pictures_of(model, x) for x in sheet])
        write_png(folder / "faces.png", enlarged(faces))
        write_png(folder / "strip.png", enlarged(contact_sheet(rows)))
        save_figure(plot_curves(found, card.text_cosine, thresholds), folder / "curves.png")
    what = f"{task.source} → {task.target}"
    return {
        f"{what}. Test {domain.noun}s: original, reconstruction, edit.": place / "faces.png",
        f"{what}. Strengths {', '.join(map(str, STRENGTHS))}.": place / "strip.png",
        f"{what}. LPIPS curves of the test {domain.noun}s.": place / "curves.png",
    }


def enlarged(image: Tensor) -> Tensor:
    """(3, h, w) -> (3, 2 h, 2 w)."""
    return image.repeat_interleave(2, 1).repeat_interleave(2, 2)


def _content(domain: Domain, task: Task, saved: SavedDirection, tested: Tested) -> dict[str, Any]:
    card = saved.card
    moved = distances(domain.distance, tested.images.x, tested.edited)
    when = ("t_start", "t_edit", "t_boost", "strength", "text_cosine")
    return {
        "task": task.name,
        **{name: getattr(task, name) for name in ("source", "target", "attribute", "value")},
        "success_before": tested.plain.success,
        "success_after": tested.score.success,
        "leakage": tested.score.leakage,
        "leakage_reconstruction": tested.plain.leakage,
        "leakage_by_attribute": tested.score.by_attribute,
        "leakage_reconstruction_by_attribute": tested.plain.by_attribute,
        "perceptual_distance": float(moved.mean()),
        "reconstruction_mse": tested.inversion.errors.mean().item(),
        **{name: getattr(card, name) for name in when},
        "test_images": len(tested.images.numbers),
        "training": card.training,
    }
