"""asyrp train."""

from pathlib import Path
from typing import NamedTuple, cast

from torch import nn
from tqdm import tqdm

from asyrp.api import edit, random_latents
from asyrp.commands.common import network, new_folder, progress, say
from asyrp.commands.intervals import describe
from asyrp.commands.material import find_pictures
from asyrp.commands.stored import open_store
from asyrp.direction_files import SavedDirection, load_direction, save_direction
from asyrp.directions import Direction
from asyrp.errors import AsyrpError
from asyrp.guide import Guide, new_guide
from asyrp.images import contact_sheet, write_png
from asyrp.intervals import Found, find_intervals
from asyrp.jobs import (
    EDIT_STEPS,
    Phases,
    Pictures,
    StoredPictures,
    Training,
    curves_of,
    make_card,
    start_training,
)
from asyrp.latent_store import add_latents
from asyrp.options import Train
from asyrp.process import Attribute, check_phases, check_start
from asyrp.registry import distance_for, encoder_for
from asyrp.scorers import PerceptualDistance
from asyrp.strength import STRENGTHS, response, saturation
from asyrp.team import assemble, is_first
from asyrp.train import begin_from, new_direction
from asyrp.unet import HSpaceUNet

MOST_MEASURED = 16  # images for the LPIPS curves; more move the intervals by less than a step
MOST_PREVIEWED = 8


class Material(NamedTuple):
    """What a direction is found from.

    train, checked: images to train and to validate on, on the grid of training. held: the latter
    at T and on the grid of editing. found: the intervals, None where all phases were asked for.
    """

    train: Pictures | StoredPictures
    checked: Pictures
    held: Pictures
    phases: Phases
    found: Found | None


def run(options: Train) -> None:
    """Write the direction; its checkpoint lies beside it until it is finished."""
    check(options)
    model = network(options.network)
    encoder = encoder_for(model, options.guides.encoder)
    guide = new_guide(encoder, options.source, options.target)
    begun = neighbour_of(model, options)
    material = gather(model, guide, options)
    saved = train(model, guide, material, options, begun)
    if assemble(options.network.device).rank == 0:
        save_direction(options.out, *saved)
        checkpoint_of(options).unlink(missing_ok=True)
    say(f"wrote {options.out}")


def check(options: Train) -> None:
    """Refuse what cannot work before anything is loaded."""
    if options.out.suffix != ".safetensors":
        raise AsyrpError(f"--out must be a .safetensors file; got {str(options.out)!r}")
    if not options.out.parent.is_dir():
        raise AsyrpError(
            f"the folder of --out must exist; {str(options.out.parent)!r} does not; make it"
        )
    if (options.images is None) == (options.random == 0):
        raise AsyrpError("needed either --images DIR or --random N to train on")
    if options.random < 0 or options.validation < 0:
        raise AsyrpError("--random and --validation must be 0 or more")
    if options.t_edit is not None:
        check_start(options.t_start, options.t_edit)
        check_phases([options.t_edit], options.t_boost or 0)


def neighbour_of(model: HSpaceUNet, options: Train) -> nn.Module | None:
    """The direction to begin from; refused before the long work where it cannot be."""
    if options.begin_from is None:
        return None
    found = load_direction(options.begin_from, model).direction
    if options.training.kind != "timestep":  # whose timesteps the LPIPS curves will tell
        begin_from(new_direction(model, (), options.training), found)
    return found


def checkpoint_of(options: Train) -> Path:
    """Where an unfinished training is kept."""
    return options.out.with_suffix(".checkpoint.safetensors")


def gather(model: HSpaceUNet, guide: Guide, options: Train) -> Material:
    """Images with latents, and the phases; the last `validation` images are held out."""
    told = None not in (options.t_start, options.t_edit, options.t_boost)
    # before the long work, which would be lost if its weights could not be had
    distance = None if told else distance_for(model, options.guides.distance)
    return (_from_samples if options.random else _from_folder)(model, guide, options, distance)


def _from_samples(
    model: HSpaceUNet, guide: Guide, options: Train, distance: PerceptualDistance | None
) -> Material:
    size = options.network.batch_size
    latents = random_latents(model, options.random, options.training.seed)
    with progress(f"drawing {options.random} samples") as report:
        images = edit(model, latents, (), EDIT_STEPS, batch_size=size, report=report)
    every = Pictures(images, latents)
    cut = len(images) - _held_out(len(images), options.validation)
    held, train = every[cut:], every[:cut]
    phases, found = phases_of(model, guide, held if len(held) else every, options, distance)
    if options.store is None:
        return Material(train, held, held, phases, found)
    store = open_store(options.store, assemble(options.network.device))
    keys = add_latents(store, model, train.latents)
    return Material(StoredPictures(store, keys, list(train.images)), held, held, phases, found)


def _from_folder(
    model: HSpaceUNet, guide: Guide, options: Train, distance: PerceptualDistance | None
) -> Material:
    folder = find_pictures(model, options.images or Path(), options)
    cut = folder.count - _held_out(folder.count, options.validation)
    held = folder.returned(slice(cut, None))
    measured = held if len(held) or distance is None else folder.returned(slice(0, MOST_MEASURED))
    phases, found = phases_of(model, guide, measured, options, distance)
    train = folder.to_train(slice(0, cut), phases.t_start)
    return Material(train, folder.ready(slice(cut, None), phases.t_start), held, phases, found)


def _held_out(count: int, asked: int) -> int:
    return min(asked, count // 4)


def phases_of(
    model: HSpaceUNet,
    guide: Guide,
    measured: Pictures,
    options: Train,
    distance: PerceptualDistance | None,
) -> tuple[Phases, Found | None]:
    """The timesteps asked for, and the rest from the LPIPS curves of images at T.

    distance: of the curves; None where all timesteps were asked for.
    """
    start, end, boost = options.t_start, options.t_edit, options.t_boost
    if distance is None:
        return Phases(cast(int, start), cast(int, end), cast(int, boost)), None
    few = measured[:MOST_MEASURED]
    curves = curves_of(model, few.images, few.latents, distance, EDIT_STEPS)
    found = find_intervals(curves, guide.cosine, distance.thresholds)
    say(describe(found, guide.cosine))
    end = found.t_edit.t if end is None else end
    start = max(end, found.t_start) if start is None else start
    boost = min(end, found.t_boost.t) if boost is None else boost
    check_start(start, end)
    check_phases([end], boost)
    told = assemble(options.network.device).same((start, end, boost))  # machines may round apart
    return Phases(*told), found


def train(
    model: HSpaceUNet,
    guide: Guide,
    material: Material,
    options: Train,
    neighbour: nn.Module | None = None,
) -> SavedDirection:
    """Train with a progress bar, previews and a checkpoint, then find the strength of 1.

    neighbour: a trained direction to begin from.
    """
    settings, checkpoint = options.training, checkpoint_of(options)
    if checkpoint.exists():
        say(f"continuing from {checkpoint}")
    team = assemble(options.network.device)
    parts = (material.train, material.checked, material.phases)
    job = start_training(model, guide, *parts, settings, checkpoint, team, neighbour)
    outcome: dict[str, object] = {"images": len(material.train), "held_out": len(material.held)}
    title, quiet = f"{options.source} -> {options.target}", team.rank > 0
    with tqdm(desc=title, unit="batch", disable=quiet) as bar:
        for step in job.steps:
            bar.total = step.batches
            bar.update(step.batch + (step.t is None) - bar.n)
            bar.set_postfix(t=step.t, loss=f"{step.total:.3f}", clip=f"{step.directional:.3f}")
            if step.best:
                outcome |= {"batches": step.batch + 1, "validation_loss": step.total}
                _preview(model, job.direction, material, options)
        bar.update(max(0, (bar.total or 0) - bar.n))
    job.direction.requires_grad_(False)
    texts, strength = (options.source, options.target), _strength(model, guide, job, options)
    card = make_card(model, texts, guide, material.phases, settings, outcome, strength)
    return SavedDirection(job.direction, card)


def _strength(model: HSpaceUNet, guide: Guide, job: Training, options: Train) -> float:
    """The strength asked for, or the one at which held-out images no longer respond."""
    if options.strength is not None or job.checked is None:
        return 1.0 if options.strength is None else options.strength
    direction, checked = cast(Direction, job.direction), job.checked
    made = [response(model, direction, s, guide, checked, job.grid) for s in STRENGTHS]
    found = saturation(STRENGTHS, made)
    say(f"strength 1 stands for {found:g} times the trained direction")
    return found


def _preview(model: HSpaceUNet, direction: nn.Module, material: Material, options: Train) -> None:
    """previews/latest.png: held-out images, reconstructions above edits."""
    if options.previews is None or not is_first():
        return
    held = material.held[:MOST_PREVIEWED]
    act = _attribute(direction, material.phases, options)
    rows = [held.images, edit(model, held.latents, [act], EDIT_STEPS)]
    sheet = contact_sheet([model.space.decode(row) for row in rows])
    write_png(new_folder(options.previews) / "latest.png", sheet)


def _attribute(direction: nn.Module, phases: Phases, options: Train) -> Attribute:
    steps = options.training.steps
    return Attribute(
        cast(Direction, direction), phases.t_edit, trained_steps=steps, t_start=phases.t_start
    )
