"""What a comparison writes: the page, a row a cell, and figures, from the results of its stages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from asyrp.domains.base import Domain, Task
from asyrp.editing_methods.base import why_not
from asyrp.editing_methods.catalogue import METHODS, method_of
from asyrp.experiments import compare_table
from asyrp.experiments import compare_words as words
from asyrp.experiments.compare import cell_name
from asyrp.experiments.compare_table import REFERENCE, Back, Cells
from asyrp.experiments.compare_words import Doses
from asyrp.experiments.dose_response import dose_stages
from asyrp.experiments.plan import Plan, domain_of
from asyrp.experiments.plots import save_figure
from asyrp.experiments.retrained import SEEDS, TASKS
from asyrp.experiments.training import searched
from asyrp.metrics.calibration import LINES
from asyrp.reporting.statistics import HOW
from asyrp.reporting.tables import csv_text, markdown
from asyrp.runtime.resumable import result_of
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.untrusted.pictures import open_picture


class Compared(NamedTuple):
    """The results of all cells, what reconstructions change, and what more strength does.

    scales: of every task, what `scale.Scale` found; its lines are among the cells.
    """

    domain: Domain
    tasks: Sequence[Task]
    cells: Cells
    back: Back
    doses: Doses
    scales: Sequence[Mapping[str, Any]]


def read_compared(plan: Plan, kept: Path) -> Compared:
    """What the stages kept."""
    domain = domain_of(plan)
    tasks = [domain.tasks[name] for name in plan.tasks]
    pairs = [(method, task) for method in plan.methods for task in plan.tasks]
    again = {
        m: [result_of(kept, f"again-{cell_name(m, t)}") for t in plan.tasks[:TASKS]]
        for m in plan.methods
        if searched(m)
    }
    cells = {
        (m, t): {**result_of(kept, cell_name(m, t)), "trainings": again.get(m, [])}
        for m, t in pairs
    }
    scales = [result_of(kept, f"scale-{task}") for task in plan.tasks]
    for task, scale in zip(plan.tasks, scales, strict=True):
        one: dict[str, Any] = {k: scale[k] for k in ("numbers", "reference") if k in scale}
        cells |= {(line, task): {**one, **found} for line, found in scale["lines"].items()}
    drawn = "rendered_target" in domain.gives and REFERENCE in plan.methods
    names = [stage.name.removeprefix("dose-") for stage in dose_stages(plan, tasks) if drawn]
    doses = [(domain.tasks[name], result_of(kept, f"dose-{name}")) for name in names]
    back = result_of(kept, "reconstructed")["changed"]
    return Compared(domain, tasks, cells, back, doses, scales)


def write_compared(plan: Plan, found: Compared, kept: Path, out: Path) -> None:
    """table.md, table.csv, table.json, compare.png, leakage.png and a sheet a task."""
    write_text(out / "table.md", "# Comparison\n\n" + page(plan, found))
    write_text(out / "table.csv", csv_text(flat_rows(found.cells)))
    write_json(out / "table.json", cells_by_name(found))
    figures(plan, found, kept, out)


def cells_by_name(found: Compared) -> dict[str, Any]:
    """What table.json says: "METHOD TASK" -> its numbers."""
    return {f"{method} {task}": cell for (method, task), cell in found.cells.items()}


def page(plan: Plan, found: Compared, signs: Mapping[str, bool | None] | None = None) -> str:
    """How it was done, and the tables, as Markdown.

    signs: where f_t is ahead, by all claims of a page; None for those of this comparison alone.
    """
    if signs is None and compare_table.judged(found.cells):
        signs = words.signs_of(words.claims(found.cells, plan.methods, found.tasks))
    return f"{notes(plan, found)}\n\n{tables(plan, found, signs or {})}"


def tables(plan: Plan, found: Compared, signs: Mapping[str, bool | None]) -> str:
    """The tables as Markdown; without signs they say nowhere that f_t is ahead."""
    methods, tasks, cells = plan.methods, found.tasks, found.cells
    parts, judged = list[str](), compare_table.judged(cells)
    if judged and signs:
        parts += [words.summary(cells, signs, tasks)]
    for name, some in compare_table.groups_of(tasks).items():
        parts += [_GROUPS[name].format(len(some))]
        parts += [compare_table.scaled(cells, methods, some)]
    if rows := words.control_rows(found.scales):
        parts += [_CONTROLS.format(found.scales[0]["second"]), markdown(rows)]
    parts += ["What it cost:", markdown(compare_table.costs(cells, methods, tasks)), _COSTS]
    parts += [_TUNED[judged], markdown(compare_table.tuning(cells, methods, tasks))]
    parts += [words.settings_at_the_edge(cells, methods, tasks)]
    parts += _judged(plan, found) if judged else []
    if "rendered_target" in found.domain.gives:
        parts += [_DISTANCE, markdown(words.distance_rows(cells, methods, tasks))]
        parts += [words.unseen(cells, methods, tasks)] if judged else []
    if found.doses:
        parts += [_DOSE, markdown(words.dose_rows(found.doses)), words.why_unseen(found.doses)]
    if judged and REFERENCE in methods:
        parts += [words.leaking(cells, tasks, found.back)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _judged(plan: Plan, found: Compared) -> list[str]:
    """What only a judge can tell."""
    methods, tasks, cells, parts = plan.methods, found.tasks, found.cells, []
    if REFERENCE in methods and len(methods) > 1:
        for name, some in compare_table.groups_of(tasks).items():
            of = f"{_OF[name]}, percentage points"
            parts += [f"Asyrp's f_t minus each method on the same images, {of}:"]
            parts += [markdown(compare_table.gains(cells, methods, some))]
    for metric in compare_table.SHARES:
        parts += [f"{compare_table.TITLES.get(metric, metric).capitalize()} of each edit, %:"]
        parts += [markdown(compare_table.by_task(cells, methods, tasks, metric))]
    return parts


_GROUPS = {
    "all": "All {} edits:",
    "seen": "The {} edits to values that the network was trained on:",
    "unseen": "The {} edits to values that it never saw:",
}
_OF = {"all": "all edits", "seen": "seen values", "unseen": "unseen values"}
_DISTANCE = (
    "Share of the distance to the target, %: how far a picture moved towards the drawn target, in "
    "the pixels where source and target differ (100 is the target, 0 no change towards it; of "
    "equally good targets the nearest), with the setting that was tuned, over the images that the "
    "sheets show:"
)
_DOSE = (
    "Where an edit into a domain that the network never saw fails, is it the dose? The same f_t "
    "with growing strength, for every edit of a colour; strength 0 is the reconstruction, and the "
    "colour is the mean in the pixels that the target changes:"
)
_CONTROLS = (
    "The second judge is of another origin than the first ({}); claims need both. It looks at "
    "success alone: what else changed is the first judge's in both. Negative controls, which no "
    "judge should call a success, %:"
)
_COSTS = (
    "Seconds are those of this machine while other stages ran beside; evaluations do not depend on "
    "it. What trains one dh from an f_t that exists lists its own work only."
)
_TUNED = {
    True: "Tuned on validation images, the same number of settings for every method; the setting "
    "with the most clean edits wins, then the most successes, then the smallest change:",
    False: "Tuned on validation images, the same number of settings for every method; the setting "
    "with the highest S_dir minus LPIPS wins:",
}


def notes(plan: Plan, found: Compared) -> str:
    """How it was done."""
    settings, domain = plan.settings, found.domain
    left = {m.title: why for m in METHODS.values() if (why := why_not(m, domain))}
    out = "; ".join(f"{title} ({why})" for title, why in left.items())
    return (
        f"Domain {domain.name}: {plan.test_images} test images an edit that do not show it. "
        "Success, leakage and clean edits (success and nothing else changed) in % by the domain's "
        f"judge. {HOW}; what f_t is ahead counts the luck of tuning too, and that of training, by "
        f"training each method that has a rate of its own {len(SEEDS) + 1} times on the first "
        f"{TASKS} edits. Leakage counts what the reconstruction changes by itself too. What trains "
        "sees as many images "
        f"({plan.train_images}) for as many optimiser steps (batch {settings.batch_size}, "
        f"{settings.epochs} epochs, {settings.steps}-step grid), at a learning rate that the same "
        f"search chose ({', '.join(f'{factor:g}' for factor in plan.rates)} times the known one, "
        "on the first edit); all are boosted alike where the table of costs says nothing else, and "
        f"tuned on the same {plan.validation_images} validation images, those that lack the value, "
        "by the judge that tests them on others, so that every row leans the same way towards what "
        f"it sees. {domain.about} {_MEASURES}{f' Left out: {out}.' if out else ''}"
    )


_MEASURES = (
    "FID and KID are between the edits of one task and pictures that show its value, mean over the "
    "tasks that have enough such pictures; FID is comparable at this number of images only. No "
    "edit, a perfect and a wrong one are measured as edits are (where nothing can be drawn, the "
    "latter are other pictures, with the value and without, which have no distances to the "
    "originals); a measure by which the perfect edit is not the best is no score. Evaluations: "
    "forward passes of the whole network for one image, halves counted by their share of its "
    "multiplications, backward passes as one more (two where weights are trained); a classifier "
    "itself is not counted. One thread a process."
)


def flat_rows(cells: Cells) -> list[dict[str, object]]:
    """A row a cell with means, for programs."""
    rows: list[dict[str, object]] = []
    for (method, task), cell in cells.items():
        if method in LINES:
            continue
        values = {m: np.array(row, np.float64) for m, row in cell["values"].items()}
        means = {m: float(np.nanmean(row)) for m, row in values.items()}
        sets = {name: one["value"] for name, one in cell["sets"].items()}
        rows.append({"method": method, "task": task, **means, **sets, **dict(cell["setting"])})
    return rows


def figures(plan: Plan, found: Compared, kept: Path, out: Path) -> None:
    """compare.png and leakage.png where a judge saw the edits, and a sheet for each task."""
    methods, tasks, cells = plan.methods, found.tasks, found.cells
    if compare_table.judged(cells):
        save_figure(compare_table.plot_overall(cells, methods, tasks), out / "compare.png")
        first = REFERENCE if REFERENCE in methods else methods[0]
        plot = compare_table.plot_leaks(cells, first, tasks, found.back)
        save_figure(plot, out / "leakage.png")
    for task in tasks:
        save_figure(sheet(plan, task, kept), out / f"edits-{task.name}.png")


def sheet(plan: Plan, task: Task, kept: Path) -> Figure:
    """The first test images, every method's edits of them, and the drawn target."""
    strips = {"source": _pixels(kept / f"source-{task.name}.png")}
    for name in plan.methods:
        strips[method_of(name).title] = _pixels(kept / f"{cell_name(name, task.name)}.png")
    if result_of(kept, f"shown-{task.name}")["target"]:
        strips["the drawn target"] = _pixels(kept / f"target-{task.name}.png")
    return compare_table.plot_sheet(list(strips), list(strips.values()))


def _pixels(strip: Path) -> np.ndarray:
    with open_picture(strip) as opened:
        return np.asarray(opened.convert("RGB"))
