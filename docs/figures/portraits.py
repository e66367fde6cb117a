"""Draw the photographs of people that may be shown, edited by directions that ship.

All of them, each as `asyrp edit --align celeba` makes and pastes it back; nothing is chosen.
"""

import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import IMAGES, script
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from asyrp import cli
from asyrp.experiments.plots import save_figure
from asyrp.storage.alignment_note import read_alignment

PHOTOGRAPHS = {
    "astronaut": "Eileen Collins\n(NASA)",
    "biden": "Joe Biden\n(P. Souza, White House)",
    "obama": "Barack Obama\n(P. Souza, White House)",
}
DIRECTIONS = ("smiling", "serious", "mouth-open")
AROUND = 1.1  # sides of the aligned square that are shown around its middle
PIXELS = 192


def edited(direction: str, out: Path) -> Path:
    """The folder of what one direction makes of the photographs; see `asyrp edit`."""
    photos = str(IMAGES / "photographs")
    asked = ["--domain", "photographs-64", "--images", photos, "--align", "celeba"]
    with contextlib.redirect_stdout(None):
        failed = cli.main(["edit", *asked, "--direction", direction, "--out", str(out)])
    if failed:
        raise SystemExit(failed)
    return out


def head(photograph: Path, aligned: Path) -> np.ndarray:
    """A photograph around the square that was edited, (PIXELS, PIXELS, 3) uint8."""
    square = read_alignment(aligned).square
    middle, half = square.corner + (1 + 1j) * square.edge / 2, AROUND * square.side / 2
    box = (middle.real - half, middle.imag - half, middle.real + half, middle.imag + half)
    image = ImageOps.exif_transpose(Image.open(photograph)).convert("RGB")
    return np.asarray(image.crop(tuple(map(round, box))).resize((PIXELS, PIXELS)))


def main(out: Path) -> None:
    """A row a photograph: as it is, and each edit."""
    columns = ("the photograph", *DIRECTIONS)
    figure = Figure((1.5 * len(columns), 1.6 * len(PHOTOGRAPHS)), layout="constrained")
    axes = figure.subplots(len(PHOTOGRAPHS), len(columns))
    with TemporaryDirectory() as folder:
        made = [edited(name, Path(folder) / name) for name in DIRECTIONS]
        for line, name in enumerate(PHOTOGRAPHS):
            aligned = made[0] / "aligned" / f"{name}.png"
            first = IMAGES / "photographs" / f"{name}.jpg"
            paths = [first, *(one / "pasted" / f"{name}.png" for one in made)]
            for column, path in enumerate(paths):
                place = axes[line][column]
                place.imshow(head(path, aligned))
                place.set(xticks=[], yticks=[], title="" if line else columns[column])
            axes[line][0].set_ylabel(PHOTOGRAPHS[name], fontsize=7)
    save_figure(figure, out / "portraits.png")


if __name__ == "__main__":
    script(main)
