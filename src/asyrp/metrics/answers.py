"""Success and leakage of an edit, from a judge's answers about every attribute of every image."""

from collections.abc import Mapping

import numpy as np

from asyrp.scorers.judge import Answers, Shown


def succeeded(after: Answers, attribute: str, wanted: int) -> np.ndarray:
    """(n,) 1 where the judge sees the wanted value, else 0."""
    return np.where(np.asarray(after[attribute]) == wanted, 1.0, 0.0)


def changed(before: Answers, after: Answers, shown: Shown) -> dict[str, np.ndarray]:
    """attribute -> (n,): 1 where the answer changed, 0 where not, NaN where it does not show."""
    return {
        name: np.where(shown[name], np.asarray(before[name]) != np.asarray(after[name]), np.nan)
        for name in shown
    }


def leaked(changes: Mapping[str, np.ndarray], *due: str) -> np.ndarray:
    """(n,) share of changed attributes but those that were due, over those that show, or NaN."""
    others = np.stack([row for name, row in changes.items() if name not in due])
    return mean_of_known(others)


def mean_of_known(rows: np.ndarray) -> np.ndarray:
    """(rows, n) -> (n,), the mean over the rows that have a value; NaN where none has."""
    counts = (~np.isnan(rows)).sum(0)
    return np.where(counts > 0, np.nansum(rows, axis=0) / np.maximum(counts, 1), np.nan)


def clean(success: np.ndarray, leaks: np.ndarray) -> np.ndarray:
    """(n,) 1 where the edit succeeded and nothing else changed: one number to choose by."""
    return np.where(np.nan_to_num(leaks) == 0, success, 0.0)


def shown_in(values: np.ndarray) -> int:
    """How many images have a value, in any of the runs; values: (n,) or (runs, n)."""
    return int((~np.isnan(np.atleast_2d(values)).all(0)).sum())
