"""Every inversion side by side on test faces: what it loses, what its edits become, what it costs.

Run: python benchmarks/inversions.py
It prints a table and writes it to --out. Stopped and run again, it goes on with the row it was at;
--most 0 writes the page of the rows that it has.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.domains.avatars.judge import load_judge
from asyrp.domains.avatars.judging import AvatarJudge
from asyrp.method.cost import counted, encoder_share
from asyrp.method.direction_file import SavedDirection, load_direction
from asyrp.method.editing import edit, inversion_grid, invert, riser
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import INVERSIONS, Name, inversion_of, top_of
from asyrp.metrics.table import Pictures, Scorers, Wish, per_image
from asyrp.networks import load_model
from asyrp.reporting.statistics import Estimate, of_mean
from asyrp.reporting.tables import markdown, percent
from asyrp.storage.images import from_uint8
from asyrp.storage.json_files import write_json, write_text

WAYS: tuple[tuple[Name, int], ...] = (
    ("ddim", 0),
    ("ddim", 1),
    ("belm", 0),
    ("bdia", 0),
    ("ddpm", 0),
    ("edict", 0),
    ("ddim", 2),
)
SMALL = 1e-3  # root mean square of a perturbation
DISTURBED = 4  # faces
STEEP = 10  # growth that the page warns of


@dataclass(frozen=True)
class Options:
    """Compare the inversions."""

    out: Path = Path("docs/inversions.md")
    """The page to write."""
    kept: Path = Path("build/inversions")
    """Folder for what is kept between runs."""
    direction: Path = Path("examples/smiling.safetensors")
    """Direction file to edit with, at the strength of its card."""
    attribute: str = "mouth"
    """What it changes."""
    value: str = "smiling"
    """To which value."""
    faces: int = 24
    """Test faces that do not show the value."""
    first: int = 1000
    """Number of the first test face; nothing was chosen on those from 1000."""
    steps: int = 40
    """Length of the grid."""
    batch_size: int = 8
    """Faces at a time."""
    most: int = len(WAYS)
    """Rows to measure now."""


class Bench(NamedTuple):
    """What every row is measured with."""

    model: HSpaceUNet
    faces: Tensor
    saved: SavedDirection
    scorers: Scorers
    options: Options


def bench(options: Options) -> Bench:
    """Load the network, the judge and the direction, and draw the faces."""
    model, faces, number = load_model("avatars-64"), list[np.ndarray](), options.first
    while len(faces) < options.faces:
        face = sample_face("test", number)
        if face.label(options.attribute) not in (None, options.value):
            faces.append(draw(face))
        number += 1
    saved = load_direction(options.direction, model)
    scorers = Scorers(judge=AvatarJudge(load_judge()))
    return Bench(model, from_uint8(np.stack(faces)), saved, scorers, options)


def measured(have: Bench, inversion: Name, refinements: int) -> dict[str, Any]:
    """One row: Estimates as plain data, and numbers."""
    model, options = have.model, have.options
    started = time.process_time()
    with counted(model) as cost:
        done = invert(
            model,
            have.faces,
            options.steps,
            refinements=refinements,
            batch_size=options.batch_size,
            inversion=inversion,
        )
    calls = cost.evaluations(encoder_share(model)) / len(have.faces)
    seconds = time.process_time() - started
    found: dict[str, Any] = {
        "inversion": inversion,
        "refinements": refinements,
        "error": of_mean(done.errors.cpu().numpy()).as_json(),
        "worst": float(done.errors.max()),
        "calls": calls,
        "seconds": seconds / len(have.faces),
        "spread": float(top_of(done.latents, 3).std()),
        **growth(have, inversion, refinements, done.latents[:DISTURBED]),
    }
    for name, boost in (("plain", 0), ("boosted", have.saved.card.t_boost)):
        found[name] = judged(have, edits(have, done.latents, inversion, boost))
    return found


def edits(have: Bench, latents: Tensor, inversion: Name, t_boost: int) -> Tensor:
    """The faces with the direction, from their latents."""
    act, options = have.saved.attribute(), have.options
    return edit(
        have.model,
        latents,
        [act],
        options.steps,
        t_boost,
        batch_size=options.batch_size,
        inversion=inversion,
    )


def judged(have: Bench, edited: Tensor) -> dict[str, Any]:
    """success and leakage, in [0, 1], with intervals over faces."""
    wish = Wish(have.options.attribute, have.options.value)
    values = per_image(Pictures(have.faces, edited), have.scorers, wish)
    return {name: of_mean(values[name]).as_json() for name in ("success", "leakage")}


@torch.no_grad()
def growth(have: Bench, inversion: Name, refinements: int, latents: Tensor) -> dict[str, float]:
    """What becomes of a small random perturbation of the latent on the way down, of the image up.

    Ratios of root mean squares; a latent is perturbed in all its parts, x alone is looked at.
    """
    model, steps = have.model, have.options.steps
    grid, way = inversion_grid(model, steps, None, inversion), inversion_of(inversion)
    rise = riser(inversion, "source", refinements)
    generator = torch.Generator().manual_seed(0)

    def perturbed(x: Tensor) -> Tensor:
        return x + SMALL * torch.randn(x.shape, generator=generator)

    def moved(a: Tensor, b: Tensor) -> float:
        return float((a - b).square().mean().sqrt() / SMALL)

    *_, here = way.down(model, latents, grid)
    *_, there = way.down(model, perturbed(latents), grid)
    *_, up = rise(model, model.schedule, perturbed(have.faces[: len(latents)]), grid)
    return {
        "growth down": moved(here.x, there.x),
        "growth up": moved(top_of(up.x, 3), top_of(latents, 3)),
    }


def title(row: dict[str, Any]) -> str:
    """As on the command line."""
    refined = f" --refinements {row['refinements']}" if row["inversion"] == "ddim" else ""
    return f"{row['inversion']}{refined}"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for people."""
    ordered = sorted(rows, key=lambda row: (tuple(INVERSIONS).index(row["inversion"]), title(row)))
    shown = [
        {
            "--inversion": title(row),
            "MSE, mean": f"{row['error']['value']:.1e}" if row["worst"] else "0",
            "MSE, worst": f"{row['worst']:.1e}" if row["worst"] else "0",
            "success": percent(Estimate(**row["plain"]["success"])),
            "others changed": percent(Estimate(**row["plain"]["leakage"])),
            "success, boosted": percent(Estimate(**row["boosted"]["success"])),
            "others changed, boosted": percent(Estimate(**row["boosted"]["leakage"])),
            "network calls": f"{row['calls']:.0f}",
            "CPU seconds": f"{row['seconds']:.1f}",
            "growth down": f"{row['growth down']:.2g}",
            "growth up": f"{row['growth up']:.2g}",
            "std of x_T": f"{row['spread']:.2f}",
        }
        for row in ordered
    ]
    return markdown(shown)


def told_of_growth(rows: list[dict[str, Any]]) -> str:
    """Which ways down are not stable, and which rows are still to measure."""
    down = {title(row): row["growth down"] for row in rows}
    steep = [f"{name} ({times:.0f})" for name, times in down.items() if times > STEEP]
    missing = [title({"inversion": w, "refinements": r}) for w, r in WAYS[len(rows) :]]
    lines = [
        f"- Errors grow more than {STEEP} times on the way down of: {', '.join(steep) or 'none'}. "
        "Latents that were changed\n  by anything else than their own way up come back worse.\n",
        f"- Not measured yet: {', '.join(missing)}.\n" if missing else "",
    ]
    return "".join(lines)


def page(have: Bench, rows: list[dict[str, Any]]) -> str:
    """inversions.md."""
    options, card = have.options, have.saved.card
    return (
        "# Inversions measured\n\n"
        f"Written by `python benchmarks/inversions.py`: {options.faces} test faces of avatars-64 "
        f"that do not show {options.value!r},\nfrom number {options.first}, {options.steps} steps, "
        f"edited with `{options.direction}` at the strength of its card\n(t_start {card.t_start}, "
        f"t_edit {card.t_edit}, t_boost {card.t_boost}). Errors in [-1, 1]; shares in % with 95 % "
        "intervals over faces.\n\n"
        f"{table(rows)}\n"
        "- *success*, *others changed*: answers of the judge after the edit, without boosting "
        f"(t_boost 0), and with the card's {card.t_boost}.\n"
        "- *network calls* a face, and CPU seconds of one thread: inversion and reconstruction.\n"
        f"- *growth*: a random perturbation of {SMALL:g} of the whole latent, walked down, moves "
        "the image by so many times as much;\n  of the image, walked up, x_T. Rounding grows "
        f"alike. Root mean squares over {DISTURBED} faces.\n"
        f"{told_of_growth(rows)}"
        f"- One thread of a {platform.machine()} CPU, torch {torch.__version__}, float32.\n"
    )


def main(options: Options) -> None:
    """Measure what is not measured yet, and write the page."""
    options.kept.mkdir(parents=True, exist_ok=True)
    file = options.kept / "rows.json"
    settings = {k: str(v) for k, v in asdict(options).items() if k not in ("out", "kept", "most")}
    kept = json.loads(file.read_text()) if file.exists() else {}
    rows = kept["rows"] if kept.get("settings") == settings else []
    have = bench(options)
    for inversion, refinements in WAYS[len(rows) :][: options.most]:
        rows.append(measured(have, inversion, refinements))
        print(json.dumps(rows[-1]), flush=True)
        write_json(file, {"settings": settings, "rows": rows})
    print(table(rows))
    write_text(options.out, page(have, rows))


if __name__ == "__main__":
    main(tyro.cli(Options))
