"""Draw x_t and P_t of a few faces at several timesteps, on the built-in world."""

from pathlib import Path

import numpy as np
import torch
from common import script, write
from torch import Tensor

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.method.asymmetric_process import reverse_process
from asyrp.method.editing import invert
from asyrp.method.schedule import paper_grid
from asyrp.networks import load_model
from asyrp.reporting.figures import new_figure
from asyrp.scorers.load import load_distance
from asyrp.storage.images import contact_sheet, from_uint8, to_uint8

SHOWN = (999, 841, 683, 525, 368, 210, 52)  # of the 20-step grid
FACES = (10, 16)


def states() -> dict[int, tuple[Tensor, Tensor, Tensor]]:
    """t -> x_t, P_t, and the distance of P_t to the image."""
    model, distance = load_model("avatars-64"), load_distance("st-lpips-alex")
    images = from_uint8(np.stack([draw(sample_face("test", i)) for i in FACES]))
    x = invert(model, images, steps=20, refinements=1).latents
    found = {}
    with torch.no_grad():
        for done in reverse_process(model, x, paper_grid(20)):
            found[done.t] = (x, done.x0, distance(images, done.x0))
            x = done.x
    return found


def main(out: Path) -> None:
    """Two rows a face: x_t above P_t."""
    found = states()
    rows = [
        torch.stack([found[t][part][face].clamp(-1, 1) for t in SHOWN])
        for face in range(len(FACES))
        for part in (0, 1)
    ]
    figure, (axes,) = new_figure(8, 4.6)
    axes.imshow(to_uint8(contact_sheet(rows)[None])[0])
    axes.set_xticks([34 + 68 * i for i in range(len(SHOWN))], [f"t = {t}" for t in SHOWN])
    axes.set_yticks([34 + 68 * i for i in range(len(rows))], ["x_t", "P_t"] * len(FACES))
    numbers = {"t": list(found), "distance": [one[2].mean().item() for one in found.values()]}
    write("predicted", figure, numbers, out)


if __name__ == "__main__":
    script(main)
