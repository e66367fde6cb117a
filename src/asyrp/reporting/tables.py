"""Tables of results: Markdown for people, CSV and JSON for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from asyrp.reporting.statistics import Estimate

Row = Mapping[str, Any]


def shown(value: Any, digits: int = 3) -> str:
    """A cell as people read it; an Estimate is its value and its interval."""
    if isinstance(value, Estimate):
        return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return "–" if value is None else str(value)


def percent(estimate: Estimate) -> str:
    """A share in % with its interval."""
    return f"{100 * estimate.value:.0f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"


def markdown(rows: Sequence[Row], digits: int = 3) -> str:
    """A GitHub table whose columns are the keys of the first row; missing cells are dashes."""
    if not rows:
        return "(nothing)\n"
    columns = list(rows[0])
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for row in rows:
        cells = [shown(row.get(column), digits).replace("|", "\\|") for column in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """CSV with an Estimate as four columns: NAME, NAME low, NAME high, NAME images."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return buffer.getvalue()


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Estimate):
            flat |= {name: value.value, f"{name} low": value.low, f"{name} high": value.high}
            flat[f"{name} images"] = value.images
        else:
            flat[name] = value
    return flat
