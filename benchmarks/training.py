"""What was tried for the defaults of training: settings against validation faces.

Run: python benchmarks/training.py [--only NAME ...]
Every variant trains "face -> smiling face" and edits the validation faces that do not smile, at
several strengths. It prints one line of JSON each and writes docs/training-tried.md.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import tyro
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.avatars.judge import JudgeNetwork, load_judge
from asyrp.finders.prepare import Pictures, start_training
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.directions import Direction
from asyrp.method.editing import latents_of
from asyrp.method.editing_interval import EditInterval
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.schedule import below, paper_grid
from asyrp.method.text_direction import TextDirection, new_text_direction
from asyrp.networks import load_model
from asyrp.scorers.load import load_encoder
from asyrp.settings import TrainSettings
from asyrp.storage.images import from_uint8
from asyrp.storage.json_files import write_json
from avatar_score import answers, score

STRENGTHS = (0.35, 0.5, 0.75, 1.0, 1.5, 2.5)
STEPS = 20  # of the grid that validation faces are walked on
ENOUGH = 0.9  # the success at which leakage is compared
OLD = 1e-7  # the floor that the loss had before


@dataclass(frozen=True)
class Variant:
    """One setting of training."""

    name: str
    t_start: int = 537
    t_edit: int = 153
    images: int = 48
    settings: TrainSettings = field(default_factory=TrainSettings)


def _tried(name: str, **changes: Any) -> Variant:
    return Variant(name, settings=TrainSettings(**changes))


VARIANTS = (
    Variant("default"),
    _tried("another seed", seed=1),
    _tried("along the walk as edited", along="edited"),
    _tried("the same, another seed", along="edited", seed=1),
    _tried("along the inverted trajectory", along="trajectory"),
    _tried("before: floor 1e-7, Adam 0.02, edited", along="edited", floor=OLD, learning_rate=2e-2),
    _tried("lambda_recon 1", lambda_recon=1.0),
    _tried("lambda_recon 3", lambda_recon=3.0),
    _tried("rate 0.002", learning_rate=2e-3),
    _tried("one dh a timestep", kind="timestep"),
    _tried("one dh", kind="global"),
    _tried("floor 0.4", floor=0.4),
    Variant("whole interval [T, t_edit]", t_start=999),
    _tried("floor 0.1", floor=0.1),
    _tried("SGD 0.5, zero start", optimiser="sgd", learning_rate=0.5),
    _tried("batch 24", batch_size=24),
    _tried("rate 0.01", learning_rate=1e-2),
    _tried("floor 1e-7", floor=OLD),
    _tried("default initialisation of f_t", zero_init=False),
    _tried("batch 1, 1 epoch, rate 0.002", batch_size=1, epochs=1, learning_rate=2e-3),
    _tried("no decay", decay=False),
    _tried("6 epochs", epochs=6),
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
    """Variants to run; default: all that have not run yet."""
    faces: int = 40
    """Validation faces to measure on; those that smile are left out."""


class Bench(NamedTuple):
    """Networks, the folder of latents, and how many validation faces."""

    model: HSpaceUNet
    guide: TextDirection
    judge: JudgeNetwork
    folder: Path
    faces: int


def bench(options: Options) -> Bench:
    """Load what all variants share."""
    model = load_model("avatars-64")
    guide = new_text_direction(load_encoder("avatars-64-clip"), "face", "smiling face")
    return Bench(model, guide, load_judge(), options.out, options.faces)


def faces_of(have: Bench, split: str, count: int, steps: int, at: int) -> Pictures:
    """Faces with latents at a timestep, inverted once."""
    kept = have.folder / f"{split}-{count}-{steps}-{at}.safetensors"
    images = from_uint8(np.stack([draw(sample_face(split, i)) for i in range(count)]))  # type: ignore[arg-type]
    if not kept.exists():
        save_file({"x": latents_of(have.model, images, steps, refinements=1, up_to=at)}, kept)
    return Pictures(images, load_file(kept)["x"], at)


def measure(have: Bench, variant: Variant) -> dict[str, object]:
    """Train a variant and judge it at every strength."""
    settings, started = variant.settings, time.process_time()
    pictures = faces_of(have, "train", variant.images, settings.steps, variant.t_start)
    phases = EditInterval(variant.t_start, variant.t_edit, 0)
    job = start_training(have.model, have.guide, pictures, pictures[:0], phases, settings)
    made = list(moved(job.direction, (step.t for step in job.steps)))
    found: dict[str, object] = {"seconds": round(time.process_time() - started)}
    found["largest_step"] = round(max(made) / float(np.median(made)), 1)
    rows = [*judged(have, variant, cast(Direction, job.direction.requires_grad_(False)))]
    return found | {"alike": round(alike(job.direction), 3), "rows": rows}


def moved(direction: nn.Module, steps: Iterator[object]) -> Iterator[float]:
    """The norm of every optimiser step."""
    before = nn.utils.parameters_to_vector(direction.parameters()).detach().clone()
    for _ in steps:
        now = nn.utils.parameters_to_vector(direction.parameters()).detach().clone()
        yield float((now - before).norm())
        before = now


def alike(direction: nn.Module) -> float:
    """The largest share of a tensor's weights within 1 % of their median size; noise has 0.01."""
    sizes = [p.detach().abs().flatten() for p in direction.parameters()]
    return max(float(((s / s.median() - 1).abs() < 0.01).float().mean()) for s in sizes)


@torch.no_grad()
def judged(
    have: Bench,
    variant: Variant,
    direction: Direction,
    wanted: tuple[str, str] = ("mouth", "smiling"),
) -> Iterator[list[float]]:
    """Strength, success, leakage and progress along dT of the faces that lack a value."""
    factor, value = wanted
    pictures = faces_of(have, "validation", have.faces, STEPS, variant.t_start)
    faces = [sample_face("validation", i) for i in range(have.faces)]
    lacking = [i for i, face in enumerate(faces) if face.label(factor) not in (None, value)]
    grid, x = below(paper_grid(STEPS), variant.t_start), pictures.latents[lacking]
    plain = walked(have.model, x, grid, [])
    before, features = answers(have.judge, plain), have.guide.encoder.image_features(plain)
    shown: list[Face] = [faces[i] for i in lacking]
    for strength in STRENGTHS:
        act = Attribute(
            direction, variant.t_edit, strength, variant.settings.steps, variant.t_start
        )
        edited = walked(have.model, x, grid, [act])
        got = score(before, answers(have.judge, edited), shown, factor, value)
        progress = (have.guide.encoder.image_features(edited) - features) @ have.guide.direction
        yield [strength, got.success, got.leakage, float(progress.mean())]


def walked(model: HSpaceUNet, x: Tensor, grid: Sequence[Any], acts: Sequence[Attribute]) -> Tensor:
    """The end of a walk."""
    for done in reverse_process(model, x, grid, acts):
        x = done.x
    return x


def leakage_at(rows: Sequence[Sequence[float]], wanted: float = ENOUGH) -> float | None:
    """Leakage where success first reaches a share, on a line between strengths; None if never."""
    for low, high in zip([[0.0, 0.0, 0.0, 0.0], *rows], rows, strict=False):
        if high[1] >= wanted:
            part = (wanted - low[1]) / (high[1] - low[1])
            return low[2] + part * (high[2] - low[2])
    return None


def page(rows: dict[str, dict[str, Any]], options: Options) -> str:
    """training-tried.md."""
    head = (
        "# Settings of training that were tried\n\n"
        'Written by `python benchmarks/training.py`: "face → smiling face" on avatars-64, 48 faces '
        "to train on, judged\non those of "
        f"{options.faces} validation faces that do not smile. Under a strength: judged smiling / "
        "other\nattributes changed beyond the reconstruction, in %. *at 90 %*: that where 90 % "
        "smile, on a line between\nstrengths. *step*: the largest optimiser step over the median "
        "one. *alike*: the largest share of a\ntensor's weights within 1 % of one size, in %. *s*: "
        f"seconds of one core of a {platform.machine()} CPU,\ntorch {torch.__version__}.\n\n"
        f"| variant | s | step | alike | {' | '.join(f'{s:g}' for s in STRENGTHS)} | at 90 % |\n"
        f"|{'---|' * (len(STRENGTHS) + 5)}\n"
    )
    return head + "".join(line(name, row) for name, row in rows.items())


def line(name: str, row: dict[str, Any]) -> str:
    """A variant in the table."""
    cells = [f"{100 * one[1]:.0f} / {100 * one[2]:.1f}" for one in row["rows"]]
    leaks = leakage_at(row["rows"])
    told = "never" if leaks is None else f"{100 * leaks:.1f}"
    first = [name, row["seconds"], row["largest_step"], f"{100 * row['alike']:.0f}"]
    return f"| {' | '.join(map(str, [*first, *cells, told]))} |\n"


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
        print(line(variant.name, rows[variant.name]), end="", flush=True)
        write_json(kept, rows)
        ordered = {v.name: rows[v.name] for v in VARIANTS if v.name in rows}
        (options.docs / "training-tried.md").write_text(page(ordered, options), encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options))
