"""asyrp world: draw faces, train the world's networks again."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from tqdm import tqdm

from asyrp.commands.common import say, tell_others
from asyrp.commands.forecast import foreseen
from asyrp.domains.avatars.avatars import FACTORS, draw, sample_face
from asyrp.domains.training_loop import Inputs, Part
from asyrp.errors import AsyrpError
from asyrp.options.domains import World
from asyrp.reporting.tables import csv_text
from asyrp.runtime.cpu import set_up_torch
from asyrp.storage.files import atomic_folder
from asyrp.storage.images import from_uint8, write_png
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import check_results

DRAWN = 0.02  # seconds of a face


def run(options: World) -> dict[str, Any]:
    """Write faces with their labels, or the weights of networks with their cards."""
    if options.count < 1 or (options.steps is not None and options.steps < 1):
        raise AsyrpError("--count and --steps must be 1 or more")
    if options.part == "draw":
        names = [f"{index:05d}.png" for index in range(options.count)]
        check_results(options.out, None, [*names, "labels.json", "labels.csv"])
        foreseen(f"draw {options.count} faces into {options.out}", options.count * DRAWN)
        with atomic_folder(options.out) as out:
            draw_folder(out, options.split, range(options.count))
        say(f"wrote {options.count} faces, labels.json and labels.csv to {options.out}")
        tell_others(options.out, names)
        return {"out": options.out, "count": options.count}
    held = [path for place in ("*", "*/*") for path in options.out.glob(place) if path.is_file()]
    check_results(options.out, None, [str(path.relative_to(options.out)) for path in held])
    set_up_torch()
    what = "all networks" if options.part == "train" else f"the {options.part}"
    steps = f"{options.steps or 'the shipped number of'} steps"
    foreseen(f"train {what} of {options.domain} for {steps}, into {options.out}", None)
    with atomic_folder(options.out) as out:
        known = parts(replace(options, out=out))
        for name in known if options.part == "train" else [options.part]:
            work(name, known[name], options)
    say(f"wrote the weights and their cards to {options.out}")
    return {"out": options.out}


def work(name: str, part: Part, options: World) -> None:
    """Train a network with a progress bar."""
    steps = options.steps or part.steps
    say(f"{name}: {steps} steps; stop and continue at will, {options.cache} keeps the state")
    with tqdm(total=steps, desc=name, unit="step") as bar:
        for step in part.run(steps):
            bar.update(step.step - bar.n)
            bar.set_postfix(loss=f"{step.loss:.4f}")


def parts(options: World) -> Mapping[str, Part]:
    """The networks of a domain that can be trained.

    Raises:
        AsyrpError: the domain lacks pictures to train on, or the part that is asked for.
    """
    folder = options.domain.rpartition("-")[0]
    training = import_module(f"asyrp.domains.{folder}.training")
    given = Inputs(
        options.cache, options.out, options.images, options.attributes, options.begin_from
    )
    known: Mapping[str, Part] = training.parts(given)
    if options.part not in (*known, "train"):
        raise AsyrpError(f"{options.domain} has no {options.part}; it has: {', '.join(known)}")
    return known


def draw_folder(out: Path, split: str, indices: range) -> None:
    """Faces as 00000.png ..., and labels.json: factor -> value of each (null where hidden).

    labels.csv is the same as a table of attributes, empty where hidden.
    """
    labels: dict[str, dict[str, str | None]] = {}
    for index in tqdm(indices, desc="drawing", unit="face"):
        face, name = sample_face(split, index), f"{index:05d}"
        write_png(out / f"{name}.png", from_uint8(draw(face)[None])[0])
        labels[name] = {factor: face.label(factor) for factor in FACTORS}
    write_json(out / "labels.json", labels)
    rows = [{"file_name": f"{name}.png", **row} for name, row in labels.items()]
    write_text(out / "labels.csv", csv_text(rows))
