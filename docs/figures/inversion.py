"""Measure how well faces come back, over steps and refinements, on the built-in world."""

from pathlib import Path

import numpy as np
from common import script, write

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.method.editing import invert
from asyrp.networks import load_model
from asyrp.reporting.figures import COLORS, MARKS, new_figure
from asyrp.storage.images import from_uint8

STEPS, REFINEMENTS, FACES = (10, 20, 40), (0, 1, 2), 4
POOR = 0.02  # above it the commands warn


def main(out: Path) -> None:
    """Mean squared error of reconstructions, one line a number of refinements."""
    model = load_model("avatars-64")
    images = from_uint8(np.stack([draw(sample_face("validation", i)) for i in range(FACES)]))
    errors = {
        r: [invert(model, images, n, refinements=r).errors.mean().item() for n in STEPS]
        for r in REFINEMENTS
    }
    figure, (axes,) = new_figure(5.2, 3.2)
    for (r, values), color, mark in zip(errors.items(), COLORS, MARKS, strict=False):
        axes.plot(STEPS, values, color=color, marker=mark, label=f"--refinements {r}")
    axes.axhline(POOR, color="black", linestyle=":", linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="steps", ylabel="MSE in [-1, 1]")
    axes.set_xticks(STEPS, STEPS)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    write("inversion", figure, {"steps": STEPS, "faces": FACES, "mse": errors}, out)


if __name__ == "__main__":
    script(main)
