"""What the comparison says, in words that its numbers choose."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asyrp.domains.tasks import TASKS
from asyrp.editing_methods.trained import RIVALS
from asyrp.experiments.compare_table import REFERENCE, Back, Cells, gain, groups_of, leaks, pooled
from asyrp.reporting.bootstrap import Estimate
from asyrp.reporting.tables import percent, shown

REACHED = 0.5  # success of an unseen edit that counts as having reached it
LEAKING = 5  # percentage points above the reconstruction that are told
Reached = Mapping[str, Mapping[str, Any]]
"""task -> the result of its `Reach`."""
Ways = Mapping[tuple[str, str], Estimate]
"""(rival, task) -> share of the way to the rendered answer, over the faces of the strip."""


class Claim(NamedTuple):
    """A claim of the paper about the comparison; holds: None where the numbers do not decide."""

    name: str
    claim: str
    holds: bool | None


def claims(cells: Cells, rivals: Sequence[str], tasks: Sequence[str]) -> list[Claim]:
    """Whether f_t makes more clean edits than each rival, and whether it reaches unseen domains."""
    if REFERENCE not in rivals:
        return []
    found = [
        Claim(
            "compare",
            f"f_t makes more clean edits than {RIVALS[rival].title}",
            _sign(gain(cells, rival, tasks, "clean")),
        )
        for rival in rivals
        if rival != REFERENCE
    ]
    unseen = groups_of(tasks).get("unseen", [])
    if unseen:
        reached = pooled(cells, REFERENCE, unseen, "success")
        above = reached._replace(low=reached.low - REACHED, high=reached.high - REACHED)
        text = "f_t reaches domains that the network never saw (in half of the edits or more)"
        found.append(Claim("compare", text, _sign(above)))
    return found


def _sign(found: Estimate) -> bool | None:
    return None if found.low <= 0 <= found.high else found.low > 0


def summary(cells: Cells, rivals: Sequence[str], tasks: Sequence[str]) -> str:
    """Where f_t stands by clean edits."""
    if REFERENCE not in rivals:
        return ""
    words: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for rival in rivals:
        if rival != REFERENCE:
            words[_sign(gain(cells, rival, tasks, "clean"))].append(RIVALS[rival].title)
    clean = percent(pooled(cells, REFERENCE, tasks, "clean"))
    told = {True: "more than", False: "fewer than", None: "not distinguishable from"}
    parts = [f"{told[sign]} {', '.join(names)}" for sign, names in words.items() if names]
    return f"Clean edits of f_t: {clean} %; {'; '.join(parts)}."


def leaking(cells: Cells, tasks: Sequence[str], back: Back) -> str:
    """Which attributes f_t changes besides, beyond what the reconstruction does."""
    rows = [cells[REFERENCE, task]["changed"] for task in tasks]
    table, factors = leaks([*rows, back])
    beyond = table[:-1] - np.nan_to_num(table[-1])
    order = np.argsort(-np.nan_to_num(beyond, nan=-1e9), axis=None)
    told = []
    for place in order[:5]:
        i, j = np.unravel_index(place, beyond.shape)
        if beyond[i, j] >= LEAKING:
            told.append(f"{factors[j]} by {TASKS[tasks[i]].target!r} ({table[i, j]:.0f} %)")
    if not told:
        return f"f_t changes no attribute {LEAKING} percentage points beyond the reconstruction."
    return f"What f_t changes besides, most first: {', '.join(told)}."


def reach_rows(reached: Reached) -> list[dict[str, Any]]:
    """A row for each colour and strength of f_t."""
    rows: list[dict[str, Any]] = []
    for task, one in reached.items():
        name = f"{TASKS[task].target}{' (unseen)' if TASKS[task].unseen else ''}"
        for row in one["rows"]:
            known = {key: Estimate(**row[key]) for key in ("way", *SEEN) if key in row}
            rows.append(
                {
                    "edit": name,
                    "strength": f"{row['strength']:g}",
                    "share of the way, %": percent(known["way"]),
                    "S_dir": known.get("s_dir"),
                    "LPIPS": known.get("lpips"),
                    "success, %": percent(known["success"]) if "success" in known else None,
                    "mean colour": named(row["colour"]),
                }
            )
        answer = named(one["answer"])
        rows.append({"edit": name, "strength": "the answer", "mean colour": answer})
    return rows


SEEN = ("s_dir", "lpips", "success")


def named(colour: Sequence[int]) -> str:
    """(255, 0, 16) -> '#FF0010'."""
    return "#" + "".join(f"{level:02X}" for level in colour)


def unseen(cells: Cells, rivals: Sequence[str], tasks: Sequence[str], ways: Ways) -> str:
    """Who got how far into unseen domains."""
    apart = groups_of(tasks).get("unseen", [])
    parts = []
    for task in apart:
        best = max(rivals, key=lambda rival: ways[rival, task].value)
        reached = percent(pooled(cells, best, [task], "success"))
        parts.append(
            f"The farthest on {TASKS[task].target!r} is {RIVALS[best].title} with "
            f"{percent(ways[best, task])} % of the way and {reached} % success."
        )
    return " ".join(parts)


def why_unseen(reached: Reached) -> str:
    """Whether more strength takes f_t farther into an unseen domain."""
    told = []
    for task, one in reached.items():
        if not TASKS[task].unseen:
            continue
        best = max(one["rows"][1:], key=lambda row: row["way"]["value"])
        far, seen = percent(Estimate(**best["way"])), shown(Estimate(**best["s_dir"]), 2)
        if best["way"]["value"] < REACHED:
            ends = (
                f"does not get there at any strength: {far} % of the way at best (strength "
                f"{best['strength']:g}), where the guide sees S_dir {seen}"
            )
        else:
            ends = f"goes {far} % of the way at strength {best['strength']:g} (S_dir {seen})"
        told.append(f"{TASKS[task].target!r}: f_t {ends}.{_dose(one['rows'][1:])}")
    return " ".join(told)


def _dose(rows: Sequence[Mapping[str, Any]]) -> str:
    """What more strength does to the guide's S_dir and to the picture."""
    first, last = rows[0], rows[-1]
    if first is last:
        return ""
    s_dir, lpips = ([one[name]["value"] for one in (first, last)] for name in ("s_dir", "lpips"))
    return (
        f" From strength {first['strength']:g} to {last['strength']:g} S_dir goes from "
        f"{s_dir[0]:.2f} to {s_dir[1]:.2f} while the change of the picture grows from "
        f"{lpips[0]:.2f} to {lpips[1]:.2f}."
    )


def settings_at_the_edge(cells: Cells, rivals: Sequence[str], tasks: Sequence[str]) -> str:
    """Methods whose tuning mostly ended at an end of its range, where more might have helped."""
    told = []
    for end, word in ((0, "smallest"), (-1, "largest")):
        for rival in rivals:
            tuned = [cells[rival, task] for task in tasks]
            hits = sum(cell["setting"] == cell["trials"][end]["setting"] for cell in tuned)
            if 2 * hits > len(tasks):
                told.append(f"at the {word} for {RIVALS[rival].title} ({hits} of {len(tasks)})")
    return f"Of the values tried, tuning ended {', '.join(told)}." if told else ""


def way_rows(ways: Ways, rivals: Sequence[str], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """A row a task, a column a method: share of the way in % with its interval."""
    return [
        {
            "edit": TASKS[task].target,
            **{RIVALS[rival].title: percent(ways[rival, task]) for rival in rivals},
        }
        for task in tasks
    ]
