"""The scale of every measure: no edit, a perfect edit and a wrong edit, measured as edits are.

A measure that does not see the perfect edit as the best of the three rewards something else (no
change, most often), and is told beside the scores rather than as one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asyrp.reporting.statistics import Estimate
from asyrp.reporting.tables import markdown

NO_EDIT, PERFECT, WRONG = LINES = ("no edit", "a perfect edit", "a wrong edit")
Table = Mapping[str, Mapping[str, Estimate]]
"""A row's name -> metric -> estimate."""

BETTER: Mapping[str, int] = {  # 1: the higher the better, -1: the lower
    "s_dir": 1,
    "success": 1,
    "leakage": -1,
    "leakage_beyond": -1,
    "clean": 1,
    "lpips": -1,
    "sc": 1,
    "identity": 1,
    "fid": -1,
    "kid": -1,
    "way": 1,
}


def scores(lines: Table) -> tuple[str, ...]:
    """The metrics by which the perfect edit is better than both others; ties count against it."""
    return tuple(
        metric
        for metric, sign in BETTER.items()
        if all(metric in lines[name] for name in LINES)
        and sign * lines[PERFECT][metric].value
        > max(sign * lines[name][metric].value for name in (NO_EDIT, WRONG))
    )


def calibrated(rows: Table, lines: Table, first: str = "method") -> str:
    """Methods above the three lines: the scores as a table, and what is no score as another.

    Args:
        rows: of the methods. lines: of LINES. first: the title of the first column.
    """
    known = [m for m in BETTER if any(m in row for row in rows.values())]
    kept = [metric for metric in known if metric in scores(lines)]
    others = [metric for metric in known if metric not in kept]
    parts = [_rows(rows, lines, kept, first)] if kept else []
    if others:
        named = ", ".join(others)
        parts += [f"No scores, since a perfect edit is not the best by them ({named}):"]
        parts += [_rows(rows, lines, others, first)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _rows(rows: Table, lines: Table, metrics: Sequence[str], first: str) -> str:
    every: list[dict[str, Any]] = [
        {first: name, **{metric: row.get(metric) for metric in metrics}}
        for name, row in (*rows.items(), *((name, lines[name]) for name in LINES))
    ]
    return markdown(every)
