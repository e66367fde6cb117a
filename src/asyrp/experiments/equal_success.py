"""Leakage at equal success: each method at the strength at which all of them succeed as often."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from asyrp.domains.base import Task
from asyrp.editing_methods.catalogue import method_of
from asyrp.experiments.compare_table import REFERENCE, Cells

MOST = 0.9  # success at which leakage is compared, where all methods reach it
NEAR = 0.98  # of the best of the weakest method, where they do not
LEAST = 0.2  # below it there is nothing to compare


class Trial(NamedTuple):
    """Success and leakage of images at a setting."""

    success: float
    leakage: float


def equal_success_rows(
    cells: Cells, methods: Sequence[str], tasks: Sequence[Task]
) -> list[dict[str, Any]]:
    """A row a task, a column a method: leakage in %, and the share of plain f_t's in brackets."""
    rows = []
    for task in tasks:
        tried = {method: trials(cells[method, task.name]) for method in methods}
        at = min(MOST, NEAR * min(max(one)[0] for one in tried.values()))
        leaks = {m: leakage_at(one, at) if at >= LEAST else None for m, one in tried.items()}
        plain = leaks[REFERENCE]
        rows.append(
            {
                "edit": task.target,
                "images": len(cells[REFERENCE, task.name]["tuned_on"]),
                "success, %": f"{100 * at:.0f}",
                **{method_of(m).title: _share(leak, plain) for m, leak in leaks.items()},
            }
        )
    return rows


def trials(cell: Mapping[str, Any]) -> list[Trial]:
    """What the reconstruction does, and a cell's settings, in the order that they were tried in."""
    names = ("success_before", "leakage_reconstruction")
    back = (float(np.nanmean(np.array(cell["values"][name], np.float64))) for name in names)
    return [Trial(*back), *(Trial(one["success"], one["leakage"]) for one in cell["trials"])]


def leakage_at(tried: Sequence[Trial], success: float) -> float:
    """Leakage where success first comes to a share that it reaches, on a line between settings.

    tried: no edit first.
    """
    for low, high in pairwise([tried[0], *tried]):
        if high.success >= success:
            rise = high.success - low.success
            part = (success - low.success) / rise if rise > 0 else 0.0
            return low.leakage + part * (high.leakage - low.leakage)
    return tried[-1].leakage


def _share(leak: float | None, plain: float | None) -> str | None:
    if leak is None:
        return None
    of_plain = f" ({100 * leak / plain:.0f} %)" if plain else ""
    return f"{100 * leak:.1f}{of_plain}"
