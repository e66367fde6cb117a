"""Settings chosen on validation images, and what test images see of that choice's luck."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from asyrp.reporting.statistics import Estimate, resamples
from asyrp.reporting.tuned import Tuned, of_tuned

TUNING_DRAWS = 200  # resamples of the tuning images


class Arm(NamedTuple):
    """What is compared, at every setting that was tried.

    scores: of tuning images, (s, m). made: place of a setting -> what it does to test images, of
    all settings that resamples of the tuning images choose.
    """

    scores: np.ndarray
    made: Mapping[int, Mapping[str, np.ndarray]]

    @property
    def best(self) -> int:
        """The place of the best setting."""
        return int(self.scores.mean(1).argmax())

    @property
    def values(self) -> Mapping[str, np.ndarray]:
        """What the best setting does."""
        return self.made[self.best]

    def tuned(self, metric: str) -> Tuned:
        """A metric of test images at each setting, NaN where none chose it."""
        results = np.full((len(self.scores), len(self.values[metric])), np.nan)
        for place, values in self.made.items():
            results[place] = np.nan_to_num(values[metric])
        return Tuned(self.scores, results)


def arm_of(scores: Sequence[np.ndarray], on_test: Callable[[int], Mapping[str, np.ndarray]]) -> Arm:
    """Choose by the scores of tuning images; test images see what resamples of these choose.

    scores: of every setting, (m,). on_test: what the setting at a place does to test images.
    """
    table = np.stack(scores)
    drawn = table[:, resamples(table.shape[1], 0, TUNING_DRAWS)].mean(-1).argmax(0)
    places = sorted({int(table.mean(1).argmax()), *map(int, drawn)})
    return Arm(table, {place: on_test(place) for place in places})


def ahead(ours: Arm, theirs: Sequence[Arm], key: str) -> dict[str, Estimate]:
    """Clean edits of one arm minus the best of others, by both judges: key, key_2."""
    found = {}
    for metric, name in (("clean", key), ("clean_2", f"{key}_2")):
        others = [one.tuned(metric) for one in theirs]
        joined = Tuned(*(np.concatenate(parts) for parts in zip(*others, strict=True)))
        found[name] = of_tuned(ours.tuned(metric), joined, draws=TUNING_DRAWS)
    return found


def score(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """How good an edit is, (n,): clean; where means are equal any success, then small changes.

    Without a judge S_dir minus LPIPS: the change asked for, and little else.
    """
    if "clean" not in values:
        return np.asarray(values["s_dir"] - values["lpips"])
    clean, success, moved = (np.nan_to_num(values[k]) for k in ("clean", "success", "lpips"))
    found: np.ndarray = clean + 1e-3 * success - 1e-6 * moved
    return found
