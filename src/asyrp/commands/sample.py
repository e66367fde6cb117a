"""asyrp sample."""

from typing import Any

import torch
from torch import Tensor

from asyrp.commands.common import applied, edit_notes, network, progress, say, tell_others
from asyrp.commands.forecast import editing_passes, foresee
from asyrp.commands.outputs import on_domain
from asyrp.experiments.measure import pictures_of
from asyrp.method.editing import edit, random_latents
from asyrp.method.schedule import check_steps
from asyrp.options.editing import Sample
from asyrp.scorers.load import check_rgb
from asyrp.storage.files import atomic_folder
from asyrp.storage.image_folders import SHEET
from asyrp.storage.images import contact_sheet, write_png
from asyrp.storage.json_files import write_json
from asyrp.storage.results import check_results, new_folder, record


def run(options: Sample) -> dict[str, Any]:
    """Write samples 0000.png ..., run.json, and a sheet in a folder that no reader looks into."""
    options = on_domain(options)
    names = [f"{index:04d}.png" for index in range(options.count)]
    check_results(options.out, None, [*names, f"{SHEET}/sheet.png", "run.json"])
    model = network(options.network)
    check_rgb(model, also=(1,))
    check_steps(options.steps, model.schedule.length)
    chosen = applied(model, options.applying, options.steps)
    passes = editing_passes(model, options.count, options.steps, chosen.attributes)
    would, size = f"draw {options.count} samples into {options.out}", options.network.at_once
    foresee(would, model, passes, size, kept=2 * options.count)
    latents = random_latents(model, options.count, options.applying.seed)
    how = (chosen.attributes, options.steps, chosen.t_boost, options.applying.seed, size)
    with progress(f"drawing {options.count} samples") as report:
        images = edit(model, latents, *how, report=report)
    images = pictures_of(model, images)
    notes = edit_notes(chosen)
    with atomic_folder(options.out) as out:
        for name, image in zip(names, images, strict=True):
            write_png(out / name, image, notes)
        write_png(new_folder(out / SHEET) / "sheet.png", contact_sheet(rows_of(images)), notes)
        told = record("sample", options, model, t_boost=chosen.t_boost)
        write_json(out / "run.json", told)
    say(f"wrote {len(images)} samples to {options.out}")
    tell_others(options.out, names)
    return {"out": options.out, **told}


def rows_of(images: Tensor, most: int = 8) -> list[Tensor]:
    """(n, c, height, width) in rows of equal length, the last filled up with white."""
    columns = min(most, len(images))
    white = images.new_ones(-len(images) % columns, *images.shape[1:])
    return [*torch.cat([images, white]).split(columns)]
