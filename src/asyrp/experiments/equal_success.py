"""Leakage at equal success: each method at the strength at which all of them succeed as often."""

from collections.abc import Mapping, Sequence
from typing import Any

from asyrp.domains.base import Task
from asyrp.editing_methods.catalogue import method_of
from asyrp.experiments.compare_table import REFERENCE, Cells

MOST = 0.9  # success at which leakage is compared, where all methods reach it
NEAR = 0.98  # of the best of the weakest method, where they do not

Trial = tuple[float, float]
"""Success and leakage of validation images at a setting."""


def equal_success_rows(
    cells: Cells, methods: Sequence[str], tasks: Sequence[Task]
) -> list[dict[str, Any]]:
    """A row a task, a column a method: leakage in %, and the share of plain f_t's in brackets."""
    rows = []
    for task in tasks:
        tried = {method: trials(cells[method, task.name]) for method in methods}
        at = min(MOST, NEAR * min(max(one)[0] for one in tried.values()))
        leaks = {method: leakage_at(one, at) for method, one in tried.items()}
        plain = leaks[REFERENCE]
        rows.append(
            {
                "edit": task.target,
                "success, %": f"{100 * at:.0f}",
                **{method_of(m).title: _share(leak, plain) for m, leak in leaks.items()},
            }
        )
    return rows


def trials(cell: Mapping[str, Any]) -> list[Trial]:
    """What a cell's settings did to validation images, in the order that they were tried in."""
    return [(one["success"], one["leakage"]) for one in cell["trials"]]


def leakage_at(tried: Sequence[Trial], success: float) -> float:
    """Leakage where success first comes to a share that it reaches, on a line between settings."""
    low = (0.0, 0.0)
    for high in tried:
        if high[0] >= success:
            part = (success - low[0]) / (high[0] - low[0]) if high[0] > low[0] else 0.0
            return low[1] + part * (high[1] - low[1])
        low = high
    return low[1]


def _share(leak: float, plain: float) -> str:
    of_plain = f" ({100 * leak / plain:.0f} %)" if plain else ""
    return f"{100 * leak:.1f}{of_plain}"
