"""asyrp invert."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from asyrp.commands.common import network, say, tell_others
from asyrp.commands.forecast import foresee, inverting_passes
from asyrp.commands.inverting import FolderImages, Inverter, folder_images, inverter_of, open_store
from asyrp.commands.outputs import on_domain
from asyrp.method.latent_file import Latents, save_latents
from asyrp.options.editing import Invert
from asyrp.runtime.distributed import SINGLE_PROCESS
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import find_images, stems_in
from asyrp.storage.images import write_png
from asyrp.storage.json_files import write_json
from asyrp.storage.results import check_results, new_folder, record


def run(options: Invert) -> dict[str, Any]:
    """Write latents.safetensors, the reconstructions and run.json; or fill a store."""
    options = on_domain(options)
    wanted = [f"{stem}.png" for stem in stems_in(options.images)]
    check_results(options.out, options.images, [*wanted, "latents.safetensors", "run.json"])
    model = network(options.network)
    count = len(find_images(options.images))
    passes = inverting_passes(count, options.steps, options.inverting, options.inversion)
    would = f"invert {count} images into {options.store or options.out}"
    foresee(would, model, passes, options.network.at_once, kept=3 * count)
    inverter = inverter_of(model, options, options.steps)
    found = folder_images(options.images, model)
    if options.store is not None:
        return _into_store(inverter, options, options.store, found)
    done = inverter(found.stacked(), found.names)
    if inverter.processes.rank:
        return {}
    names, errors = tuple(found.names), tuple(done.errors.tolist())
    how = (options.steps, model.fingerprint(), errors, options.inversion)
    kept = Latents(done.latents, names, *how)
    by_name = dict(zip(names, errors, strict=True))
    with atomic_folder(options.out) as out:
        save_latents(out / "latents.safetensors", kept)
        for path, x in zip(found.paths, done.reconstructions, strict=True):
            write_png(out / f"{path.stem}.png", model.space.decode(x[None])[0])
        told = record("invert", options, model, reconstruction_mse=by_name)
        write_json(out / "run.json", told)
    say(f"wrote {len(names)} reconstructions, their latents and run.json to {options.out}")
    tell_others(options.out, [f"{path.stem}.png" for path in found.paths])
    return {"out": options.out, **told}


def _into_store(
    inverter: Inverter, options: Invert, folder: Path, images: FolderImages
) -> dict[str, Any]:
    """Hold a batch of images at a time, however many there are."""
    model, size = inverter.model, options.network.at_once
    store = open_store(folder, inverter.processes)
    keys = inverter.into(store, images)
    if inverter.processes.rank:
        return {}
    few = images.part(slice(0, size))
    back = replace(inverter, processes=SINGLE_PROCESS).led_back(store, few, keys[:size])
    more = {"store": str(folder), "keys": dict(zip(images.names, keys, strict=True))}
    with atomic_folder(new_folder(options.out)) as out:
        for path, x in zip(few.paths, back.images, strict=True):
            write_png(out / f"{path.stem}.png", model.space.decode(x[None])[0])
        told = record("invert", options, model, **more)
        write_json(out / "run.json", told)
    say(f"{folder} holds the latents of {len(keys)} images; wrote run.json to {options.out}")
    tell_others(options.out, [f"{path.stem}.png" for path in few.paths])
    return {"out": options.out, **told}
