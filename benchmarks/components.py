"""Principal components of h with their names, as a page: what `asyrp find --by pca` found.

Run: asyrp find --by pca --domain photographs-64 --random 128 --components 10 --t-start 500
--t-edit 100 --t-boost 0 --noun face --dtype auto --out build/components
and then python benchmarks/components.py
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure
from PIL import Image

from asyrp.experiments.plots import save_figure
from asyrp.reporting.tables import markdown
from asyrp.storage.json_files import write_text

COLUMNS = 2  # of sheets


@dataclass(frozen=True)
class Options:
    """Write docs/components.md."""

    found: Path = Path("build/components")
    """Folder that asyrp find wrote."""
    docs: Path = Path("docs")
    """Folder of the page and its picture."""


def main(options: Options) -> None:
    """Write the page and its picture."""
    told = json.loads((options.found / "find.json").read_text())
    names = sorted(told["directions"], key=lambda name: int(name.rpartition("-")[2]))
    rows = [row(name, told["directions"][name]) for name in names]
    save_figure(sheets(options.found, names), options.docs / "images" / "components.png")
    write_text(options.docs / "components.md", page(told, rows))


def row(name: str, card: Mapping[str, Any]) -> dict[str, Any]:
    """A component: its share of the variance, and its ends."""
    training = card["training"]
    ends = {f"{sign} end": end(training["name"][sign]) for sign in ("plus", "minus")}
    return {
        "component": name,
        "variance, %": f"{100 * training['explains']['variance']:.1f}",
        **ends,
    }


def end(near: Sequence[Mapping[str, Any]]) -> str:
    """The nearest text, those that tie with it, or that there is none."""
    if not near:
        return "no name"
    first, *others = near
    cosine = f"{first['cosine']:.2f} [{first['low']:.2f}, {first['high']:.2f}]"
    if first["low"] <= 0:
        return f"no name: nearest {first['text']}, {cosine}"
    ties = [one["text"] for one in others if one["tie"]]
    return f"{first['text']}, {cosine}" + (f"; tied: {', '.join(ties)}" if ties else "")


def sheets(folder: Path, names: Sequence[str]) -> Figure:
    """Every component's sheet, each under its name."""
    lines = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(2.9 * COLUMNS, 2.5 * lines), layout="constrained")
    for place, name in enumerate(names):
        axes = figure.add_subplot(lines, COLUMNS, place + 1)
        axes.imshow(np.asarray(Image.open(folder / f"{name}.png")), interpolation="nearest")
        axes.set(xticks=[], yticks=[], title=name)
        axes.spines[:].set_visible(False)
    return figure


def page(told: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """components.md."""
    options = told["options"]
    named = sum("no name" not in one["plus end"] + one["minus end"] for one in rows)
    count = next(iter(told["directions"].values()))["training"]["name"]["images"]
    return (
        "# Principal components with names\n\n"
        "Written by `python benchmarks/components.py` from what `asyrp find --by pca` found on "
        f"{options['random']} samples of\n{options['network']['domain']}, timesteps "
        f"{options['t_start']} to {options['t_edit']}, without labels. Both ends of a component "
        "have the text\nthat the movement of the encoder's image features is nearest to, its "
        f"cosine with a 95 % interval over {count} images, and\ntexts that cannot be told from "
        f"it. {named} of {len(rows)} have a name at both ends; where an interval reaches 0, an end "
        "has\nnone. All of them are here, in the order of their variance.\n\n"
        f"{markdown(rows)}\n![Components](images/components.png)\n\n"
        "*Four samples a component, from minus to plus; the middle is unedited. To the eye the "
        "first two turn the head and\nits light, the next two open and close a smile; what the "
        "later ones do hardly shows, whatever the encoder says.*\n"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
