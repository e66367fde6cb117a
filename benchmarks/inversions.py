"""Every inversion side by side on test images: what it loses, what edits become, what it costs.

Run: python benchmarks/inversions.py
On photographs-64 the images are samples of its network, or photographs (ASYRP_PHOTOGRAPHS=FOLDER).
It prints a table and writes it to --out. Stopped and run again, it goes on with the row it was at;
--most 0 writes the page of the rows that it has.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import tyro
from torch import Tensor

from asyrp.domains.base import Domain, load_domain, task_of
from asyrp.domains.shipped import load_named
from asyrp.method.cost import counted, encoder_share
from asyrp.method.direction_file import SavedDirection
from asyrp.method.editing import edit, inversion_grid, invert, riser
from asyrp.method.hspace import HSpaceUNet
from asyrp.method.inversion.choose import INVERSIONS, Name, inversion_of, top_of
from asyrp.metrics.of_image import Pictures
from asyrp.metrics.table import Scorers, Wish, per_image
from asyrp.reporting.statistics import HOW, Estimate, of_mean
from asyrp.reporting.tables import markdown, percent
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
    domains: tuple[str, ...] = ("avatars-64", "photographs-64")
    """Domains to measure on."""
    task: str = "smiling"
    """The edit: the direction of this name that ships, at the strength of its card."""
    faces: int = 24
    """Test images that do not show its value: the first of as many times four."""
    steps: int = 40
    """Length of the grid."""
    batch_size: int = 8
    """Faces at a time."""
    most: int = len(WAYS)
    """Rows to measure now, of each domain."""


class Bench(NamedTuple):
    """What every row is measured with."""

    domain: Domain
    faces: Tensor
    saved: SavedDirection
    options: Options

    @property
    def model(self) -> HSpaceUNet:
        """The domain's network."""
        return self.domain.model


def bench(name: str, options: Options) -> Bench:
    """A domain, its direction, and test images that lack the value."""
    domain = load_domain(name)
    pool = domain.images("test", 4 * options.faces)
    rows = domain.lacking(pool, task_of(domain, options.task))[: options.faces]
    saved = load_named(Path(options.task), domain.model)
    return Bench(domain, pool.x[rows], saved, options)


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
    task = task_of(have.domain, have.options.task)
    wish, scorers = Wish(task.attribute, task.value, task.follows), have.domain.scorers
    values = per_image(Pictures(have.faces, edited), Scorers(judge=scorers.judge), wish)
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


def section(have: Bench, rows: list[dict[str, Any]]) -> str:
    """One domain's part of inversions.md."""
    options, card, domain = have.options, have.saved.card, have.domain
    return (
        f"## {domain.name}\n\n"
        f"{len(have.faces)} test {domain.noun}s that lack the value of {options.task!r}, "
        f"{options.steps} steps, edited with the direction\n`{options.task}` that ships, at the "
        f"strength of its card (t_start {card.t_start}, t_edit {card.t_edit}, t_boost "
        f"{card.t_boost}).\n\n{table(rows)}\n{told_of_growth(rows)}"
    )


def page(parts: list[str]) -> str:
    """inversions.md."""
    asked = "ASYRP_PHOTOGRAPHS=DIR " if "ASYRP_PHOTOGRAPHS" in os.environ else ""
    return (
        f"# Inversions measured\n\nWritten by `{asked}python benchmarks/inversions.py`. "
        "Errors in [-1, 1]; "
        f"shares in %. Intervals: {HOW}.\n\n"
        + "\n".join(parts)
        + "\n- *success*, *others changed*: answers of the judge after the edit, without boosting "
        "(t_boost 0), and with the card's.\n"
        "- *network calls* an image, and CPU seconds of one thread: inversion and reconstruction.\n"
        f"- *growth*: a random perturbation of {SMALL:g} of the whole latent, walked down, moves "
        "the image by so many times as much;\n  of the image, walked up, x_T. Rounding grows "
        f"alike. Root mean squares over {DISTURBED} images.\n"
        f"- One thread of a {platform.machine()} CPU, torch {torch.__version__}, float32.\n"
    )


def main(options: Options) -> None:
    """Measure what is not measured yet, and write the page."""
    options.kept.mkdir(parents=True, exist_ok=True)
    left = ("out", "kept", "most", "domains")
    settings = {k: str(v) for k, v in asdict(options).items() if k not in left}
    parts = []
    for name in options.domains:
        file = options.kept / f"{name}.json"
        kept = json.loads(file.read_text()) if file.exists() else {}
        have = bench(name, options)
        settings["fingerprint"] = have.domain.fingerprint
        rows = kept["rows"] if kept.get("settings") == settings else []
        for inversion, refinements in WAYS[len(rows) :][: options.most]:
            rows.append(measured(have, inversion, refinements))
            print(json.dumps(rows[-1]), flush=True)
            write_json(file, {"settings": settings, "rows": rows})
        parts.append(section(have, rows))
    print(*parts, sep="\n")
    write_text(options.out, page(parts))


if __name__ == "__main__":
    main(tyro.cli(Options))
