"""asyrp demo: the whole job on the built-in world, measured by its judge."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from asyrp.commands.common import inverted, network, progress, say
from asyrp.commands.report import summary, write_report
from asyrp.commands.train import Material, checkpoint_of, gather, train
from asyrp.commands.world import draw_folder
from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.avatars.diffusion import to_unit
from asyrp.domains.avatars.judge import load_judge
from asyrp.domains.avatars.score import Score, answers, check_target, score
from asyrp.errors import AsyrpError
from asyrp.experiments.plots import plot_curves, save_figure
from asyrp.finders.prepare import EDIT_STEPS
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import Inversion, Report, edit, silent
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.strength_sweep import strip
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.options import Demo, Guides, Inverting, Train
from asyrp.reporting.tables import write_json
from asyrp.scorers.load import encoder_for, load_distance, load_encoder
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.results import new_folder

STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
STRIP_FACES, SHEET_FACES = 6, 12
MARK = ".drawn-by-demo"  # in a folder of faces that the next demo may draw anew


class Learned(NamedTuple):
    """A direction and what it was found with."""

    model: HSpaceUNet
    guide: TextDirection
    material: Material
    saved: SavedDirection


class Tested(NamedTuple):
    """Test faces before, reconstructed and edited, and what the judge says."""

    inversion: Inversion
    edited: Tensor
    plain: Score
    score: Score


def run(options: Demo) -> None:
    """Write report.html, report.json, the direction and the pictures."""
    check(options)
    seconds: dict[str, float] = {}
    out = new_folder(options.out)
    with timed(seconds, "draw faces"):
        _draw_training_faces(out / "faces", options)
        faces = test_faces(options)
        images = to_unit(np.stack([draw(face) for face in faces]))
    learned = _learn(options, out, seconds)
    with timed(seconds, "invert and edit test faces"):
        tested = _test(learned, faces, images, options)
    with timed(seconds, "pictures"):
        figures = _pictures(learned, images, tested, out)
    content = _content(options, learned, tested, images, seconds)
    write_json(out / "report.json", content)
    write_report(out / "report.html", content, figures)
    say(summary(content))
    say(f"wrote {out / 'report.html'} after {sum(seconds.values()):.0f} s")


def check(options: Demo) -> None:
    """Refuse what cannot work before anything is written."""
    check_target(options.factor, options.value)
    if min(options.train_faces, options.test_faces, options.validation_faces + 1) < 1:
        raise AsyrpError(
            "--train-faces and --test-faces must be 1 or more, --validation-faces 0 or more"
        )
    new_text_direction(load_encoder(Guides().encoder), options.source, options.target)


def _learn(options: Demo, out: Path, seconds: dict[str, float]) -> Learned:
    """What `asyrp train` does, a stage at a time."""
    job = Train(
        options.source,
        (options.target,),
        out / "direction.safetensors",
        images=out / "faces",
        validation=options.validation_faces,
        training=options.training,
    )
    with timed(seconds, "load networks"):
        model = network(job.network)
        encoder = encoder_for(model, job.guides.encoder)
        guide = new_text_direction(encoder, options.source, options.target)
    with timed(seconds, "invert, find intervals"):
        material = gather(model, [guide], job)
    with timed(seconds, "train"):
        (saved,) = train(model, [guide], material, job)
        checkpoint_of(job).unlink(missing_ok=True)
    return Learned(model, guide, material, saved)


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Keep the seconds of a stage."""
    started = time.perf_counter()
    yield
    seconds[stage] = round(time.perf_counter() - started, 2)


def _draw_training_faces(folder: Path, options: Demo) -> None:
    """Faces of `train`, then of `validation`, whose names come last and are held out."""
    mark = new_folder(folder) / MARK
    if any(folder.glob("*.png")) and not mark.exists():
        raise AsyrpError(
            f"{str(folder)!r} holds pictures that no demo drew; give another folder with --out"
        )
    mark.touch()
    for old in [*folder.glob(f"{'[0-9]' * 5}.png"), *folder.glob("validation-*.png")]:
        old.unlink()  # of an earlier demo with other numbers of faces
    draw_folder(folder, "train", range(options.train_faces))
    for index in range(options.validation_faces):
        image = to_unit(draw(sample_face("validation", index))[None])[0]
        write_png(folder / f"validation-{index:05d}.png", image)


def test_faces(options: Demo) -> list[Face]:
    """The first faces of `test` that show the factor, but not the value."""
    every = (sample_face("test", index) for index in count())
    lacking = (face for face in every if face.label(options.factor) not in (None, options.value))
    return list(islice(lacking, options.test_faces))


def _test(learned: Learned, faces: Sequence[Face], images: Tensor, options: Demo) -> Tested:
    names = [f"test face {i}" for i in range(len(images))]
    inversion = inverted(learned.model, images, names, EDIT_STEPS, Inverting(), 16)
    with progress(f"editing {len(images)} faces") as report:
        edited = learned_edit(learned, inversion.latents, 1.0, report)
    judge, target = load_judge(), (options.factor, options.value)
    before = answers(judge, images)
    plain = score(before, answers(judge, inversion.reconstructions), faces, *target)
    return Tested(inversion, edited, plain, score(before, answers(judge, edited), faces, *target))


def learned_edit(
    learned: Learned, latents: Tensor, strength: float, report: Report = silent
) -> Tensor:
    """Edit with the direction, its card's strength counting as 1."""
    card = learned.saved.card
    act = learned.saved.attribute(strength * card.strength)
    return edit(learned.model, latents, [act], EDIT_STEPS, card.t_boost, report=report)


def _pictures(learned: Learned, images: Tensor, tested: Tested, out: Path) -> dict[str, Path]:
    """Caption -> file, in the order of the report."""
    some = slice(0, SHEET_FACES)
    sheet = [images[some], tested.inversion.reconstructions[some], tested.edited[some]]
    write_png(out / "faces.png", enlarged(contact_sheet(sheet)))
    few = tested.inversion.latents[:STRIP_FACES]
    card = learned.saved.card
    ways = [[learned.saved.attribute(strength * card.strength)] for strength in STRENGTHS]
    columns = strip(learned.model, few, ways, EDIT_STEPS, card.t_boost)
    write_png(out / "strip.png", enlarged(contact_sheet(list(columns.transpose(0, 1)))))
    figures = {
        "Test faces: original, reconstruction, edit.": out / "faces.png",
        f"Strengths {', '.join(map(str, STRENGTHS))}.": out / "strip.png",
    }
    (found,) = learned.material.found
    if found is not None:
        thresholds = load_distance("st-lpips-alex").thresholds
        figure = plot_curves(found, learned.guide.cosine, thresholds)
        save_figure(figure, out / "curves.png")
        figures["LPIPS curves of the validation faces."] = out / "curves.png"
    return figures


def enlarged(image: Tensor, factor: int = 2) -> Tensor:
    """(3, h, w) with every pixel repeated."""
    return image.repeat_interleave(factor, 1).repeat_interleave(factor, 2)


def _content(
    options: Demo,
    learned: Learned,
    tested: Tested,
    images: Tensor,
    seconds: dict[str, float],
) -> dict[str, Any]:
    distance = load_distance("st-lpips-alex")(images, tested.edited)
    card, material = learned.saved.card, learned.material
    return {
        "source": options.source,
        "target": options.target,
        "factor": options.factor,
        "value": options.value,
        "success_before": tested.plain.success,
        "success_after": tested.score.success,
        "leakage": tested.score.leakage,
        "leakage_reconstruction": tested.plain.leakage,
        "leakage_by_factor": tested.score.by_factor,
        "leakage_reconstruction_by_factor": tested.plain.by_factor,
        "perceptual_distance": distance.mean().item(),
        "reconstruction_mse": tested.inversion.errors.mean().item(),
        "t_start": card.t_start,
        "t_edit": card.t_edit,
        "t_boost": card.t_boost,
        "strength": card.strength,
        "text_cosine": card.text_cosine,
        "train_faces": len(material.train),
        "validation_faces": len(material.held),
        "test_faces": len(images),
        "training": card.training,
        "seconds": {**seconds, "total": round(sum(seconds.values()), 2)},
    }
