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
import torch
import tyro
from safetensors.torch import load_file
from torch import Tensor

import directions
from asyrp.domains.base import Domain, Task, guide_of, load_domain, task_of
from asyrp.experiments.equal_success import LEAST, MOST, NEAR, Trial, leakage_at
from asyrp.experiments.measure import judged
from asyrp.method.text_direction import TextDirection
from asyrp.reporting.tables import markdown
from asyrp.runtime.cpu import set_up_torch
from asyrp.settings import Precision, TrainSettings
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder
from directions_strength import up_to_enough

WAYS = ("neither", "texts to keep", "both")
TENFOLD, STRONG = "both, tenfold", (0.4, 1.0, 1.8, 3.0)  # ten times --train.lambda-keep


@dataclass(frozen=True)
class Options:
    """Compare what keeps the rest of a picture."""

    tasks: tuple[str, ...] = (
        "smiling", "serious", "mouth-open", "mouth-closed", "glasses", "makeup",
    )  # fmt: skip
    """Tasks of the domain."""
    domain: str = "photographs-64"
    """The domain."""
    tenfold: str = "smiling"
    """The task that is also trained with ten times the weight of the texts to keep."""
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
    write_text(options.docs / "keeping.md", page(domain.name, found, options.tenfold))


def training(way: str, task: Task) -> TrainSettings:
    """How a direction is trained in one of WAYS."""
    plain = replace(directions.TRAIN, lambda_keep=0.0)
    return {
        "neither": plain,
        "texts to keep": directions.TRAIN,
        "both": replace(directions.TRAIN, region=task.region),
        TENFOLD: replace(directions.TRAIN, region=task.region, lambda_keep=10.0),
    }[way]


def compared(domain: Domain, task: Task, options: Options) -> dict[str, Any]:
    """Of one edit each way's [strength, success, leakage, movement along the texts to keep].

    And success and leakage of the reconstruction, and leakage of mirrored photographs.
    """
    folder = options.out / domain.name
    plan = directions.Options(domain=domain.name, out=folder, dtype=options.dtype)
    interval, guide = directions.cached_interval(domain, task, plan), guide_of(domain, task, True)
    images = directions.scene(domain, task, "validation", options.images, interval, plan)
    back = judged(domain, task, images, images.reconstructions.float())
    mirrored = judged(domain, task, images, images.images.flip(-1))
    told: dict[str, Any] = {
        "texts": f"{task.source} → {task.target}",
        "images": len(images.numbers),
        "back": [float(np.nanmean(back[name])) for name in ("success", "leakage")],
        "mirrored": float(np.nanmean(mirrored["leakage"])),
    }
    for way in (*WAYS, TENFOLD) if task.name == options.tenfold else WAYS:
        place = new_folder(folder / way.replace(" ", "-"))
        one = replace(plan, out=place, training=training(way, task))
        saved, _ = directions.trained(domain, task, guide, interval, one)
        look = partial(directions.looked, domain, task, images, saved, guide, one)
        told[way] = []
        for seen in up_to_enough(map(look, STRONG if way == TENFOLD else one.strengths)):
            edits = load_file(one.out / f"{task.name}-{seen.strength:g}.safetensors")["x"].float()
            moved = movement(guide, images.images, edits)
            told[way].append([seen.strength, seen.success, seen.leakage, moved])
    return told


@torch.no_grad()
def movement(guide: TextDirection, x: Tensor, edits: Tensor) -> float:
    """How far edits move along the texts to keep, by the encoder that guided them: mean |K dI|."""
    features = guide.encoder.image_features
    assert guide.kept is not None
    return float(((features(edits) - features(x)) @ guide.kept.T).norm(dim=1).mean())


def row_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table: leakage in % where all ways succeed as often, and the share of the first.

    Where the ways have less than LEAST of success in common there is nothing to compare.
    """
    at = min(MOST, NEAR * min(max(one[1] for one in told[way]) for way in WAYS))
    leaks, moved = ({way: at_success(told, way, at, k) for way in WAYS} for k in (2, 3))
    plain, still = leaks[WAYS[0]], moved[WAYS[0]]
    shown = {
        way: f"{100 * leak:.1f}" + ("" if way == WAYS[0] else f" ({100 * leak / plain:.0f}%)")
        for way, leak in leaks.items()
    }
    shown |= {f"moved, {way}": f"{100 * moved[way] / still:.0f}%" for way in WAYS[1:]}
    return {
        "edit": told["texts"],
        "images": told["images"],
        "success": f"{100 * at:.0f}%",
        **(shown if at >= LEAST else dict.fromkeys(shown)),
        "mirrored": f"{100 * told['mirrored']:.1f}",
    }


def at_success(told: Mapping[str, Any], way: str, success: float, place: int) -> float:
    """A way's leakage (place 2) or movement (3) where that share of edits succeeds."""
    first = [0.0, *told["back"], 0.0]
    return leakage_at([Trial(one[1], one[place]) for one in (first, *told[way])], success)


def page(name: str, found: Mapping[str, Mapping[str, Any]], tenfold: str) -> str:
    """docs/keeping.md."""
    rows: Sequence[Mapping[str, Any]] = [row_of(told) for told in found.values()]
    halved = sum(halves(told) for told in found.values())
    about = ABOUT.format(name=name, halved=halved, tasks=len(found))
    return f"{about}\n{markdown(rows)}\n{told_of(found[tenfold])}"


def told_of(told: Mapping[str, Any]) -> str:
    """What ten times the weight does to one edit, where it succeeds as often as it then can."""
    at = NEAR * max(one[1] for one in told[TENFOLD])
    (plain, strong), (still, less) = (
        [at_success(told, way, at, place) for way in (WAYS[0], TENFOLD)] for place in (2, 3)
    )
    return (
        f"With ten times the weight (`--train.lambda-keep 10`, and the region) {told['texts']} at "
        f"{at:.0%}\nsuccess moves {less / still:.0%} as far along the texts to keep, and leaks "
        f"{strong:.1%} where neither leaks {plain:.1%}.\n"
    )


def halves(told: Mapping[str, Any]) -> bool:
    """Whether one of the ways leaks at most half of what neither does."""
    row = row_of(told)
    shares = [row[way].rpartition("(")[2] for way in WAYS[1:] if row[way]]
    return any(int(share.rstrip("%)")) <= 50 for share in shares)


ABOUT = """# What keeps the rest of a photograph

Written by `ASYRP_PHOTOGRAPHS=DIR python benchmarks/keeping.py`. Directions of {name}, trained on
noised copies of 256 photographs that lack the value: with neither, with the texts of the domain's
other edits to keep (`--keep`), and with these and the region where the value shows
(`--train.region`). *success* is what all three reach; under it, the share of the judge's other
attributes that change there, in %, and of that with neither. Validation photographs; what goes with
a value by the labels does not count. It at least halves in {halved} of {tasks} edits.

Why not in more: *moved* is how far edits go along the texts to keep, by the encoder that guided
them, in % of *neither*, where they succeed as often. The texts hold back the whole direction at a
given strength, and little of it at equal success. Weighing them more moves edits less in the eyes
of the encoder (below the table), but not of the judge, which sees other things change than the
encoder does. And its answers are not sure: *mirrored* is the share of them, in %, that changes in
mirrored photographs, whose attributes are the same.
"""


if __name__ == "__main__":
    main(tyro.cli(Options))
