"""What texts to keep, and a region, take off the leakage of photographs' directions.

Run: ASYRP_PHOTOGRAPHS=DIR python benchmarks/keeping.py
Each edit is trained as benchmarks/directions.py trains it, in three ways that differ only in what
holds the rest of the picture, and looked at on validation images at growing strengths until 90 %
show the value. Leakage is compared where all ways succeed as often, on lines between strengths.
It writes docs/keeping.md; what was trained and looked at before is not done again.
"""

import passive  # noqa: F401  # before torch loads

# isort: split

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro

import directions
from asyrp.domains.base import Domain, Task, guide_of, load_domain, task_of
from asyrp.experiments.equal_success import LEAST, MOST, NEAR, Trial, leakage_at
from asyrp.experiments.measure import judged
from asyrp.reporting.tables import markdown
from asyrp.runtime.cpu import set_up_torch
from asyrp.settings import Precision, TrainSettings
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder
from directions_strength import up_to_enough

WAYS = ("neither", "texts to keep", "both")


@dataclass(frozen=True)
class Options:
    """Compare what keeps the rest of a picture."""

    tasks: tuple[str, ...] = (
        "smiling", "serious", "mouth-open", "mouth-closed", "glasses", "makeup",
    )  # fmt: skip
    """Tasks of the domain."""
    domain: str = "photographs-64"
    """The domain."""
    images: int = 32
    """Validation images that lack the value."""
    dtype: Precision = "auto"
    """Precision of the networks' products."""
    out: Path = Path("build/keeping")
    """Folder for trained directions and edits, which are not made again."""
    docs: Path = Path("docs")
    """Folder of the page, and of keeping.json, which it is made of."""


def main(options: Options) -> None:
    """Do what is missing, then write the page."""
    set_up_torch()
    domain = load_domain(options.domain, dtype=options.dtype)
    kept = options.docs / "keeping.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    for name in options.tasks:
        if name not in found:
            found[name] = compared(domain, task_of(domain, name), options)
            write_json(kept, found)
    write_text(options.docs / "keeping.md", page(domain.name, found))


def training(way: str, task: Task) -> TrainSettings:
    """How a direction is trained in one of WAYS."""
    plain = replace(directions.TRAIN, lambda_keep=0.0)
    return {
        "neither": plain,
        "texts to keep": directions.TRAIN,
        "both": replace(directions.TRAIN, region=task.region),
    }[way]


def compared(domain: Domain, task: Task, options: Options) -> dict[str, Any]:
    """Each way's [strength, success, leakage], and what the reconstruction does, of one edit."""
    folder = options.out / domain.name
    plan = directions.Options(domain=domain.name, out=folder, dtype=options.dtype)
    interval, guide = directions.cached_interval(domain, task, plan), guide_of(domain, task, True)
    images = directions.scene(domain, task, "validation", options.images, interval, plan)
    back = judged(domain, task, images, images.reconstructions.float())
    told: dict[str, Any] = {
        "texts": f"{task.source} → {task.target}",
        "images": len(images.numbers),
        "back": [float(np.nanmean(back[name])) for name in ("success", "leakage")],
    }
    for way in WAYS:
        place = new_folder(folder / way.replace(" ", "-"))
        one = replace(plan, out=place, training=training(way, task))
        saved, _ = directions.trained(domain, task, guide, interval, one)
        look = partial(directions.looked, domain, task, images, saved, guide, one)
        looks = up_to_enough(map(look, one.strengths))
        told[way] = [[seen.strength, seen.success, seen.leakage] for seen in looks]
    return told


def row_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table: leakage in % where all ways succeed as often, and the share of the first.

    Where the ways have less than LEAST of success in common there is nothing to compare.
    """
    tried = {w: [Trial(*told["back"]), *(Trial(*one[1:]) for one in told[w])] for w in WAYS}
    at = min(MOST, NEAR * min(max(one)[0] for one in tried.values()))
    leaks = {way: leakage_at(one, at) for way, one in tried.items()}
    plain = leaks[WAYS[0]]
    shown = {
        way: f"{100 * leak:.1f}" + ("" if way == WAYS[0] else f" ({100 * leak / plain:.0f}%)")
        for way, leak in leaks.items()
    }
    return {
        "edit": told["texts"],
        "images": told["images"],
        "success": f"{100 * at:.0f}%",
        **(shown if at >= LEAST else dict.fromkeys(WAYS)),
    }


def page(name: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """docs/keeping.md."""
    rows: Sequence[Mapping[str, Any]] = [row_of(told) for told in found.values()]
    halved = sum(halves(told) for told in found.values())
    return ABOUT.format(name=name, halved=halved, tasks=len(found)) + "\n" + markdown(rows) + "\n"


def halves(told: Mapping[str, Any]) -> bool:
    """Whether one of the ways leaks at most half of what neither does."""
    row = row_of(told)
    shares = [row[way].rpartition("(")[2] for way in WAYS[1:] if row[way]]
    return any(int(share.rstrip("%)")) <= 50 for share in shares)


ABOUT = """# What keeps the rest of a photograph

Written by `python benchmarks/keeping.py`. Directions of {name}, trained on noised copies of 256
photographs that lack the value: with neither, with the texts of the domain's other edits to keep
(`--keep`), and with these and the region where the value shows (`--train.region`). *success* is
what all three reach; under it, the share of the judge's other attributes that change there, in %,
and of that with neither. Validation photographs; what goes with a value by the labels does not
count. It at least halves in {halved} of {tasks} edits.
"""


if __name__ == "__main__":
    main(tyro.cli(Options))
