"""Where figures of the guides go, and the numbers behind them."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.figure import Figure

from asyrp.experiments.plots import save_figure
from asyrp.storage.files import atomic_path

IMAGES = Path(__file__).parent.parent / "images"


def write(name: str, figure: Figure, numbers: Mapping[str, Any], out: Path = IMAGES) -> None:
    """NAME.png, and beside it NAME.json with what was drawn."""
    save_figure(figure, out / f"{name}.png")
    with atomic_path(out / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(numbers, default=_rounded, indent=1) + "\n")


def _rounded(value: Any) -> Any:
    return np.asarray(value, np.float64).round(6).tolist()


def script(main: Callable[[Path], None]) -> None:
    """Run a figure's script: python docs/figures/NAME.py [--out FOLDER]."""
    tyro.cli(_options(main))


def _options(main: Callable[[Path], None]) -> Callable[..., None]:
    def draw(out: Path = IMAGES) -> None:
        main(out)

    draw.__doc__ = main.__doc__
    return draw
