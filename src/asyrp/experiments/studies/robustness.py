"""Robustness: random shifts of h keep pictures real, random shifts of eps do not (section 5.3)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from asyrp.domains.base import Domain
from asyrp.domains.inverted_images import Generators, InvertedImages, batched
from asyrp.editing_methods.other_spaces import epsilon_space
from asyrp.experiments.measure import as_saved, pictures_of
from asyrp.experiments.studies.common import (
    Numbers,
    StudyContext,
    Verdict,
    confidence,
    noun,
    ruled,
)
from asyrp.method.asymmetric_process import Attribute, ReverseStep, reverse_process
from asyrp.method.ddim import draw_noise, seeded_generators
from asyrp.method.hspace import HSpaceUNet
from asyrp.metrics.features import features_of
from asyrp.metrics.frechet import fid, fid_of
from asyrp.metrics.grain import grain
from asyrp.metrics.perceptual import distances
from asyrp.reporting.figures import lines, new_figure
from asyrp.reporting.statistics import DRAWS, Estimate, of_mean, of_statistic, resamples

SIZES: Mapping[str, Sequence[float]] = {  # of the noise, in units of the root mean square of h, eps
    "h": (0.25, 0.5, 1.0, 2.0, 4.0),
    "eps": (0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.12),
}
FID_DRAWS = 50
MEASURES = {  # of the claim -> by what name the numbers have them
    "the judge's confidence, h minus eps": "confidence",
    "Frechet distance by the judge, h minus eps": "fid",
    "grain, h minus eps": "grain",
}
TITLES = {  # and digits
    "confidence": ("the judge's confidence", 3),
    "fid": ("Frechet distance", 2),
    "grain": ("grain", 4),
}
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

    def walk(x: Tensor, rows: slice, generators: Generators) -> Iterator[ReverseStep]:
        seeds = [seeded_generators(1, 7, number)[0] for number in images.numbers[rows]]
        noise = Noise(draw_noise(like.expand(len(x), *like.shape[1:]), seeds), size)
        act = Attribute(noise, interval.t_edit, 1.0, grid.full, interval.t_start)
        return reverse_process(space, x, grid, [act], interval.t_boost, generators)

    return as_saved(context.domain, batched(images, walk))


def seeing(domain: Domain) -> Mapping[str, Callable[[Tensor], np.ndarray]]:
    """measure -> its value of each image, (n,)."""
    return {
        "confidence": lambda x: confidence(domain, x),
        "grain": lambda x: grain(pictures_of(domain.model, x)),
    }


def measure(context: StudyContext, sizes: Mapping[str, Sequence[float]] = SIZES) -> dict[str, Any]:
    """Change of the picture over the size of the noise, and how real pictures are then.

    By the judge's confidence, by Frechet distances on its features, and by grain, which is no
    network's opinion: the judge was trained with noise and hardly sees any.
    """
    domain, images = context.domain, context.test.rows(range(context.count))
    spaces = {"h": domain.model, "eps": epsilon_space(domain.model)}
    back, real = images.reconstructions, features_of(context.features, images.images)
    raw = {
        name: [noisy_edit(context, space, images, size) for size in sizes[name]]
        for name, space in spaces.items()
    }
    seen = {k: [features_of(context.features, e) for e in edits] for k, edits in raw.items()}
    every = {"lpips": lambda x: distances(domain.distance, back, x), **seeing(domain)}
    values = {
        name: {k: np.array([see(e) for e in edits]) for k, edits in raw.items()}
        for name, see in every.items()
    }
    found = {
        name: {
            "sizes": list(sizes[name]),
            **{m: [of_mean(row) for row in table[name]] for m, table in values.items()},
            "fid": [fid(real, one, draws=FID_DRAWS) for one in seen[name]],
        }
        for name in spaces
    }
    return {
        "spaces": found,
        **{f"{k}_of_reconstructions": of_mean(see(back)) for k, see in seeing(domain).items()},
        "fid_of_reconstructions": fid(real, features_of(context.features, back), draws=FID_DRAWS),
        "faces": len(images.numbers),
        **matched(values.pop("lpips"), values, real, seen),
    }


def matched(
    moved: Mapping[str, np.ndarray],
    values: Mapping[str, Mapping[str, np.ndarray]],
    real: Tensor,
    seen: Mapping[str, Sequence[Tensor]],
) -> dict[str, Estimate | float | None]:
    """Every measure in h minus eps where both move the picture equally far.

    The change looked at is the middle of what both spaces reach, interpolated between sizes.
    Resamples in which one of them does not reach it say nothing about it, and are left out;
    `unreached` is their share. Nothing is compared where they are most.

    Args:
        moved: (sizes, n) of a space. values: measure -> the same of its values. real: features of
            the faces. seen: those of each size's pictures.
    """
    level = _middle(list(moved.values()))
    unreached = _unreached(list(moved.values()), level)
    names = [f"{name}_difference" for name in (*values, "fid")]
    if unreached > 0.5:
        return {"at_change": None, **dict.fromkeys(names)}

    def ahead(rows: np.ndarray, of_rows: Callable[[str], Sequence[float] | np.ndarray]) -> float:
        h, eps = (_at_level(moved[k][:, rows].mean(1), of_rows(k), level) for k in ("h", "eps"))
        return h - eps

    def of_mean_of(table: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], float]:
        return lambda rows: ahead(rows, lambda name: table[name][:, rows].mean(1))

    def farther(rows: np.ndarray) -> float:
        chosen = torch.as_tensor(rows)
        return ahead(rows, lambda k: [fid_of(real[chosen], one[chosen]) for one in seen[k]])

    count = moved["h"].shape[1]
    found = [of_statistic(of_mean_of(table), count) for table in values.values()]
    found.append(of_statistic(farther, count, draws=FID_DRAWS))
    return {"at_change": level, "unreached": unreached, **dict(zip(names, found, strict=True))}


def _at_level(change: np.ndarray, values: Sequence[float] | np.ndarray, level: float) -> float:
    """A value at a change of the picture, between sizes; NaN where these do not reach it."""
    order = np.argsort(change)
    known = np.asarray(values)[order]
    return float(np.interp(level, change[order], known, left=np.nan, right=np.nan))


def _middle(moved: Sequence[np.ndarray]) -> float:
    """The middle of the changes that every space reaches; of the gap where there is none."""
    means = [table.mean(1) for table in moved]
    return float(max(m.min() for m in means) + min(m.max() for m in means)) / 2


def _unreached(moved: Sequence[np.ndarray], level: float) -> float:
    """Share of resamples in which not every space's sizes reach from below the level above it."""
    rows = resamples(moved[0].shape[1], 0, DRAWS)
    reached = np.ones(len(rows), bool)
    for table in moved:
        change = table[:, rows].mean(2)
        reached &= (change.min(0) <= level) & (level <= change.max(0))
    return float(1 - reached.mean())


def plot(numbers: Numbers) -> Figure:
    """Confidence, Frechet distance and grain over the change of the picture."""
    figure, axes = new_figure(4.6, 3.5, 3)
    far = f"Frechet distance to {noun(numbers)}s"
    labels = {"confidence": "the judge's confidence", "fid": far, "grain": "grain"}
    for place, (metric, label) in enumerate(labels.items()):
        for row, (name, one) in enumerate(numbers["spaces"].items()):
            moved, series = [e.value for e in one["lpips"]], {f"noise in {name}": one[metric]}
            xlabel = "perceptual change of the picture"
            lines(axes[place], moved, series, xlabel, label, first=row)
        if numbers["at_change"] is not None:
            axes[place].axvline(numbers["at_change"], color="#555555", linestyle=":", linewidth=1)
        axes[place].legend(fontsize=8)
    for scaled in axes[1:]:
        scaled.set_yscale("log")
    return figure


def verdict(numbers: Numbers) -> Verdict:
    """Whether noise in h leaves pictures more real than noise in eps at the same change.

    Judged by confidence, Frechet distance and grain; undecided where they do not agree, or where
    many resamples of the faces do not reach that change with both.
    """
    if numbers["confidence_difference"] is None:
        text = (
            "The two kinds of noise do not move pictures equally far, or only on some choices of "
            f"the {noun(numbers)}s; nothing can be compared."
        )
        return ruled("robustness", dict.fromkeys(MEASURES), text)
    reached = numbers["unreached"] <= MOST_LOST
    measures = {
        measure: numbers[f"{key}_difference"] if reached else None
        for measure, key in MEASURES.items()
    }
    found = ruled("robustness", measures, _text(numbers))
    return found._replace(why=_why(numbers))


def _text(numbers: Numbers) -> str:
    told = []
    for name, (title, digits) in TITLES.items():
        ahead, own = (numbers[f"{name}_{k}"] for k in ("difference", "of_reconstructions"))
        low, value, high = (f"{one:+.{digits}f}" for one in (ahead.low, ahead.value, ahead.high))
        told.append(f"{title} {value} ({low} to {high}; reconstructions: {own.value:.{digits}f})")
    text = (
        f"At a perceptual change of {numbers['at_change']:.2f}, noise in h minus noise in eps: "
        f"{', '.join(told)}."
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
        pairs = zip(one["lpips"], one["sizes"], strict=True)
        told.append(f"in {name} {', '.join(f'{m.value:.2f} at {s:g}' for m, s in pairs)}")
    return (
        "What differs is how the change grows with the size of the noise (in root mean squares): "
        f"{'; '.join(told)}."
    )
