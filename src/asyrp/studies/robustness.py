"""Robustness: random shifts of h keep pictures real, random shifts of eps do not (section 5.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.baselines.wrapped import epsilon_space
from asyrp.bootstrap import Estimate, of_mean, of_statistic
from asyrp.ddim import draw_noise, seeded_generators
from asyrp.figures import lines, new_figure
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import fid
from asyrp.metrics.perceptual import distances
from asyrp.process import Attribute, walk
from asyrp.studies.common import (
    Bench,
    Numbers,
    Verdict,
    as_estimate,
    confidence,
    decided,
)
from asyrp.unet import HSpaceUNet
from asyrp.world.lab import Generators, batched
from asyrp.world.scenes import Scene

SIZES: Mapping[str, Sequence[float]] = {  # of the noise, in units of the root mean square of h, eps
    "h": (0.25, 0.5, 1.0, 2.0, 4.0),
    "eps": (0.03, 0.06, 0.12, 0.24, 0.48),
}


class Noise:
    """A random direction, the same at all timesteps: size times the root mean square of h.

    z: (b, c, h', w'), one for each image of the batch.
    """

    def __init__(self, z: Tensor, size: float) -> None:
        self.z, self.size = z, size

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh, of h's shape."""
        scale = h.square().mean((1, 2, 3), keepdim=True).sqrt()
        return self.size * scale * self.z


def noisy_edit(bench: Bench, space: HSpaceUNet, scene: Scene, size: float) -> Tensor:
    """A scene with a random shift of its own a face in P_t alone, over the editing interval."""
    phases, grid = bench.first.phases, scene.grid(space.schedule.length)
    like = torch.zeros(1, *space.h_shape)

    def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
        seeds = [seeded_generators(1, 7, number)[0] for number in scene.numbers[rows]]
        noise = Noise(draw_noise(like.expand(len(x), *like.shape[1:]), seeds), size)
        act = Attribute(noise, phases.t_edit, 1.0, len(grid), phases.t_start)
        for done in walk(space, x, grid, [act], phases.t_boost, generators):
            x = done.x
        return x

    return batched(scene, editing)


def measure(bench: Bench, sizes: Mapping[str, Sequence[float]] = SIZES) -> dict[str, Any]:
    """Change of the picture, the judge's confidence and the Frechet distance over the size."""
    scene = bench.test.rows(range(bench.faces))
    spaces = {"h": bench.lab.model, "eps": epsilon_space(bench.lab.model)}
    raw = {
        name: [noisy_edit(bench, space, scene, size) for size in sizes[name]]
        for name, space in spaces.items()
    }
    real = features_of(bench.lab.features, scene.images)
    sure = confidence(bench.lab, scene.reconstructions)
    moved = {k: _moved(bench, scene, edits) for k, edits in raw.items()}
    trust = {k: np.array([confidence(bench.lab, e) for e in edits]) for k, edits in raw.items()}
    return {
        "spaces": {
            name: {
                "sizes": list(sizes[name]),
                "lpips": [of_mean(row) for row in moved[name]],
                "confidence": [of_mean(row) for row in trust[name]],
                "fid": [
                    fid(real, features_of(bench.lab.features, edits), draws=50)
                    for edits in raw[name]
                ],
            }
            for name in spaces
        },
        "confidence_of_reconstructions": of_mean(sure),
        "faces": len(scene.numbers),
        **matched(moved, trust),
    }


def _moved(bench: Bench, scene: Scene, edits: Sequence[Tensor]) -> np.ndarray:
    return np.array([distances(bench.lab.distance, scene.reconstructions, e) for e in edits])


def matched(
    moved: Mapping[str, np.ndarray], trust: Mapping[str, np.ndarray]
) -> dict[str, Estimate | float | None]:
    """Confidence in h minus eps where both move the picture equally far.

    The change looked at is the middle of what both spaces reach; both arguments are (sizes, n).
    """
    means = {name: table.mean(1) for name, table in moved.items()}
    low = max(float(m.min()) for m in means.values())
    high = min(float(m.max()) for m in means.values())
    if low >= high:
        return {"at_change": None, "difference": None}
    level = (low + high) / 2

    def statistic(rows: np.ndarray) -> float:
        found = {
            name: np.interp(level, *_ascending(moved[name][:, rows], trust[name][:, rows]))
            for name in moved
        }
        return float(found["h"] - found["eps"])

    return {"at_change": level, "difference": of_statistic(statistic, moved["h"].shape[1])}


def _ascending(moved: np.ndarray, trust: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = moved.mean(1), trust.mean(1)
    order = np.argsort(x)
    return x[order], y[order]


def plot(numbers: Numbers) -> Figure:
    """Confidence and Frechet distance over the change of the picture."""
    figure, axes = new_figure(4.6, 3.5, 2)
    for name, one in numbers["spaces"].items():
        moved = [row["value"] for row in one["lpips"]]
        for place, metric in enumerate(("confidence", "fid")):
            series = {f"noise in {name}": [as_estimate(row) for row in one[metric]]}
            lines(axes[place], moved, series, "perceptual change of the picture", metric)
    for place, label in enumerate(("the judge's confidence", "Frechet distance to faces")):
        axes[place].set_ylabel(label)
        for line, color in zip(axes[place].lines, ("#0072B2", "#D55E00"), strict=False):
            line.set_color(color)
        for band, color in zip(axes[place].collections, ("#0072B2", "#D55E00"), strict=False):
            band.set_color(color)
        axes[place].legend(fontsize=8)
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether noise in h leaves more confidence than noise in eps at the same change."""
    claim = "Random noise in h keeps pictures real, in eps it distorts them"
    if numbers["difference"] is None:
        text = "The two kinds of noise never move pictures equally far; nothing can be compared."
        return Verdict(claim, None, text)
    found = as_estimate(numbers["difference"])
    ends = {
        name: f"{one['confidence'][-1]['value']:.3f} (Frechet {one['fid'][-1]['value']:.2f})"
        for name, one in numbers["spaces"].items()
    }
    text = (
        f"At a perceptual change of {numbers['at_change']:.2f} the judge's confidence with noise "
        f"in h minus with noise in eps is {found.value:+.3f} ({found.low:+.3f} to "
        f"{found.high:+.3f}); reconstructions have "
        f"{numbers['confidence_of_reconstructions']['value']:.3f}. With the largest noise: h "
        f"{ends['h']}, eps {ends['eps']}."
    )
    return Verdict(claim, decided(found), text)
