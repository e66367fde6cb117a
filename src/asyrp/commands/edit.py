"""asyrp edit."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyrp.commands.align import align
from asyrp.commands.common import Applied, applied, edit_notes, network, progress, say, tell_others
from asyrp.commands.forecast import editing_passes, foresee, inverting_passes
from asyrp.commands.inverting import folder_images, inverter_of, open_store, tell_strangers
from asyrp.commands.outputs import on_domain
from asyrp.commands.paste import paste
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import Report, edit
from asyrp.method.enough import FACTORS, edit_enough
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from
from asyrp.method.second_order import walk_second_order
from asyrp.method.strength_sweep import strip
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.options.editing import Edit
from asyrp.runtime.distributed import ProcessGroup, assemble
from asyrp.scorers.load import encoder_for
from asyrp.settings import Like
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import SHEET, find_images, stems_in
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.json_files import write_json
from asyrp.storage.results import check_results, new_folder, record

MOST_SHOWN = 8  # images of the contact sheet of --strengths


class Inputs(NamedTuple):
    """What is edited: the files, latents of some of them, and what run.json says of them."""

    paths: list[Path]
    latents: Callable[[slice], Tensor]
    told: dict[str, Any]


class Enough(NamedTuple):
    """How much of its text an image has to show, and the factor that each image took."""

    guide: TextDirection
    least: float
    taken: list[float]


@dataclass(frozen=True)
class Job:
    """What every edit of a run has in common.

    enough: None where each image is edited as much as all others.
    """

    model: HSpaceUNet
    chosen: Applied
    options: Edit
    processes: ProcessGroup
    enough: Enough | None


def run(options: Edit) -> dict[str, Any]:
    """Write one PNG an input, same stem (one a factor of --strengths), a sheet, and run.json."""
    options = on_domain(options)
    check(options)
    wanted = names_of(stems_in(options.images), options)
    check_results(options.out, options.images, [*wanted, f"{SHEET}/sheet.png", "run.json"])
    model, processes = network(options.network), assemble(options.network.device)
    chosen = applied(model, options.applying, options.steps)
    job = Job(model, chosen, options, processes, enough_of(model, chosen, options))
    _foresee(job)
    images = _aligned(job, options.align) if options.align else options.images
    inputs = _inputs(job, images)
    told: dict[str, Any] = {"directions": [asdict(one.card) for one in chosen.saved]}
    told |= {"t_boost": chosen.t_boost, **inputs.told}
    names = names_of([path.stem for path in inputs.paths], options)
    with atomic_folder(options.out) as out:
        _write(out, job, inputs)
        if job.enough is not None:
            told["strengths"] = dict(zip(names, processes.joined(job.enough.taken), strict=True))
        result = record("edit", options, model, **told)
        if processes.rank == 0:
            write_json(out / "run.json", result)
        processes.wait()  # no picture is put in place before all are made
    say(f"wrote {len(names)} images and run.json to {options.out}")
    tell_others(options.out, names)
    if options.align and processes.rank == 0:
        edited = [options.out / name for name in names]
        paste(options.images, images, edited, options.out / "pasted")
    return {"out": options.out, "images": names, **result}


def check(options: Edit) -> None:
    """Refuse what cannot work before anything is loaded."""
    if not options.applying.direction:
        raise AsyrpError("needed at least one --direction FILE[:STRENGTH]; train one: asyrp train")
    if not all(map(isfinite, options.strengths)):
        raise AsyrpError(f"--strengths are numbers; got {options.strengths}")
    if len(set(endings_of(factor + 0.0 for factor in options.strengths))) < len(options.strengths):
        raise AsyrpError(
            f"--strengths must differ from each other in six digits; got {options.strengths}"
        )
    if options.inversion != "ddim" and options.solver != "ddim":
        raise AsyrpError(
            f"latents of --inversion {options.inversion} are led back by it alone; leave --solver "
            "out"
        )
    if options.strengths and options.solver != "ddim":
        raise AsyrpError("--strengths are walked by ddim only; leave --solver out")


def endings_of(strengths: Iterable[float]) -> list[str]:
    """What is put behind the name of each input."""
    return [f"_{factor:+g}" for factor in strengths] or [""]


def names_of(stems: Iterable[str], options: Edit) -> list[str]:
    """The file names of the edits of some inputs."""
    return [f"{stem}{ending}.png" for stem in stems for ending in endings_of(options.strengths)]


def enough_of(model: HSpaceUNet, chosen: Applied, options: Edit) -> Enough | None:
    """For one direction at the strength of its card; None where that is not asked for.

    Raises:
        AsyrpError: the encoder of the card is not there.
    """
    if len(chosen.saved) != 1 or options.strengths or not options.enough:
        return None
    card = chosen.saved[0].card
    if card.enough is None or chosen.attributes[0].strength != card.strength:
        return None
    try:
        encoder = encoder_for(model, card.encoder)
    except AsyrpError as error:
        raise AsyrpError(f"{error}; or edit without it: --no-enough") from error
    return Enough(new_text_direction(encoder, card.source, card.target), card.enough, [])


def _foresee(job: Job) -> None:
    """With --dry-run: end here, and say what would come."""
    options, count = job.options, len(find_images(job.options.images))
    ways, tries = len(endings_of(options.strengths)), len(FACTORS) if job.enough else 1
    each = editing_passes(job.model, count, options.steps, job.chosen.attributes)
    passes = inverting_passes(count, options.steps, options.inverting, options.inversion)
    would = f"edit {count} images, {ways} each, into {options.out}"
    size = options.network.at_once
    foresee(would, job.model, passes + tries * ways * each, size, kept=3 * count)


def _aligned(job: Job, like: Like) -> Path:
    """OUT/aligned, the faces of the photographs, which this makes."""
    photos, folder = job.options.images, job.options.out / "aligned"
    _, height, width = job.model.picture_shape
    if height != width:
        raise AsyrpError(f"--align needs a network of square pictures; this has {width} x {height}")
    if job.processes.rank == 0:
        own = {path.stem for path in find_images(photos)}
        if {path.stem for path in folder.glob("*.png")} - own:
            raise AsyrpError(f"{str(folder)!r} holds other photographs; give another --out")
        align(photos, folder, like, height)
    job.processes.wait()
    return folder


def _inputs(job: Job, folder: Path) -> Inputs:
    """Inverted now, or from a store."""
    model, options = job.model, job.options
    inverter, images = inverter_of(model, options, options.steps), folder_images(folder, model)
    if options.store is None:
        images = replace(images, held=images.stacked())
        tell_strangers(images, options.network.model)
        done = inverter(images.stacked(), images.names)
        errors = dict(zip(images.names, done.errors.tolist(), strict=True))
        return Inputs(images.paths, done.latents.__getitem__, {"reconstruction_mse": errors})
    store = open_store(options.store, job.processes)
    before = len(store)
    keys = inverter.into(store, images)
    if len(store) > before:
        tell_strangers(images, options.network.model)
    told = {"store": str(options.store), "keys": dict(zip(images.names, keys, strict=True))}
    return Inputs(images.paths, lambda rows: latents_from(store, keys[rows]), told)


def _write(out: Path, job: Job, inputs: Inputs) -> None:
    """One PNG an edit; of --strengths a sheet of the first images, from the first process."""
    options, notes = job.options, edit_notes(job.chosen)
    first = inputs.paths[job.processes.share(len(inputs.paths))][:MOST_SHOWN]
    rows = [names_of([path.stem], options) for path in first if options.strengths]
    shown = dict[str, Tensor]()
    with closing(_edited(job, inputs)) as edits:
        for name, image in edits:
            write_png(out / name, image, notes)
            if any(name in row for row in rows):
                shown[name] = image
    if rows and job.processes.rank == 0:
        sheet = contact_sheet([torch.stack([shown[name] for name in row]) for row in rows])
        write_png(new_folder(out / SHEET) / "sheet.png", sheet, notes)


@torch.no_grad()
def _edited(job: Job, inputs: Inputs) -> Generator[tuple[str, Tensor], None, None]:
    """(file name, picture) of each edit of this process's share, a batch at a time."""
    own, size = job.processes.share(len(inputs.paths)), job.options.network.at_once
    with progress(f"editing {own.stop - own.start} images") as report:
        for first in range(own.start, own.stop, size):
            rows = slice(first, min(first + size, own.stop))

            def within(done: int, total: int, rows: slice = rows) -> None:
                each = total // (rows.stop - rows.start)
                report((rows.start - own.start) * each + done, (own.stop - own.start) * each)

            made = _made(job, inputs.latents(rows), first, within)
            for ending, edited in zip(endings_of(job.options.strengths), made, strict=True):
                for path, x in zip(inputs.paths[rows], edited, strict=True):
                    yield f"{path.stem}{ending}.png", job.model.space.decode(x[None])[0]


def _made(job: Job, latents: Tensor, first: int, report: Report) -> Sequence[Tensor] | Tensor:
    """The edits of a batch at each factor of --strengths, (factors, n, c, height, width)."""
    options, chosen, enough = job.options, job.chosen, job.enough
    how = {"steps": options.steps, "t_boost": chosen.t_boost, "seed": options.applying.seed}
    batch: dict[str, Any] = {**how, "batch_size": options.network.at_once}
    walker = walk_second_order if options.solver == "second-order" else None
    by = {"inversion": options.inversion, "walker": walker}
    walk: Callable[..., Tensor] = partial(edit, job.model, **by, **batch)  # type: ignore[arg-type]

    def at(factor: float, row: int) -> Tensor:
        return walk(latents[row : row + 1], scaled(chosen.attributes, factor), first=first + row)

    if enough is not None:
        images = []
        for row in range(len(latents)):
            image, factor = edit_enough(partial(at, row=row), enough.guide, enough.least)
            images.append(image)
            enough.taken.append(factor)
            report(row + 1, len(latents))
        return [torch.cat(images)]
    edits = [scaled(chosen.attributes, factor) for factor in options.strengths]
    if edits and options.inversion == "ddim":
        return strip(job.model, latents, edits, first=first, report=report, **batch)
    if edits:
        return [walk(latents, one, first=first) for one in edits]
    return [walk(latents, chosen.attributes, first=first, report=report)]


def scaled(attributes: Sequence[Attribute], factor: float) -> list[Attribute]:
    """The same with their strengths times a factor."""
    return [replace(one, strength=one.strength * factor) for one in attributes]
