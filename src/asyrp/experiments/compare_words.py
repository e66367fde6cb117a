"""What the comparison says, in words that its numbers choose."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from asyrp.domains.base import Task
from asyrp.editing_methods.catalogue import method_of
from asyrp.experiments.claims import Measures, Outcome, decided, registered
from asyrp.experiments.compare_table import REFERENCE, Back, Cells, gain, groups_of, leaks, pooled
from asyrp.reporting.statistics import Estimate, of_mean, of_strata
from asyrp.reporting.tables import percent, shown

REACHED = 0.5  # success of an unseen edit that counts as having reached it
LEAKING = 5  # percentage points above the reconstruction that are told
CLEAN = ("clean", "clean_2")  # by both judges
SEEN = ("s_dir", "lpips", "success")
Doses = Sequence[tuple[Task, Mapping[str, Any]]]
"""Tasks and the results of their `DoseResponse`."""


class Claimed(NamedTuple):
    """A registered claim, what decides it, and by how much; method: that f_t is compared with."""

    name: str
    claim: str
    outcome: Outcome
    measures: Measures
    method: str = ""


def claims(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> list[Claimed]:
    """Whether f_t makes more clean edits than others do, and reaches unseen domains."""
    if REFERENCE not in methods:
        return []
    others = [m for m in methods if m != REFERENCE]
    found = [_claimed("compare", [gain(cells, m, tasks, k) for k in CLEAN], m) for m in others]
    if unseen := groups_of(tasks).get("unseen"):
        both = [pooled(cells, REFERENCE, unseen, k) for k in ("success", "success_2")]
        found.append(_claimed("unseen", both))
    return found


def _claimed(name: str, both: Sequence[Estimate], method: str = "") -> Claimed:
    claim = registered()[name]
    found = dict(zip(claim.rules[0].measures, both, strict=True))
    text = claim.text.format(method=method_of(method).title) if method else claim.text
    return Claimed(name, text, claim.outcome(found), found, method)


def signs_of(every: Sequence[Claimed]) -> dict[str, bool | None]:
    """Method -> whether f_t makes more clean edits, of all the claims of a page together."""
    signs = decided([one.outcome for one in every])
    return {one.method: sign for one, sign in zip(every, signs, strict=True) if one.method}


def summary(cells: Cells, signs: Mapping[str, bool | None], tasks: Sequence[Task]) -> str:
    """Where f_t stands by clean edits; signs: of `signs_of`."""
    words: dict[bool | None, list[str]] = {True: [], False: [], None: []}
    for method, sign in signs.items():
        words[sign].append(method_of(method).title)
    clean = [percent(pooled(cells, REFERENCE, tasks, metric)) for metric in CLEAN]
    told = {True: "more than", False: "fewer than", None: "undecided against"}
    parts = [f"{told[sign]} {', '.join(names)}" for sign, names in words.items() if names]
    return (
        f"Clean edits of f_t: {clean[0]} %, by the second judge {clean[1]} %; "
        f"{'; '.join(parts) or 'alone here'}."
    )


def control_rows(scales: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a negative control, over tasks: how often each judge sees a success that is none."""
    known = [one for one in scales if one["controls"]]
    numbers = [one["numbers"] for one in known]
    return [
        {
            "picture": name,
            **{
                title: percent(of_strata([one["controls"][name][key] for one in known], numbers))
                for key, title in (("success", "the judge"), ("success_2", "the second judge"))
            },
        }
        for name in (known[0]["controls"] if known else ())
    ]


def leaking(cells: Cells, tasks: Sequence[Task], back: Back) -> str:
    """Which attributes f_t changes besides, beyond what the reconstruction does."""
    rows = [cells[REFERENCE, task.name]["changed"] for task in tasks]
    table, factors = leaks([*rows, back])
    beyond = table[:-1] - np.nan_to_num(table[-1])
    order = np.argsort(-np.nan_to_num(beyond, nan=-1e9), axis=None)
    told = []
    for place in order[:5]:
        i, j = np.unravel_index(place, beyond.shape)
        if beyond[i, j] >= LEAKING:
            told.append(f"{factors[j]} by {tasks[i].target!r} ({table[i, j]:.0f} %)")
    if not told:
        return f"f_t changes no attribute {LEAKING} percentage points beyond the reconstruction."
    return f"What f_t changes besides, most first: {', '.join(told)}."


def dose_rows(doses: Doses) -> list[dict[str, Any]]:
    """A row for each colour and strength of f_t."""
    rows: list[dict[str, Any]] = []
    for task, one in doses:
        edit = f"{task.target}{' (unseen)' if task.unseen else ''}"
        for row in one["rows"]:
            known = {key: Estimate(**row[key]) for key in ("share", *SEEN) if key in row}
            rows.append(
                {
                    "edit": edit,
                    "strength": f"{row['strength']:g}",
                    "share of the distance, %": percent(known["share"]),
                    "S_dir": known.get("s_dir"),
                    "LPIPS": known.get("lpips"),
                    "success, %": percent(known["success"]) if "success" in known else None,
                    "mean colour": named(row["colour"]),
                }
            )
        rows.append({"edit": edit, "strength": "the target", "mean colour": named(one["answer"])})
    return rows


def named(colour: Sequence[int]) -> str:
    """(255, 0, 16) -> '#FF0010'."""
    return f"#{bytes(colour).hex().upper()}"


def unseen(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> str:
    """Who got how far into unseen domains."""
    apart = groups_of(tasks).get("unseen", [])
    parts = []
    for task in apart:
        shares = {method: distance_share(cells, method, task) for method in methods}
        best = max(methods, key=lambda method: shares[method].value)
        reached = percent(pooled(cells, best, [task], "success"))
        parts.append(
            f"The farthest on {task.target!r} is {method_of(best).title} with "
            f"{percent(shares[best])} % of the distance and {reached} % success."
        )
    return " ".join(parts)


def why_unseen(doses: Doses) -> str:
    """Whether more strength takes f_t farther into an unseen domain."""
    told = []
    for task, one in doses:
        if not task.unseen:
            continue
        best = max(one["rows"][1:], key=lambda row: row["share"]["value"])
        far, seen = percent(Estimate(**best["share"])), shown(Estimate(**best["s_dir"]), 2)
        if best["share"]["value"] < REACHED:
            ends = (
                f"does not get there at any strength: {far} % of the distance at best (strength "
                f"{best['strength']:g}), where the guide sees S_dir {seen}"
            )
        else:
            ends = f"goes {far} % of the distance at strength {best['strength']:g} (S_dir {seen})"
        told.append(f"{task.target!r}: f_t {ends}.{_dose(one['rows'][1:])}")
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


def settings_at_the_edge(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> str:
    """Methods whose tuning mostly ended at an end of its range, where more might have helped."""
    told = []
    for end, word in ((0, "smallest"), (-1, "largest")):
        for method in methods:
            tuned = [cells[method, task.name] for task in tasks]
            hits = sum(cell["setting"] == cell["trials"][end]["setting"] for cell in tuned)
            if 2 * hits > len(tasks):
                told.append(f"at the {word} for {method_of(method).title} ({hits} of {len(tasks)})")
    return f"Of the values tried, tuning ended {', '.join(told)}." if told else ""


def distance_share(cells: Cells, method: str, task: Task) -> Estimate:
    """The mean share of the distance to the target, over the images of a strip."""
    return of_mean(cells[method, task.name]["distance_to_target"])


def distance_rows(
    cells: Cells, methods: Sequence[str], tasks: Sequence[Task]
) -> list[dict[str, Any]]:
    """A row a task, a column a method: share of the distance in % with its interval."""
    return [
        {
            "edit": task.target,
            **{method_of(m).title: percent(distance_share(cells, m, task)) for m in methods},
        }
        for task in tasks
    ]
