"""asyrp edit."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from asyrp.commands.common import (
    Applied,
    applied,
    check_inverting,
    edit_notes,
    inverted,
    network,
    pictures,
    progress,
    say,
    shown,
)
from asyrp.commands.stored import folder_images, keys_in, open_store
from asyrp.errors import AsyrpError
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.editing import edit
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.latent_cache import latents_from
from asyrp.method.second_order import walk_second_order
from asyrp.method.strength_sweep import strip
from asyrp.options import Edit
from asyrp.reporting.tables import write_json
from asyrp.runtime.distributed import ProcessGroup, assemble
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import write_png
from asyrp.storage.results import check_results, record, tell_others


class Inputs(NamedTuple):
    """What is edited: the files, latents of some of them, and what run.json says of them."""

    paths: list[Path]
    latents: Callable[[slice], Tensor]
    told: dict[str, Any]


def run(options: Edit) -> None:
    """Write one PNG an input, same stem (one a factor of --strengths), and run.json."""
    check(options)
    check_results(options.out, options.images)
    model, processes = network(options.network), assemble(options.network.device)
    chosen = applied(model, options.applying, options.steps)
    inputs = (_from_folder if options.store is None else _from_store)(model, options, processes)
    notes = edit_notes(chosen)
    cards = [asdict(one.card) for one in chosen.saved]
    told = {"directions": cards, "t_boost": chosen.t_boost, **inputs.told}
    with atomic_folder(options.out) as out:
        for name, image in _edited(model, chosen, inputs, options, processes):
            write_png(out / name, image, notes)
        if processes.rank == 0:
            write_json(out / "run.json", record("edit", options, model, **told))
        processes.wait()  # no picture is put in place before all are made
    names = _names(inputs, options)
    say(f"wrote {len(names)} images and run.json to {options.out}")
    tell_others(options.out, names)


def check(options: Edit) -> None:
    """Refuse what cannot work before anything is loaded."""
    if not options.applying.direction:
        raise AsyrpError("needed at least one --direction FILE[:STRENGTH]; train one: asyrp train")
    if len({_ending(factor + 0.0) for factor in options.strengths}) < len(options.strengths):
        raise AsyrpError(
            f"--strengths must differ from each other in six digits; got {options.strengths}"
        )
    if options.strengths and options.solver != "ddim":
        raise AsyrpError("--strengths are walked by ddim only; leave --solver out")


def _names(inputs: Inputs, options: Edit) -> list[str]:
    """The file names of all edits, those of other processes too."""
    endings = [*map(_ending, options.strengths)] or [""]
    return [f"{path.stem}{ending}.png" for path in inputs.paths for ending in endings]


def _edited(
    model: HSpaceUNet, chosen: Applied, inputs: Inputs, options: Edit, processes: ProcessGroup
) -> Iterator[tuple[str, Tensor]]:
    """This process's share, a batch at a time."""
    own, size = processes.share(len(inputs.paths)), options.network.batch_size
    with progress(f"editing {own.stop - own.start} images", "image") as report:
        for first in range(own.start, own.stop, size):
            rows = slice(first, min(first + size, own.stop))
            ways = _ways(model, chosen, inputs.latents(rows), options, first)
            for ending, edited in ways.items():
                names = [f"{path.stem}{ending}.png" for path in inputs.paths[rows]]
                yield from zip(names, shown(model, edited), strict=True)
            report(rows.stop - own.start, own.stop - own.start)


def _ways(
    model: HSpaceUNet, chosen: Applied, latents: Tensor, options: Edit, first: int
) -> dict[str, Tensor]:
    """What is put behind a file's name -> its edits."""
    seed, size = options.applying.seed, options.network.batch_size
    how = (options.steps, chosen.t_boost, seed, size)
    if not options.strengths:
        walker = reverse_process if options.solver == "ddim" else walk_second_order
        return {"": edit(model, latents, chosen.attributes, *how, first=first, walker=walker)}
    edits = [
        [replace(a, strength=a.strength * factor) for a in chosen.attributes]
        for factor in options.strengths
    ]
    endings = map(_ending, options.strengths)
    return dict(zip(endings, strip(model, latents, edits, *how, first=first), strict=True))


def _ending(factor: float) -> str:
    """What a factor of --strengths puts behind a file's name."""
    return f"_{factor:+g}"


def _from_folder(model: HSpaceUNet, options: Edit, processes: ProcessGroup) -> Inputs:
    found, size, how = (
        pictures(options.images, model),
        options.network.batch_size,
        options.inverting,
    )
    done = inverted(model, found.images, found.names, options.steps, how, size, processes=processes)
    errors = dict(zip(found.names, done.errors.tolist(), strict=True))
    return Inputs(found.paths, done.latents.__getitem__, {"reconstruction_mse": errors})


def _from_store(model: HSpaceUNet, options: Edit, processes: ProcessGroup) -> Inputs:
    check_inverting(model, options.steps, options.inverting)
    images, store = folder_images(options.images, model), open_store(_store_of(options), processes)
    size = options.network.batch_size
    keys = keys_in(store, images, options.steps, options.inverting, size, processes)

    def latents(rows: slice) -> Tensor:
        return latents_from(store, keys[rows])

    by_name = dict(zip(images.names, keys, strict=True))
    return Inputs(list(images.paths), latents, {"store": str(options.store), "keys": by_name})


def _store_of(options: Edit) -> Path:
    if options.store is None:
        raise AsyrpError("needed --store DIR; got none")
    return options.store
