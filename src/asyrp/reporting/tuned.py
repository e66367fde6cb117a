"""Intervals of what was tuned on some images, with the luck of that choice in them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asyrp.reporting.statistics import (
    DRAWS,
    Estimate,
    Part,
    around,
    is_answers,
    of_strata,
    part_of,
    resamples,
)


class Tuned(NamedTuple):
    """A method at each setting: scores of tuning images (s, m), results of test images (s, n)."""

    scores: np.ndarray
    results: np.ndarray

    def chosen(self, rows: np.ndarray) -> np.ndarray:
        """Results (..., n) at the setting that some tuning images (..., m) choose."""
        found: np.ndarray = self.results[self.scores[:, rows].mean(-1).argmax(0)]
        return found

    def by_weights(self, weights: np.ndarray) -> np.ndarray:
        """Results (draws, n) at the settings that weighted tuning images (draws, m) choose.

        A setting that has no results cannot be chosen.
        """
        scores = self.scores @ weights.T
        scores[np.isnan(self.results).all(1)] = -np.inf
        found: np.ndarray = self.results[scores.argmax(0)]
        return found


def of_tuned(ours: Tuned, theirs: Tuned, draws: int = DRAWS) -> Estimate:
    """Ours minus theirs on the same test images, with the luck of tuning in it.

    Tuning images are resampled, and the settings chosen anew. What their choice moves is counted
    beyond what the test images' noise makes of any two settings.
    """
    tuning, count = ours.scores.shape[1], ours.results.shape[1]
    made, drawn = (
        ours.chosen(rows) - theirs.chosen(rows)
        for rows in (np.arange(tuning), resamples(tuning, 0, draws))
    )
    noise = (drawn - drawn.mean(0)).var(1, ddof=1).mean() / count
    luck = max(0.0, float(drawn.mean(1).var(ddof=1) - noise)) * tuning / (tuning - 1)
    moves = (made - made.mean()) / count
    if is_answers(ours.results) and is_answers(theirs.results):
        moves = np.append(moves, (1 / count, -1 / count))  # as `of_difference` does
    parts = [part_of(moves), Part(luck, tuning - 1)]
    return around(float(made.mean()), parts, count)


def of_tuned_strata(
    sides: Sequence[tuple[Tuned, Tuned]],
    tuning: Sequence[Sequence[int]],
    owners: Sequence[Sequence[int]],
    draws: int = DRAWS,
    more: Sequence[Part] = (),
) -> Estimate:
    """Ours minus theirs, the mean over strata (edits), with the luck of tuning in it.

    Args:
        sides: ours and theirs of every stratum. tuning, owners: the tuning and the test images of
            every stratum; an image may stand in several, and is resampled in all of them at once.
        more: variance by other things, as training.
    """
    ids = np.unique(np.concatenate([np.asarray(one) for one in tuning]))
    rows = resamples(len(ids), 0, draws)
    counts = np.stack([np.bincount(row, minlength=len(ids)) for row in rows])
    totals, noise = np.zeros(draws), 0.0
    for (a, b), images in zip(sides, tuning, strict=True):
        weights = counts[:, np.searchsorted(ids, images)]
        moved = a.by_weights(weights) - b.by_weights(weights)
        moved = moved[:, ~np.isnan(moved).all(0)]
        totals += np.nanmean(moved, 1) / len(sides)
        apart = np.nanvar(moved - np.nanmean(moved, 0), 1).mean()
        noise += apart / moved.shape[1] / len(sides) ** 2
    luck = max(0.0, float(totals.var(ddof=1)) - noise) * len(ids) / (len(ids) - 1)
    ours, theirs = ([one.by_weights(np.ones((1, one.scores.shape[1])))[0] for one in side]
                    for side in zip(*sides, strict=True))  # fmt: skip
    return of_strata(ours, owners, theirs, [Part(luck, len(ids) - 1), *more])
