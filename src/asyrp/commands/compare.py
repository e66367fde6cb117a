"""asyrp compare: every method on every task, in stages that a stopped run continues."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from asyrp.commands import compare_own
from asyrp.commands.common import say
from asyrp.commands.own_ground import check_built_in
from asyrp.domains.avatars.avatars import Face, draw, sample_face
from asyrp.domains.avatars.way import way_of
from asyrp.domains.tasks import TASKS
from asyrp.editing_methods.label_swap import takes_labels
from asyrp.editing_methods.trained import RIVALS
from asyrp.errors import AsyrpError
from asyrp.experiments import compare_table
from asyrp.experiments import compare_words as words
from asyrp.experiments.compare import SHOWN, cell_name, compare_stages
from asyrp.experiments.compare_table import Back, Cells
from asyrp.experiments.compare_words import Reached, Ways
from asyrp.experiments.dose_response import reach_stages
from asyrp.experiments.plan import Plan, check_faces
from asyrp.experiments.plots import save_figure
from asyrp.networks import load_model
from asyrp.options.compare import Compare, Counts, Own
from asyrp.reporting.tables import csv_text, markdown
from asyrp.runtime.resumable import Stage, recorded, result_of, run_stages
from asyrp.settings import TrainSettings
from asyrp.storage.images import contact_sheet, from_uint8, to_uint8
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import new_folder


def run(options: Compare) -> None:
    """Write table.md, table.csv, table.json, compare.png, leakage.png and a sheet a task."""
    if options.network.model != "avatars-64" or options.own != Own():
        return compare_own.run(options)
    check_built_in(options)
    plan = plan_of(options.tasks, options.methods, options.counts, options.training)
    out = new_folder(options.out)
    kept = new_folder(out / "stages")
    work(compare_stages(plan), kept, options.workers)
    found = read_found(plan, kept)
    write_text(out / "table.md", "# Comparison\n\n" + page(plan, found))
    write_text(out / "table.csv", csv_text(flat_rows(plan, found.cells)))
    write_json(out / "table.json", {f"{r} {t}": cell for (r, t), cell in found.cells.items()})
    figures(plan, found, kept, out)
    return say(f"wrote {out / 'table.md'}")


def plan_of(
    tasks: Sequence[str], methods: Sequence[str], counts: Counts, training: TrainSettings
) -> Plan:
    """The plan of some options."""
    plan = Plan(
        tasks=tuple(tasks) or tuple(TASKS),
        rivals=tuple(methods) or tuple(RIVALS),
        test_faces=counts.test_faces,
        pool=counts.pool,
        train_faces=counts.train_faces,
        validation_faces=counts.validation_faces,
        settings=training,
    )
    check_faces(plan)
    return plan


def work(stages: Sequence[Stage], kept: Path, workers: int) -> None:
    """Work the stages with a progress bar; a run that was stopped goes on where it was."""
    if workers < 1:
        raise AsyrpError(f"--workers must be 1 or more; got {workers}")
    with tqdm(total=len(stages), unit="stage", dynamic_ncols=True) as bar:
        for done in recorded(run_stages(stages, kept, workers), kept):
            bar.set_postfix_str(f"{done.name}, {done.seconds:.0f} s")
            bar.update(1)


class Found(NamedTuple):
    """The results of all cells, what reconstructions change, shares of the way, and reach."""

    cells: Cells
    back: Back
    ways: Ways
    reached: Reached


def read_found(plan: Plan, kept: Path) -> Found:
    """What the stages kept."""
    pairs = [(rival, task) for rival in plan.rivals for task in plan.tasks]
    cells = {(r, t): result_of(kept, cell_name(r, t)) for r, t in pairs}
    ways = {
        (r, t): way_of(kept / f"{cell_name(r, t)}.png", TASKS[t], cells[r, t]["numbers"])
        for r, t in pairs
    }
    names = [stage.name for stage in reach_stages(plan)] if "asyrp" in plan.rivals else []
    reached = {name.removeprefix("reach-"): result_of(kept, name) for name in names}
    return Found(cells, result_of(kept, "reconstructed")["changed"], ways, reached)


def page(plan: Plan, found: Found) -> str:
    """The tables as Markdown."""
    rivals, tasks, (cells, back, ways, reached) = plan.rivals, plan.tasks, found
    parts = [compare_notes(plan), words.summary(cells, rivals, tasks)]
    for name, some in compare_table.groups_of(tasks).items():
        parts += [_GROUPS[name].format(len(some))]
        parts += [markdown(compare_table.overall(cells, rivals, some))]
    parts += ["What it cost:", markdown(compare_table.costs(cells, rivals, tasks)), _COSTS]
    parts += [_TUNED, markdown(compare_table.tuning(cells, rivals, tasks))]
    parts += [words.settings_at_the_edge(cells, rivals, tasks)]
    if compare_table.REFERENCE in rivals and len(rivals) > 1:
        for name, some in compare_table.groups_of(tasks).items():
            parts += [f"Asyrp's f_t minus each method on the same faces, {_OF[name]}:"]
            parts += [markdown(compare_table.gains(cells, rivals, some))]
    for metric in compare_table.SHARES:
        parts += [f"{metric.capitalize()} of each edit, %:"]
        parts += [markdown(compare_table.by_task(cells, rivals, tasks, metric))]
    parts += [_WAY, markdown(words.way_rows(ways, rivals, tasks))]
    parts += [words.unseen(cells, rivals, tasks, ways)]
    if reached:
        parts += [_REACH, markdown(words.reach_rows(reached)), words.why_unseen(reached)]
    if compare_table.REFERENCE in rivals:
        parts += [words.leaking(cells, tasks, back)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


_GROUPS = {
    "all": "All {} edits:",
    "seen": "The {} edits to values that the network was trained on:",
    "unseen": "The {} edits to values that it never saw:",
}
_OF = {
    "all": "all edits, percentage points",
    "seen": "seen values, percentage points",
    "unseen": "unseen values, percentage points",
}
_WAY = (
    "Share of the way to the answer, %: how far a picture moved towards the face that the renderer "
    "draws for the answer, in the pixels where the two differ (100 is the answer, 0 no change "
    "towards it), with the setting that was tuned, over the faces that the sheets show:"
)
_REACH = (
    "Where an edit into a domain that the network never saw fails, is it the dose? The same f_t "
    "with growing strength, for every edit of a colour; strength 0 is the reconstruction, and the "
    "colour is the mean in the pixels that the answer changes:"
)
_COSTS = (
    "Seconds are those of this machine while other stages ran beside; evaluations do not depend on "
    "it. What trains one dh from an f_t that exists lists its own work only."
)
_TUNED = (
    "Tuned on validation faces, the same number of settings for every method; the setting with the "
    "most clean edits wins, then the most successes, then the smallest change:"
)


def compare_notes(plan: Plan) -> str:
    """How it was done."""
    settings = plan.settings
    left_out = "" if takes_labels(load_model("avatars-64")) else _NO_LABELS
    return (
        f"{plan.test_faces} test faces an edit that do not show it; success, leakage and clean "
        "edits (success and nothing else changed) in % by the world's judge, with 95 % bootstrap "
        "intervals over faces (seed 0). Leakage counts what the reconstruction changes by itself "
        f"too. All methods edit the same latents; those that train see the same "
        f"{plan.train_faces} faces for as many optimiser steps (batch {settings.batch_size}, "
        f"{settings.epochs} epochs, {settings.steps}-step grid; DiffusionCLIP has no t_edit and "
        "spreads them over all timesteps below t_start), and all are tuned on the same "
        f"{plan.validation_faces} validation faces, by the judge that tests them on others, so "
        f"that every row leans the same way towards what it sees. {_MEASURES}{left_out}"
    )


def _zero(plan: Plan) -> str:
    """What a rate of 0 % leaves open (the rule of three)."""
    return (
        "An interval without width means that all faces agreed, which still allows a rate of "
        f"{300 / plan.test_faces:.0f} % (in one task)."
    )


_MEASURES = (
    "S_dir: encoder avatars-64-clip, the texts as they are, source image: the original; higher is "
    "better. LPIPS: st-lpips-alex to the original. Identity, FID and KID: features of the judge, "
    "FID and KID between the originals and the edits of one task, mean over tasks, FID comparable "
    "at this number of faces only, KID a little below 0 where nothing changes (both sets come from "
    "the same faces). SC: mean IoU of the parts that the world's segmenter sees. Evaluations: "
    "forward passes of the whole network for one image, halves counted by their share of its "
    "multiplications, backward passes as one more (two where weights are trained); the classifier "
    "itself is not counted. One thread a process."
)
_NO_LABELS = (
    " DDIM inversion with a swapped caption is left out: this network takes neither captions nor "
    "labels."
)


def flat_rows(plan: Plan, cells: Cells) -> list[dict[str, object]]:
    """A row a cell with means, for programs."""
    rows: list[dict[str, object]] = []
    for (rival, task), cell in cells.items():
        means = {m: float(np.nanmean(compare_table.row(cell, m))) for m in cell["values"]}
        sets = {name: one["value"] for name, one in cell["sets"].items()}
        rows.append({"method": rival, "task": task, **means, **sets, **dict(cell["setting"])})
    return rows


def figures(plan: Plan, found: Found, kept: Path, out: Path) -> None:
    """compare.png, leakage.png, and a sheet of edits for each task."""
    rivals, tasks, cells = plan.rivals, plan.tasks, found.cells
    save_figure(compare_table.plot_overall(cells, rivals, tasks), out / "compare.png")
    first = compare_table.REFERENCE if compare_table.REFERENCE in rivals else rivals[0]
    save_figure(compare_table.plot_leaks(cells, first, tasks, found.back), out / "leakage.png")
    for task in tasks:
        save_figure(sheet(plan, task, cells, kept), out / f"edits-{task}.png")


def sheet(plan: Plan, task: str, cells: Cells, kept: Path) -> Figure:
    """The first test faces, every method's edits of them, and the renderer's answer."""
    numbers = cells[plan.rivals[0], task]["numbers"][:SHOWN]
    faces, one = [sample_face("test", number) for number in numbers], TASKS[task]
    answers = [face.replaced(one.factor, one.value) for face in faces]
    strips = {"source": drawn(faces)}
    for rival in plan.rivals:
        with Image.open(kept / f"{cell_name(rival, task)}.png") as opened:
            strips[RIVALS[rival].title] = np.asarray(opened.convert("RGB"))
    strips["the renderer's answer"] = drawn(answers)
    return compare_table.plot_sheet(list(strips), list(strips.values()))


def drawn(faces: Sequence[Face]) -> np.ndarray:
    """Faces side by side as a strip of edits has them."""
    images = from_uint8(np.stack([draw(face) for face in faces]))
    strip: np.ndarray = to_uint8(contact_sheet([images])[None])[0]
    return strip
