"""asyrp train."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn
from tqdm import tqdm

from asyrp.commands.common import check_guides, network, say, stem_of
from asyrp.commands.forecast import foresee, training_passes
from asyrp.commands.inverting import drawn, folder_images, inverter_of, open_store
from asyrp.commands.outputs import check_direction, on_domain
from asyrp.commands.recipes import MOST_MEASURED, followed, phases_of, tell
from asyrp.commands.train_on_domain import on_tasks, tasks_of, texts_to_keep
from asyrp.commands.training_pictures import InFolder, Samples
from asyrp.errors import AsyrpError, printable
from asyrp.finders.clip_training import begin_from, new_direction
from asyrp.finders.prepare import (
    EDIT_STEPS,
    Pictures,
    StoredPictures,
    Training,
    Wanted,
    make_card,
    start_together,
)
from asyrp.finders.training_checkpoint import outcomes_of
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.direction_file import SavedDirection, load_direction, save_direction
from asyrp.method.directions import Direction
from asyrp.method.editing import edit
from asyrp.method.editing_interval import edit_interval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.region import check_covers
from asyrp.method.strength import saturating
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.options.editing import Train
from asyrp.runtime.distributed import assemble, is_first
from asyrp.scorers.load import distance_for, encoder_for
from asyrp.settings import TrainSettings
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import find_images
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.results import check_results

MOST_PREVIEWED = 8
NONE = Pictures(torch.empty(0), torch.empty(0))  # held out


class TrainingData(NamedTuple):
    """What directions are found from.

    train, checked: images to train and to validate on, on the grid of training. validation: the
    latter at T and on the grid of editing. wanted: of each target.
    """

    train: Pictures | StoredPictures
    checked: Pictures
    validation: Pictures
    wanted: Sequence[Wanted]


def run(options: Train) -> dict[str, Any]:
    """Write the directions; their checkpoint lies beside them until they are finished."""
    options = on_domain(options)
    check(options)
    tasks = tasks_of(options)
    options = on_tasks(options, tasks)
    model, files = network(options.network), files_of(options)
    measured = None in (options.t_start, options.t_edit, options.t_boost)
    check_guides(options, measured)
    encoder = encoder_for(model, options.guides.encoder)
    guides = []
    for target in options.target:
        keep = texts_to_keep(options, tasks, target)
        guides.append(new_text_direction(encoder, options.source, target, keep=keep))
    options = followed(options, model, guides)
    check_covers(options.training.region, model)
    begun = neighbour_of(model, options.begin_from, options.training)
    count = options.random or len(find_images(options.images or Path()))
    along, learning = training_passes(count, options.training)
    would = f"train on {count} images, for: {', '.join(options.target)}"
    learning, kept = learning * len(files), count * options.training.steps * len(files)
    foresee(would, model, along, options.network.at_once, learning, kept)
    data = gather(model, guides, options)
    tell(options, len(data.train), encoder.name)
    saved = train(model, data, options, begun)
    if is_first():
        checkpoint_of(options).unlink(missing_ok=True)
    for path in files:
        say(f"wrote {path}")
    pairs = zip(files, saved, strict=True)
    return {"directions": [{"file": path, **asdict(one.card)} for path, one in pairs]}


def check(options: Train) -> None:
    """Refuse what cannot work before anything is loaded."""
    if not options.target:
        raise AsyrpError("needed --target TEXT: what the images should show; got none")
    _check_out(options)
    if (options.images is None) == (options.random == 0):
        raise AsyrpError("needed either --images DIR or --random N to train on")
    if options.random < 0 or options.validation < 0:
        raise AsyrpError("--random and --validation must be 0 or more")
    if options.inversion != "ddim" and (options.random or options.store):
        raise AsyrpError(
            "--inversion is for --images without --store: samples are not inverted, and a store "
            "keeps walks of DDIM; leave it out"
        )
    if options.t_edit is not None:
        edit_interval(options.t_start, options.t_edit, options.t_boost or 0)


def _check_out(options: Train) -> None:
    several = len(options.target) > 1
    if (options.out.suffix == ".safetensors") == several:
        wanted = "a folder for several targets" if several else "a .safetensors file"
        raise AsyrpError(f"--out must be {wanted}; got {str(options.out)!r}")
    if not options.out.parent.is_dir():
        raise AsyrpError(
            f"the folder of --out must exist; {str(options.out.parent)!r} does not; make it"
        )
    files = files_of(options)
    for target, file in zip(options.target, files, strict=True):
        if files.count(file) > 1:
            raise AsyrpError(f"two targets would both be written to {file.name!r}: {target!r}")
        check_direction(file)
    if several:
        check_results(options.out)
    if options.previews is not None:
        names = [f"{file.stem}.png" for file in files] if several else ["latest.png"]
        check_results(options.previews, options.images, names)


def files_of(options: Train) -> list[Path]:
    """The direction file of each target; several are named after their texts."""
    if len(options.target) == 1:
        return [options.out]
    return [options.out / f"{stem_of(text.lower())}.safetensors" for text in options.target]


def neighbour_of(model: HSpaceUNet, file: Path | None, settings: TrainSettings) -> nn.Module | None:
    """The direction to begin from; refused before the long work where it cannot be."""
    if file is None:
        return None
    found = load_direction(file, model).direction
    if settings.kind != "timestep":  # whose timesteps the LPIPS curves will tell
        begin_from(new_direction(model, (), settings), found)
    return found


def checkpoint_of(options: Train) -> Path:
    """Where an unfinished training is kept."""
    if len(options.target) == 1:
        return options.out.with_suffix(".checkpoint.safetensors")
    return options.out / "training.checkpoint.safetensors"


def gather(model: HSpaceUNet, guides: Sequence[TextDirection], options: Train) -> TrainingData:
    """Images with latents, and the phases; the last `validation` images are held out."""
    distance = None
    if None in (options.t_start, options.t_edit, options.t_boost):
        # before the long work, which would be lost if its weights could not be had
        distance = distance_for(model, options.guides.distance)
    found = pictures_of(model, options)
    cut = len(found) - min(options.validation, len(found) // 4)
    held = slice(cut, None) if cut < len(found) else None
    validation = measured = found.returned(held) if held else NONE
    if held is None and distance is not None:
        measured = found.returned(slice(0, MOST_MEASURED))
    phases = phases_of(model, guides, measured, options, distance)
    start = phases[0].t_start
    shown = found.to_train(slice(0, cut), start)
    wanted = [Wanted(*one) for one in zip(guides, phases, strict=True)]
    return TrainingData(shown, found.ready(held, start) if held else NONE, validation, wanted)


def pictures_of(model: HSpaceUNet, options: Train) -> InFolder | Samples:
    """Samples, or the pictures of a folder, in memory or with a store."""
    processes, size = assemble(options.network.device), options.network.at_once
    store = None if options.store is None else open_store(options.store, processes)
    if options.random:
        found = drawn(model, options.random, options.training.seed, EDIT_STEPS, size)
        return Samples(model, found, store)
    inverter = inverter_of(model, options, options.training.steps)
    images = folder_images(options.images or Path(), model)
    if store is None:  # all are read before the long work
        images = replace(images, held=images.stacked())
    return InFolder(images, inverter, options.training.along == "noised", store)


def train(
    model: HSpaceUNet, data: TrainingData, options: Train, neighbour: nn.Module | None = None
) -> list[SavedDirection]:
    """Train with a progress bar, previews and a checkpoint, then find the strengths of 1.

    The directions are written, with their strength as trained, before it is measured.

    neighbour: a trained direction to begin from.
    """
    settings, checkpoint = options.training, checkpoint_of(options)
    if checkpoint.exists():
        say(f"continuing from {checkpoint}")
    parts = (data.wanted, data.train, data.checked, settings, checkpoint)
    job = start_together(model, *parts, assemble(options.network.device), neighbour)
    outcomes = _followed(model, job, data, options)
    saved = []
    strength = 1.0 if options.strength is None else options.strength
    every = zip(options.target, data.wanted, job.goals, outcomes, strict=True)
    for target, one, goal, outcome in every:
        told = outcome | {"keep": one.guide.asked[2:]}
        card = make_card(model, (options.source, target), *one, settings, told, strength)
        saved.append(SavedDirection(goal.direction.requires_grad_(False), card))
    _write(files_of(options), saved)
    if options.strength is None and job.checked is not None:
        for i, (direction, card) in enumerate(saved):
            card = replace(card, strength=_strength(model, job, i, options))
            saved[i] = SavedDirection(direction, card)
        _write(files_of(options), saved)
    return saved


def _write(files: Sequence[Path], directions: Sequence[SavedDirection]) -> None:
    if is_first():
        for path, saved in zip(files, directions, strict=True):
            save_direction(path, *saved)


def _followed(
    model: HSpaceUNet, job: Training, data: TrainingData, options: Train
) -> list[dict[str, object]]:
    """Walk the steps with a progress bar and previews; what there is to say of each lesson."""
    about: dict[str, object] = {"images": len(data.train), "held_out": len(data.validation)}
    title = printable(f"{options.source} -> {', '.join(options.target)}")
    with tqdm(desc=title, unit="batch", disable=not is_first()) as bar:
        for step in job.steps:
            bar.total = step.batches
            bar.update(step.batch + (step.t is None) - bar.n)
            bar.set_postfix(t=step.t, loss=f"{step.total:.3f}", clip=f"{step.directional:.3f}")
            if step.best:
                _show(model, job, step.goal, data, options)
        bar.update(max(0, (bar.total or 0) - bar.n))
    if not is_first():  # the checkpoint is the first process's, and only that one saves a card
        return [dict(about) for _ in job.goals]
    kept = outcomes_of(checkpoint_of(options))  # the same for a run that was stopped on the way
    told = [{} if b is None else {"batches": b.batches, "validation_loss": b.loss} for b in kept]
    return [about | one for one in told]


def _strength(model: HSpaceUNet, job: Training, goal: int, options: Train) -> float:
    """The strength at which held-out images no longer respond."""
    one, checked = job.goals[goal], job.checked
    assert checked is not None
    parts = (one.guide, checked.until(len(one.grid)), one.grid, options.network.at_once)
    found = saturating(model, cast(Direction, one.direction), *parts, options.training.region)
    say(f"strength 1 of {options.target[goal]!r} stands for {found:g} times what was trained")
    return found


def _show(model: HSpaceUNet, job: Training, goal: int, data: TrainingData, options: Train) -> None:
    """Where previews are asked for: held-out images as they come back, above their edits.

    The file is latest.png, or for several targets NAME.png.
    """
    if options.previews is None or not is_first():
        return
    name = files_of(options)[goal].stem if len(options.target) > 1 else "latest"
    few, when = data.validation[:MOST_PREVIEWED], data.wanted[goal].phases
    direction, training = cast(Direction, job.goals[goal].direction), options.training
    act = Attribute(direction, when.t_edit, 1.0, training.steps, when.t_start, training.region)
    edits = edit(model, few.latents, [act], EDIT_STEPS, inversion=options.inversion)
    with atomic_folder(options.previews) as out:
        sheet = contact_sheet([model.space.decode(row) for row in (few.images, edits)])
        write_png(out / f"{name}.png", sheet)
