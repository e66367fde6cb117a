"""How strong a direction is: one strength for most validation images, and what each image needs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asyrp.method.enough import first_enough

SHARE = 0.9  # of validation images that show the value, at the strength that is kept


class Look(NamedTuple):
    """Validation images at a strength: the guide's readings, and the judge's answers, (n,) each."""

    strength: float
    readings: Tensor
    values: Mapping[str, np.ndarray]

    @property
    def success(self) -> float:
        """Share of images."""
        return float(np.nanmean(self.values["success"]))

    @property
    def leakage(self) -> float:
        """Mean over images."""
        return float(np.nanmean(self.values["leakage"]))


def up_to_enough(looks: Iterable[Look]) -> Iterator[Look]:
    """Looks until one at which SHARE of the images show the value."""
    for look in looks:
        yield look
        if look.success >= SHARE:
            return


def strength_of(looks: Sequence[Look]) -> float:
    """The strength at which SHARE of the images show the value, on a line between two.

    Where none reaches it, that of the most; the first where that is enough.
    """
    strengths, shown = [look.strength for look in looks], [look.success for look in looks]
    after = next((i for i, share in enumerate(shown) if share >= SHARE), None)
    if not after:
        return strengths[int(np.argmax(shown)) if after is None else 0]
    part = (SHARE - shown[after - 1]) / (shown[after] - shown[after - 1])
    return round(strengths[after - 1] + part * (strengths[after] - strengths[after - 1]), 2)


def least_reading(looks: Sequence[Look], budget: float) -> float | None:
    """What the guide has to read; None where SHARE cannot be reached.

    Of readings that lead to SHARE, that of most success within the budget of leakage, else that of
    least leakage.
    """
    tried = (round(float(at), 2) for at in np.arange(-0.3, 0.4, 0.01))
    found = {at: means_at(looks, at) for at in tried}
    there = {at: means for at, means in found.items() if means[0] >= SHARE}
    within = {at: means for at, means in there.items() if means[1] <= budget}
    if within:
        return max(within, key=lambda at: (within[at][0], -within[at][1]))
    return min(there, key=lambda at: there[at][1]) if there else None


def means_at(looks: Sequence[Look], least: float) -> tuple[float, float]:
    """Success and leakage, in [0, 1], where each image takes the first strength that is enough."""
    places = first_enough(torch.stack([look.readings for look in looks]), least).tolist()
    names = ("success", "leakage")
    success, leakage = (
        float(np.nanmean([looks[k].values[name][n] for n, k in enumerate(places)]))
        for name in names
    )
    return success, leakage
