"""Gaps between subgroups: whether they are more than random groups of the same sizes have."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from asyrp.reporting.significance import of_gap

GAP_DRAWS = 5000  # enough for a small p among many gaps


class Gap(NamedTuple):
    """How far the best and the worst subgroup lie apart.

    by_chance: what random subgroups of these sizes stay below in 95 of 100 draws. p: of as large a
    gap among random subgroups, adjusted for the number of gaps (Holm 1979). spread: the gap over
    the metric's standard deviation between images.
    """

    metric: str
    attribute: str
    lowest: str
    highest: str
    gap: float
    by_chance: float
    p: float
    spread: float


def gap_between(
    metric: str, row: np.ndarray, attribute: str, members: Mapping[str, np.ndarray], seed: int
) -> Gap:
    """The gap of a metric (n,) between the members (rows) of an attribute's values."""
    parts = [row[rows] for rows in members.values()]
    means = {name: float(np.nanmean(part)) for name, part in zip(members, parts, strict=True)}
    low, high = (end(means, key=lambda name: means[name]) for end in (min, max))
    test, deviation = of_gap(parts, seed, GAP_DRAWS), float(np.nanstd(np.concatenate(parts)))
    return Gap(metric, attribute, low, high, *test, test.gap / deviation if deviation else 0.0)
