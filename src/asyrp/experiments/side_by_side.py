"""What `asyrp reproduce` found on each domain, side by side: results.md."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyrp.errors import AsyrpError
from asyrp.reporting.tables import markdown
from asyrp.storage.untrusted.texts import read_bounded

KEPT = "results.json"
Cell = Callable[[Mapping[str, Any]], str]
TITLES = {
    "methods": "Methods",
    "keeping": "What keeps the rest",
    "finders": "Finders of directions",
}
SHARES = ("success", "leakage", "clean")


def folder_name(domain: str) -> str:
    """Of the figures of a domain, which is named as its maker likes."""
    return re.sub(r"[^\w.-]+", "-", domain)


def page_name(domain: str) -> str:
    """Of the page of a domain."""
    return f"results-{folder_name(domain)}.md"


def read_domains(*folders: Path) -> list[dict[str, Any]]:
    """What every domain's run left in folders of figures, by name; of one domain the last.

    Raises:
        AsyrpError: a file that holds something else.
    """
    found = {}
    for path in (path for folder in folders for path in folder.glob(f"*/{KEPT}")):
        try:
            one = json.loads(read_bounded(path))
            missing = [key for key in ("domain", "edits", "claims") if key not in one]
            if missing or not {*one["edits"]} <= one.keys():
                raise ValueError(f"it lacks {', '.join(missing) or 'a comparison'}")
            found[one["domain"]] = one
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AsyrpError(
                f"{str(path)!r} is no result of asyrp reproduce ({error}); delete it"
            ) from error
    return [found[domain] for domain in sorted(found)]


def side_by_side(domains: Sequence[Mapping[str, Any]]) -> str:
    """The page: every claim, method and finder with a column a domain."""
    links = (f"[{one['domain']}]({page_name(one['domain'])})" for one in domains)
    parts = [
        "# Results",
        f"Written by `asyrp reproduce`, a run a domain; numbers, intervals, figures: "
        f"{', '.join(links)}.",
        "## The claims of the paper",
        markdown(_joined(domains, "claims", "claim", lambda row: str(row["here"]))),
        "*Holds* and *fails* are decided by rules that were written before the numbers, "
        "*undecided* means that the numbers allow both answers, or that measures or judges differ.",
    ]
    for kind, title in TITLES.items():
        if any(kind in one for one in domains):
            counts = "; ".join(f"{o['domain']} {o['edits'][kind]}" for o in domains if kind in o)
            parts += [f"## {title}", _MEASURED.format(counts)]
            parts += [markdown(_joined(domains, kind, "method", _shares))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _joined(
    domains: Sequence[Mapping[str, Any]], kind: str, first: str, cell: Cell
) -> list[dict[str, Any]]:
    columns = {
        one["domain"]: {row[first]: cell(row) for row in one.get(kind, ())} for one in domains
    }
    names = dict.fromkeys(name for column in columns.values() for name in column)
    return [
        {first: name, **{domain: column.get(name) for domain, column in columns.items()}}
        for name in names
    ]


def _shares(row: Mapping[str, Any]) -> str:
    return " / ".join(f"{100 * row[name]['value']:.0f}" for name in SHARES if name in row)


_MEASURED = (
    "Success / leakage / clean edits, in %, at the setting that validation images chose, means "
    "over edits ({}):"
)
