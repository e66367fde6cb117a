"""asyrp world: draw faces, train the world's networks again."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

from tqdm import tqdm

from asyrp.commands.common import say, tell_others
from asyrp.domains.avatars.avatars import FACTORS, draw, sample_face
from asyrp.domains.avatars.diffusion import to_unit
from asyrp.domains.training_loop import LoopStep
from asyrp.errors import AsyrpError
from asyrp.options import World
from asyrp.reporting.tables import csv_text
from asyrp.runtime.cpu import settle
from asyrp.storage.images import write_png
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder


def run(options: World) -> None:
    """Write faces with their labels, or the weights of one network with their card."""
    if options.count < 1 or (options.steps is not None and options.steps < 1):
        raise AsyrpError("--count and --steps must be 1 or more")
    out = new_folder(options.out)
    if options.part == "draw":
        draw_folder(out, options.split, range(options.count))
        tell_others(out, (f"{index:05d}.png" for index in range(options.count)))
        return
    start, default = _trainer(options.part)
    steps = options.steps or default
    settle()
    new_folder(options.cache)
    say(f"drawing pictures into {options.cache}, then {steps} steps; stop and continue at will")
    with tqdm(total=steps, desc=options.part, unit="step") as bar:
        for step in start(options.cache, out, steps):
            bar.update(step.step - bar.n)
            bar.set_postfix(loss=f"{step.loss:.4f}")
    say(f"wrote the weights and their card to {out}")


def draw_folder(out: Path, split: str, indices: range) -> None:
    """Faces as 00000.png ..., and labels.json: factor -> value of each (null where hidden).

    labels.csv is the same as a table of attributes, empty where hidden.
    """
    labels: dict[str, dict[str, str | None]] = {}
    for index in tqdm(indices, desc="drawing", unit="face"):
        face, name = sample_face(split, index), f"{index:05d}"
        write_png(out / f"{name}.png", to_unit(draw(face)[None])[0])
        labels[name] = {factor: face.label(factor) for factor in FACTORS}
    write_json(out / "labels.json", labels)
    rows = [{"file_name": f"{name}.png", **row} for name, row in labels.items()]
    write_text(out / "labels.csv", csv_text(rows))


def _trainer(part: str) -> tuple[Callable[[Path, Path, int], Iterator[LoopStep]], int]:
    trainer = import_module(f"asyrp.domains.avatars.train_{part}")
    return trainer.run, trainer.STEPS
