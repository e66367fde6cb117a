"""The scale of every measure: no edit, a perfect edit and a wrong edit, measured as edits are.

A measure that does not see the perfect edit as the best of the three rewards something else (no
change, most often), and is told beside the scores rather than as one.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from asyrp.metrics.of_image import Pictures
from asyrp.metrics.table import Scorers, Wish, features_in, of_sets, over_runs, summarised
from asyrp.reporting.statistics import Estimate
from asyrp.reporting.tables import markdown, percent

NO_EDIT, PERFECT, WRONG = LINES = ("no edit", "a perfect edit", "a wrong edit")
Table = Mapping[str, Mapping[str, Estimate]]
"""A row's name -> metric -> estimate."""

BETTER: Mapping[str, int] = {  # 1: the higher the better, -1: the lower
    "s_dir": 1,
    "success": 1,
    "success_2": 1,
    "leakage": -1,
    "leakage_beyond": -1,
    "clean": 1,
    "clean_2": 1,
    "lpips": -1,
    "sc": 1,
    "identity": 1,
    "fid": -1,
    "kid": -1,
}


def scores(lines: Table) -> tuple[str, ...]:
    """The metrics by which the perfect edit is better than both others; ties count against it."""
    return tuple(
        metric
        for metric, sign in BETTER.items()
        if all(metric in lines.get(name, {}) for name in LINES)
        and sign * lines[PERFECT][metric].value
        > max(sign * lines[name][metric].value for name in (NO_EDIT, WRONG))
    )


def measured_lines(
    first: Pictures, lines: Mapping[str, Tensor], scorers: Scorers, wish: Wish | None, seed: int
) -> dict[str, dict[str, Estimate]]:
    """What no edit of a run's sources is measured as, and whichever lines there are edits for."""
    found, alone = {}, scorers._replace(spread=None)
    for line, edits in {NO_EDIT: first.sources, **lines}.items():
        runs = [first._replace(edits=edits)]
        values = summarised(over_runs(runs, scorers, wish), seed)
        found[line] = values | of_sets(runs, alone, features_in(runs, scorers), seed)
    return found


def calibrated(
    rows: Table,
    lines: Table,
    first: str = "method",
    titles: Mapping[str, str] | None = None,
    shares: Collection[str] = (),
) -> str:
    """Methods above the three lines: the scores as a table, and what is no score as another.

    A metric that some line lacks is told as it is.

    Args:
        rows: of the methods. lines: of LINES.
        first: the title of the first column. titles: of metrics, where they have others than their
            names. shares: metrics that are told in %.
    """
    every = dict.fromkeys(metric for row in rows.values() for metric in row)
    known = sorted(every, key=[*BETTER, *every].index)
    scaled = [one for one in known if all(one in lines.get(name, {}) for name in LINES)]
    others = [metric for metric in scaled if metric not in scores(lines)]
    kept = [metric for metric in known if metric not in others]

    def table(metrics: Sequence[str]) -> str:
        every: list[dict[str, Any]] = []
        scale = ((name, lines[name]) for name in LINES if name in lines)
        for name, row in (*rows.items(), *scale):
            told = {m: percent(row[m]) if m in shares and m in row else row.get(m) for m in metrics}
            every.append({first: name, **{(titles or {}).get(m, m): told[m] for m in metrics}})
        return markdown(every).strip()

    parts = [table(kept)] if kept else []
    if others:
        named = ", ".join(others)
        parts += [f"No scores, since a perfect edit is not the best by them ({named}):"]
        parts += [table(others)]
    return "\n\n".join(parts) + "\n"
