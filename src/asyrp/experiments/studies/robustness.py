"""Robustness: random shifts of h keep pictures real, random shifts of eps do not (section 5.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.domains.inverted_images import Generators, InvertedImages, batched
from asyrp.editing_methods.other_spaces import epsilon_space
from asyrp.experiments.studies.common import (
    Numbers,
    StudyContext,
    Verdict,
    as_estimate,
    as_saved,
    confidence,
    decided,
    noun,
)
from asyrp.method.asymmetric_process import Attribute, reverse_process
from asyrp.method.ddim import draw_noise, seeded_generators
from asyrp.method.hspace import HSpaceUNet
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import fid, new_fid
from asyrp.metrics.perceptual import distances
from asyrp.reporting.bootstrap import DRAWS, Estimate, of_mean, of_statistic, resamples
from asyrp.reporting.figures import lines, new_figure

SIZES: Mapping[str, Sequence[float]] = {  # of the noise, in units of the root mean square of h, eps
    "h": (0.25, 0.5, 1.0, 2.0, 4.0),
    "eps": (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.12),
}
FID_DRAWS = 50
MOST_LOST = 0.05  # of resamples in which a space does not reach the change that is looked at


class Noise:
    """A random direction, the same at all timesteps: size times the root mean square of h.

    z: (b, c, h', w'), one for each image of the batch; h may have b rows for each half of a guided
    network.
    """

    def __init__(self, z: Tensor, size: float) -> None:
        self.z, self.size = z, size

    def __call__(self, h: Tensor, emb: Tensor, t: int) -> Tensor:
        """dh, of h's shape."""
        scale = h.square().mean((1, 2, 3), keepdim=True).sqrt()
        z = self.z.to(h).repeat(len(h) // len(self.z), 1, 1, 1)
        return self.size * scale * z


def noisy_edit(
    context: StudyContext, space: HSpaceUNet, images: InvertedImages, size: float
) -> Tensor:
    """Images with a random shift of its own each in P_t alone, over the editing interval.

    Clipped as a file would be: x_0 leaves [-1, 1] far behind with large noise.
    """
    interval, grid = context.first.interval, images.grid(space.schedule.length)
    like = torch.zeros(1, *space.h_shape, device=images.latents.device)

    def editing(x: Tensor, rows: slice, generators: Generators) -> Tensor:
        seeds = [seeded_generators(1, 7, number)[0] for number in images.numbers[rows]]
        noise = Noise(draw_noise(like.expand(len(x), *like.shape[1:]), seeds), size)
        act = Attribute(noise, interval.t_edit, 1.0, grid.full, interval.t_start)
        for done in reverse_process(space, x, grid, [act], interval.t_boost, generators):
            x = done.x
        return x

    return as_saved(context.domain, batched(images, editing))


def measure(context: StudyContext, sizes: Mapping[str, Sequence[float]] = SIZES) -> dict[str, Any]:
    """Change of the picture, the judge's confidence and the Frechet distance over the size."""
    images, domain = context.test.rows(range(context.count)), context.domain
    spaces = {"h": domain.model, "eps": epsilon_space(domain.model)}
    raw = {
        name: [noisy_edit(context, space, images, size) for size in sizes[name]]
        for name, space in spaces.items()
    }
    real = features_of(context.features, images.images)
    seen = {k: [features_of(context.features, e) for e in edits] for k, edits in raw.items()}
    moved = {k: _moved(context, images, edits) for k, edits in raw.items()}
    trust = {k: np.array([confidence(domain, e) for e in edits]) for k, edits in raw.items()}
    return {
        "spaces": {
            name: {
                "sizes": list(sizes[name]),
                "lpips": [of_mean(row) for row in moved[name]],
                "confidence": [of_mean(row) for row in trust[name]],
                "fid": [fid(real, features, draws=FID_DRAWS) for features in seen[name]],
            }
            for name in spaces
        },
        "confidence_of_reconstructions": of_mean(confidence(domain, images.reconstructions)),
        "fid_of_reconstructions": fid(
            real, features_of(context.features, images.reconstructions), draws=FID_DRAWS
        ),
        "faces": len(images.numbers),
        **matched(moved, trust, real, seen),
    }


def _moved(context: StudyContext, images: InvertedImages, edits: Sequence[Tensor]) -> np.ndarray:
    return np.array([distances(context.domain.distance, images.reconstructions, e) for e in edits])


def matched(
    moved: Mapping[str, np.ndarray],
    trust: Mapping[str, np.ndarray],
    real: Tensor,
    seen: Mapping[str, Sequence[Tensor]],
) -> dict[str, Estimate | float | None]:
    """Confidence and Frechet distance in h minus eps where both move the picture equally far.

    The change looked at is the middle of what both spaces reach, interpolated between sizes.
    Resamples in which one of them does not reach it say nothing about it, and are left out;
    `unreached` is their share. Nothing is compared where they are most.

    Args:
        moved, trust: (sizes, n). real: features of the faces. seen: those of each size's pictures.
    """
    level, frechet = _middle(list(moved.values())), new_fid(real.shape[1])
    unreached = _unreached(list(moved.values()), level)
    if unreached > 0.5:
        return {"at_change": None, "difference": None, "fid_difference": None}

    def at_level(name: str, rows: np.ndarray, values: Sequence[float]) -> float:
        change = moved[name][:, rows].mean(1)
        order = np.argsort(change)
        known = np.asarray(values)[order]
        return float(np.interp(level, change[order], known, left=np.nan, right=np.nan))

    def surer(rows: np.ndarray) -> float:
        found = {name: at_level(name, rows, t[:, rows].mean(1)) for name, t in trust.items()}
        return found["h"] - found["eps"]

    def farther(rows: np.ndarray) -> float:
        chosen = torch.as_tensor(rows)
        found = {
            name: at_level(name, rows, [frechet(real[chosen], one[chosen]) for one in every])
            for name, every in seen.items()
        }
        return found["h"] - found["eps"]

    count = moved["h"].shape[1]
    return {
        "at_change": level,
        "unreached": unreached,
        "difference": of_statistic(surer, count),
        "fid_difference": of_statistic(farther, count, draws=FID_DRAWS),
    }


def _middle(moved: Sequence[np.ndarray]) -> float:
    """The middle of the changes that every space reaches; of the gap where there is none."""
    means = [table.mean(1) for table in moved]
    return float(max(m.min() for m in means) + min(m.max() for m in means)) / 2


def _unreached(moved: Sequence[np.ndarray], level: float) -> float:
    """Share of the resamples in which not every space's sizes reach from below the level above it.

    Args:
        moved: of each space, (sizes, n).
    """
    rows = resamples(moved[0].shape[1], 0, DRAWS)
    reached = np.ones(len(rows), bool)
    for table in moved:
        change = table[:, rows].mean(2)
        reached &= (change.min(0) <= level) & (level <= change.max(0))
    return float(1 - reached.mean())


def plot(numbers: Numbers) -> Figure:
    """Confidence and Frechet distance over the change of the picture."""
    figure, axes = new_figure(4.6, 3.5, 2)
    far = f"Frechet distance to {noun(numbers)}s"
    labels = {"confidence": "the judge's confidence", "fid": far}
    for place, (metric, label) in enumerate(labels.items()):
        for row, (name, one) in enumerate(numbers["spaces"].items()):
            moved = [change["value"] for change in one["lpips"]]
            series = {f"noise in {name}": [as_estimate(value) for value in one[metric]]}
            xlabel = "perceptual change of the picture"
            lines(axes[place], moved, series, xlabel, label, first=row)
        if numbers["at_change"] is not None:
            axes[place].axvline(numbers["at_change"], color="#555555", linestyle=":", linewidth=1)
        axes[place].legend(fontsize=8)
    axes[1].set_yscale("log")
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether noise in h leaves pictures more real than noise in eps at the same change.

    Judged by confidence and by Frechet distance; undecided where the two do not agree, or where
    many resamples of the faces do not reach that change with both.
    """
    claim = "Random noise in h keeps pictures real, in eps it distorts them"
    if numbers["difference"] is None:
        text = (
            "The two kinds of noise do not move pictures equally far, or only on some choices of "
            f"the {noun(numbers)}s; nothing can be compared."
        )
        return Verdict(claim, None, text)
    surer, farther = (as_estimate(numbers[k]) for k in ("difference", "fid_difference"))
    votes = {decided(surer), None if (d := decided(farther)) is None else not d}
    holds = votes.pop() if len(votes) == 1 and numbers["unreached"] <= MOST_LOST else None
    return Verdict(claim, holds, _text(numbers), "" if holds else _why(numbers))


def _text(numbers: Numbers) -> str:
    surer, farther = (as_estimate(numbers[k]) for k in ("difference", "fid_difference"))
    own = [numbers[f"{name}_of_reconstructions"]["value"] for name in ("confidence", "fid")]
    text = (
        f"At a perceptual change of {numbers['at_change']:.2f}, with noise in h the judge's "
        f"confidence is {surer.value:+.3f} ({surer.low:+.3f} to {surer.high:+.3f}) and the Frechet "
        f"distance {farther.value:+.2f} ({farther.low:+.2f} to {farther.high:+.2f}) from what it "
        f"is with noise in eps; reconstructions have {own[0]:.3f} and {own[1]:.2f}."
    )
    if lost := numbers["unreached"]:
        text += (
            f" In {100 * lost:.1f} % of the resamples one kind of noise does not reach that "
            f"change; these are left out{' and are too many' if lost > MOST_LOST else ''}."
        )
    return text


def _why(numbers: Numbers) -> str:
    told = []
    for name, one in numbers["spaces"].items():
        sizes, moved = one["sizes"], [change["value"] for change in one["lpips"]]
        steps = ", ".join(f"{m:.2f} at {s:g}" for s, m in zip(sizes, moved, strict=True))
        told.append(f"in {name} {steps}")
    return (
        "What differs is how the change grows with the size of the noise (in root mean squares): "
        f"{'; '.join(told)}."
    )
