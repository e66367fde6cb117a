"""What an inversion loses, for every way of making its steps, beside the network calls it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asyrp.domains.avatars.avatars import draw, sample_face
from asyrp.method.cost import counted, encoder_share
from asyrp.method.ddim import Convention
from asyrp.method.editing import invert
from asyrp.method.hspace import HSpaceUNet
from asyrp.networks import load_model
from asyrp.reporting.statistics import of_mean
from asyrp.reporting.tables import Row, markdown
from asyrp.storage.images import from_uint8

WAYS: tuple[tuple[Convention, int], ...] = (
    ("source", 0),
    ("target", 0),
    ("extrapolated", 0),
    ("source", 1),
    ("target", 1),
    ("extrapolated", 1),
)


@dataclass(frozen=True)
class Inverting:
    """Test faces of the world there and back, on grids of several lengths."""

    faces: int = 8
    steps: tuple[int, ...] = (40, 20)

    def measure(self, baseline: Path) -> dict[str, Any]:
        """Reconstruction error and network calls of every way."""
        model = load_model("avatars-64")
        images = from_uint8(np.stack([draw(sample_face("test", i)) for i in range(self.faces)]))
        rows = [
            self._row(model, images, steps, *way) | {"steps": steps}
            for steps in self.steps
            for way in WAYS
        ]
        return {"faces": self.faces, "rows": rows}

    def _row(
        self,
        model: HSpaceUNet,
        images: torch.Tensor,
        steps: int,
        convention: Convention,
        refinements: int,
    ) -> dict[str, Any]:
        with counted(model) as cost:
            done = invert(model, images, steps, convention, refinements)
        calls = cost.evaluations(encoder_share(model)) / len(images) - steps  # the way back
        return {
            "convention": convention,
            "refinements": refinements,
            "calls": round(calls),
            "error": of_mean(done.errors.cpu().numpy()).as_json(),
        }


def told(part: Mapping[str, Any] | None) -> list[str]:
    """What it says on the page."""
    if part is None:
        return []
    rows: list[Row] = [
        {
            "steps": row["steps"],
            "--convention": row["convention"],
            "--refinements": row["refinements"],
            "network calls": row["calls"],
            "mean squared error": "{value:.5f} ({low:.5f} to {high:.5f})".format(**row["error"]),
        }
        for row in part["rows"]
    ]
    return [
        f"{part['faces']} test faces of avatars-64, inverted and walked back by DDIM; errors in "
        "[-1, 1] with their 95 % interval over faces.",
        markdown(rows),
    ]
