"""The comparison's tables and figures, from the results of its cells alone."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from asyrp.domains.base import Task
from asyrp.editing_methods.catalogue import method_of
from asyrp.experiments.retrained import luck_of
from asyrp.metrics.calibration import LINES, Table, calibrated
from asyrp.reporting.figures import COLORS, MARKS, heat, new_figure, reach
from asyrp.reporting.statistics import Estimate, of_mean, of_means, of_strata
from asyrp.reporting.tables import percent
from asyrp.reporting.tuned import Tuned, of_tuned_strata

Cells = Mapping[tuple[str, str], Mapping[str, Any]]
"""(method, task) -> the result of its cell, by their names."""
Back = Mapping[str, Sequence[float | None]]
"""attribute -> whether the reconstruction of each image changed it."""
SHARES = ("success", "success_2", "leakage", "clean", "clean_2")
PERCENT = (*SHARES, "leakage_beyond")
TITLES: Mapping[str, str] = {
    "success_2": "success, second judge",
    "clean_2": "clean, second judge",
    "leakage_beyond": "beyond the reconstruction",
    **{"lpips": "LPIPS", "s_dir": "S_dir", "sc": "SC", "fid": "FID", "kid": "KID"},
}
ASIDE = ("success_before", "leakage_reconstruction", "lpips_reconstruction", "identity_strangers")
REFERENCE = "asyrp"


def judged(cells: Cells) -> bool:
    """Whether a judge saw the edits."""
    return all("clean" in cell["values"] for cell in cells.values())


def pooled(cells: Cells, method: str, tasks: Sequence[Task], metric: str) -> Estimate:
    """The mean over tasks; images are resampled with all their edits."""
    chosen = [cells[method, task.name] for task in tasks]
    return of_strata([c["values"][metric] for c in chosen], [c["numbers"] for c in chosen])


def gain(cells: Cells, method: str, tasks: Sequence[Task], metric: str) -> Estimate:
    """Our f_t's mean minus the method's, image by image, with the luck of tuning and training."""
    pairs = [(cells[REFERENCE, task.name], cells[method, task.name]) for task in tasks]
    sides = [(tuned(ours, metric), tuned(theirs, metric)) for ours, theirs in pairs]
    first = [ours for ours, _ in pairs]
    luck = []
    for name, one in zip((REFERENCE, method), pairs[0], strict=True):
        once = method_of(name).after == "classifier"  # for all tasks
        luck += luck_of(one["trainings"], metric, 1 if once else len(tasks))
    tuning, owners = ([one[key] for one in first] for key in ("tuned_on", "numbers"))
    return of_tuned_strata(sides, tuning, owners, more=luck)


def tuned(cell: Mapping[str, Any], metric: str) -> Tuned:
    """A metric of test images at every setting, and the scores that chose among them."""
    scores = np.asarray(cell["scores"], np.float64)
    results = np.full((len(scores), len(cell["numbers"])), np.nan)
    for place, values in cell["tested"].items():
        results[int(place)] = np.array(values[metric], np.float64)
    return Tuned(scores, results)


def groups_of(tasks: Sequence[Task]) -> dict[str, list[Task]]:
    """The tasks together and, where there are both, those of seen and of unseen domains apart."""
    unseen, seen = ([one for one in tasks if one.unseen is side] for side in (True, False))
    found = {"all": list(tasks)}
    return found | ({"seen": seen, "unseen": unseen} if seen and unseen else {})


def overall(cells: Cells, names: Sequence[str], tasks: Sequence[Task]) -> Table:
    """Method, or line of the scale -> what it does, over all tasks for which there is one."""
    found = {}
    for name in names:
        some = [task for task in tasks if (name, task.name) in cells]
        if some:
            known = cells[name, some[0].name]
            per_image = {m: pooled(cells, name, some, m) for m in known["values"] if m not in ASIDE}
            scored = [one for one in some if cells[name, one.name].get("reference", True)]
            kept = [cells[name, one.name]["sets"] for one in scored]
            every = {m: [Estimate(**one[m]) for one in kept] for m in known["sets"] if kept}
            sets = {m: of_means(estimates) for m, estimates in every.items()}
            title = name if name in LINES else method_of(name).title
            found[title] = {**per_image, **sets}
    return found


def scaled(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> str:
    """What the methods do over tasks, above the three lines of the scale."""
    rows, lines = (overall(cells, names, tasks) for names in (methods, LINES))
    return calibrated(rows, lines, "method", TITLES, PERCENT)


def costs(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """A row a method: evaluations of the network, seconds and bytes, means over tasks."""
    rows = []
    for method in methods:
        chosen = [cells[method, task.name] for task in tasks]
        spent = {part: _mean([c[part] for c in chosen]) for part in ("training", "tuning")}
        edit = _mean([{k: v / len(c["numbers"]) for k, v in c["editing"].items()} for c in chosen])
        rows.append(
            {
                "method": method_of(method).title,
                "evaluations to train": f"{spent['training']['evaluations']:,.0f}",
                "seconds to train": f"{spent['training']['seconds']:,.0f}",
                "evaluations to tune": f"{spent['tuning']['evaluations']:,.0f}",
                "evaluations an edit": f"{edit['evaluations']:.1f}",
                "seconds an edit": f"{edit['seconds']:.2f}",
                "bytes stored": f"{np.mean([c['stored'] for c in chosen]):,.0f}",
                "learning rate": "–" if (rate := chosen[0]["rate"]) is None else f"{rate:.1g}",
                "what differs": method_of(method).given or "nothing",
            }
        )
    return rows


def _mean(spent: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in spent])) for name in spent[0]}


def by_task(
    cells: Cells, methods: Sequence[str], tasks: Sequence[Task], metric: str
) -> list[dict[str, Any]]:
    """A row a task, a column a method: a share in % with its interval."""
    rows = []
    for task in tasks:
        of_task = {method_of(name).title: cells[name, task.name] for name in methods}
        rows.append(
            {
                "edit": f"{task.target}{' (unseen)' if task.unseen else ''}",
                "images": len(cells[methods[0], task.name]["numbers"]),
                **{name: percent(of_mean(c["values"][metric])) for name, c in of_task.items()},
            }
        )
    return rows


def gains(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Our f_t against each method on the same images: differences in percentage points."""
    return [
        {
            "f_t against": method_of(method).title,
            **{TITLES.get(k, k): percent(gain(cells, method, tasks, k)) for k in SHARES},
        }
        for method in methods
        if method != REFERENCE
    ]


def tuning(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """What was tried on validation images, and how often each setting was chosen."""
    rows = []
    for method in methods:
        tried = [trial["setting"] for trial in cells[method, tasks[0].name]["trials"]]
        chosen = [cells[method, task.name]["setting"] for task in tasks]
        name = next(iter(tried[0]))
        counts = ", ".join(
            f"{setting[name]:g}: {sum(one == setting for one in chosen)}" for setting in tried
        )
        rows.append(
            {"method": method_of(method).title, "tuned": name, "value: times chosen": counts}
        )
    return rows


def leaks(rows: Sequence[Mapping[str, Sequence[float | None]]]) -> tuple[np.ndarray, list[str]]:
    """The leakage matrix, rows x factors, in %; and the factors' names.

    rows: attribute -> whether each image's judged value changed; None where it does not show.
    """
    factors = list(dict.fromkeys(factor for row in rows for factor in row))
    table = np.full((len(rows), len(factors)), np.nan)
    for place, changed in enumerate(rows):
        for factor, values in changed.items():
            known = [v for v in values if v is not None]
            if known:
                table[place, factors.index(factor)] = 100 * float(np.mean(known))
    return table, factors


def plot_leaks(cells: Cells, method: str, tasks: Sequence[Task], back: Back) -> Figure:
    """The matrix of a method, and below it what the reconstruction changes by itself."""
    names = [task.target for task in tasks]
    table, factors = leaks([*(cells[method, task.name]["changed"] for task in tasks), back])
    figure, (axes,) = new_figure(6.4, 1.1 + 0.32 * len(names))
    heat(axes, table, [*names, "reconstruction alone"], factors, "answers changed, %")
    axes.axhline(len(names) - 0.5, color="white", linewidth=2)
    axes.set(xlabel="attribute that changed", ylabel="edit")
    return figure


def plot_sheet(names: Sequence[str], strips: Sequence[np.ndarray]) -> Figure:
    """Strips of pictures above each other, each with its name at the left."""
    figure, axes = Figure(figsize=(8.0, 0.86 * len(strips)), layout="constrained"), []
    for place, (name, strip) in enumerate(zip(names, strips, strict=True)):
        axes.append(figure.add_subplot(len(strips), 1, place + 1))
        axes[-1].imshow(strip, interpolation="nearest")
        axes[-1].set_ylabel(fill(name, 16), rotation=0, ha="right", va="center", fontsize=8)
        axes[-1].set(xticks=[], yticks=[])
        axes[-1].spines[:].set_visible(False)
    return figure


def plot_overall(cells: Cells, methods: Sequence[str], tasks: Sequence[Task]) -> Figure:
    """Success against leakage, a dot a method with both intervals."""
    figure, (axes,) = new_figure(6.4, 4.4)
    for place, method in enumerate(methods):
        x, y = (pooled(cells, method, tasks, name) for name in ("leakage", "success"))
        axes.errorbar(
            100 * x.value,
            100 * y.value,
            xerr=100 * reach([x]),
            yerr=100 * reach([y]),
            fmt=MARKS[(place + place // len(COLORS)) % len(MARKS)],
            color=COLORS[place % len(COLORS)],
            markerfacecolor="white" if place >= len(COLORS) else None,  # a colour's second method
            label=method_of(method).title,
        )
    axes.set(xlabel="other attributes changed, %", ylabel="edits that succeeded, %")
    axes.set_ylim(-3, 103)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower right")
    return figure
