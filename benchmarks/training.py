"""What was tried for the defaults of training: settings against validation faces.

Run: python benchmarks/training.py [--only NAME ...]
Every variant trains "face -> smiling face" and is measured on 80 validation faces at several
strengths. It prints one line of JSON each and writes docs/training-tried.md.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor

from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.avatars.diffusion import to_unit
from asyrp.domains.avatars.judge import Judge, load_judge
from asyrp.finders.prepare import Pictures, start_training
from asyrp.method.asymmetric_process import Attribute
from asyrp.method.editing import edit, invert
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.networks import load_model
from asyrp.scorers.load import load_encoder
from asyrp.settings import TrainSettings
from asyrp.storage.json_files import write_json
from avatar_score import answers, score


@dataclass(frozen=True)
class Variant:
    """One setting of training."""

    name: str
    t_start: int = 537
    t_edit: int = 128
    images: int = 96
    strengths: tuple[float, ...] = (1.0, 2.0)
    settings: TrainSettings = field(default_factory=TrainSettings)


VARIANTS = (
    Variant("default"),
    Variant("whole interval [T, t_edit]", t_start=999),
    Variant("40 training steps", settings=TrainSettings(steps=40)),
    Variant("64 images, 4 epochs", images=64, settings=TrainSettings(epochs=4)),
    Variant("lambda_recon 3", settings=TrainSettings(lambda_recon=3.0)),
    Variant("rate 0.005", settings=TrainSettings(learning_rate=5e-3)),
    Variant("no decay", settings=TrainSettings(decay=False)),
    Variant("default initialisation", settings=TrainSettings(zero_init=False)),
    Variant("one dh a timestep", settings=TrainSettings(kind="timestep", learning_rate=5e-2)),
    Variant("one dh", settings=TrainSettings(kind="global", learning_rate=5e-2)),
    Variant("SGD 0.5", settings=TrainSettings(optimiser="sgd", learning_rate=0.5, decay=False)),
    Variant("t_edit 256", t_edit=256),
)


@dataclass(frozen=True)
class Options:
    """Measure settings of training on validation faces."""

    out: Path = Path("build/training")
    """Folder for what is kept between runs."""
    docs: Path = Path("docs")
    """Folder for training-tried.md."""
    only: tuple[str, ...] = ()
    """Variants to run; default: all."""
    faces: int = 48
    """Validation faces to measure on."""


class Bench(NamedTuple):
    """Networks, and the validation faces at T."""

    model: HSpaceUNet
    guide: TextDirection
    judge: Judge
    faces: list[Face]
    latents: Tensor
    reconstructions: Tensor


def bench(options: Options) -> Bench:
    """Load and invert what all variants share."""
    model = load_model("avatars-64")
    guide = new_text_direction(load_encoder("avatars-64-clip"), "face", "smiling face")
    faces = [sample_face("validation", i) for i in range(options.faces)]
    done = invert(model, to_unit(np.stack([draw(face) for face in faces])), refinements=1)
    return Bench(model, guide, load_judge(), faces, done.latents, done.reconstructions)


def measure(have: Bench, variant: Variant) -> dict[str, object]:
    """Train a variant and judge it at its strengths."""
    images = to_unit(np.stack([draw(sample_face("train", i)) for i in range(variant.images)]))
    steps = variant.settings.steps
    done = invert(have.model, images, steps, refinements=1, up_to=variant.t_start)
    at = min(variant.t_start, have.model.schedule.length - 1)
    pictures, started = Pictures(done.reconstructions, done.latents, at), time.perf_counter()
    phases = EditInterval(variant.t_start, variant.t_edit, 0)
    none = pictures[:0]
    job = start_training(have.model, have.guide, pictures, none, phases, variant.settings)
    *_, last = job.steps
    found: dict[str, object] = {"seconds": round(time.perf_counter() - started)}
    lacking = [i for i, face in enumerate(have.faces) if face.values["mouth"] != "smiling"]
    before = answers(have.judge, have.reconstructions[lacking])
    for strength in variant.strengths:
        act = Attribute(job.direction, variant.t_edit, strength, steps, variant.t_start)  # type: ignore[arg-type]
        after = answers(have.judge, edit(have.model, have.latents[lacking], [act]))
        got = score(before, after, [have.faces[i] for i in lacking], "mouth", "smiling")
        found[f"{strength:g}"] = [round(got.success, 3), round(got.leakage, 4)]
    return {**found, "loss": round(last.total, 4)}


def page(rows: dict[str, dict[str, object]], faces: int) -> str:
    """training-tried.md."""
    head = (
        "# Settings of training that were tried\n\n"
        'Written by `python benchmarks/training.py`: "face → smiling face" on avatars-64, judged '
        f"on those of\n{faces} validation faces that do not smile. Each cell: judged smiling / "
        "other attributes changed beyond\nthe reconstruction, in %, at that strength. Machine: "
        f"{torch.get_num_threads()} threads of a {platform.machine()} CPU, torch "
        f"{torch.__version__}.\n\n"
        "| variant | seconds | 1 | 2 |\n|---|---|---|---|\n"
    )
    lines = []
    for name, row in rows.items():
        cells = [row.get(f"{s:g}") for s in (1.0, 2.0)]
        texts = [
            f"{100 * c[0]:.0f} / {100 * c[1]:.1f}" if isinstance(c, list) else "" for c in cells
        ]
        lines.append(f"| {name} | {row['seconds']} | {' | '.join(texts)} |")
    return head + "\n".join(lines) + "\n"


def main(options: Options) -> None:
    """Run what is not done yet."""
    torch.set_flush_denormal(True)
    options.out.mkdir(parents=True, exist_ok=True)
    kept = options.out / "rows.json"
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    have = bench(options)
    for variant in VARIANTS:
        wanted = variant.name in options.only if options.only else variant.name not in rows
        if not wanted:
            continue
        rows[variant.name] = {**measure(have, variant), "variant": asdict(variant)}
        print(
            json.dumps({k: v for k, v in rows[variant.name].items() if k != "variant"}), flush=True
        )
        write_json(kept, rows)
        ordered = {v.name: rows[v.name] for v in VARIANTS if v.name in rows}
        text = page(ordered, options.faces)
        (options.docs / "training-tried.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options))
