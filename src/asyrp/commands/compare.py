"""asyrp compare: every method on every task, in stages that a stopped run continues."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from asyrp.baselines.label_swap import takes_labels
from asyrp.checkpoints import load_model
from asyrp.commands.common import new_folder, say
from asyrp.errors import AsyrpError
from asyrp.files import atomic_path
from asyrp.options.compare import Compare, Counts
from asyrp.plots import save_figure
from asyrp.settings import TrainSettings
from asyrp.stages import Stage, result_of, run_stages
from asyrp.tables import csv_text, markdown, write_json, write_text
from asyrp.world import compare_table
from asyrp.world.compare import cell_name, compare_stages
from asyrp.world.compare_table import Cells
from asyrp.world.plan import Plan
from asyrp.world.rivals import RIVALS
from asyrp.world.tasks import TASKS


def run(options: Compare) -> None:
    """Write table.md, table.csv, table.json, compare.png, leakage.png and a sheet a task."""
    plan = plan_of(options.tasks, options.methods, options.counts, options.training)
    out = new_folder(options.out)
    kept = new_folder(out / "stages")
    work(compare_stages(plan), kept, options.workers)
    cells = read_cells(plan, kept)
    write_text(out / "table.md", "# Comparison\n\n" + page(plan, cells))
    write_text(out / "table.csv", csv_text(flat_rows(plan, cells)))
    write_json(out / "table.json", {f"{r} {t}": cell for (r, t), cell in cells.items()})
    figures(plan, cells, kept, out)
    say(f"wrote {out / 'table.md'}")


def plan_of(
    tasks: Sequence[str], methods: Sequence[str], counts: Counts, training: TrainSettings
) -> Plan:
    """The plan of some options."""
    return Plan(
        tasks=tuple(tasks) or tuple(TASKS),
        rivals=tuple(methods) or tuple(RIVALS),
        test_faces=counts.test_faces,
        pool=counts.pool,
        train_faces=counts.train_faces,
        validation_faces=counts.validation_faces,
        settings=training,
    )


def work(stages: Sequence[Stage], kept: Path, workers: int) -> None:
    """Work the stages with a progress bar; a run that was stopped goes on where it was."""
    if workers < 1:
        raise AsyrpError(f"--workers must be 1 or more; got {workers}")
    with tqdm(total=len(stages), unit="stage", dynamic_ncols=True) as bar:
        for done in run_stages(stages, kept, workers):
            bar.set_postfix_str(f"{done.name}, {done.seconds:.0f} s")
            bar.update(1)


def read_cells(plan: Plan, kept: Path) -> Cells:
    """The results of all cells."""
    return {(r, t): result_of(kept, cell_name(r, t)) for r in plan.rivals for t in plan.tasks}


def page(plan: Plan, cells: Cells) -> str:
    """The tables as Markdown."""
    rivals, tasks = plan.rivals, plan.tasks
    parts = [
        compare_notes(plan),
        markdown(compare_table.overall(cells, rivals, tasks)),
        "What it cost:",
        markdown(compare_table.costs(cells, rivals, tasks)),
        "Tuned on validation faces, the same number of settings for every method:",
        markdown(compare_table.tuning(cells, rivals, tasks)),
    ]
    if compare_table.REFERENCE in rivals:
        parts += ["Difference to Asyrp's f_t on the same faces, percentage points:"]
        parts += [markdown(compare_table.gains(cells, rivals, tasks))]
    for metric in compare_table.SHARES:
        parts += [f"{metric.capitalize()} of each edit, %:"]
        parts += [markdown(compare_table.by_task(cells, rivals, tasks, metric))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


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
        f"{plan.validation_faces} validation faces. {_MEASURES}{left_out}"
    )


_MEASURES = (
    "S_dir: encoder avatars-64-clip, the texts as they are, source image: the original; higher is "
    "better. LPIPS: st-lpips-alex to the original. Identity and FID: features of the judge, FID "
    "between the originals and the edits of one task, mean over tasks, comparable at this number "
    "of faces only. SC: mean IoU of the parts that the world's segmenter sees. Evaluations: "
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


def figures(plan: Plan, cells: Cells, kept: Path, out: Path) -> None:
    """compare.png, leakage.png, and a sheet of edits for each task."""
    rivals, tasks = plan.rivals, plan.tasks
    save_figure(compare_table.plot_overall(cells, rivals, tasks), out / "compare.png")
    first = compare_table.REFERENCE if compare_table.REFERENCE in rivals else rivals[0]
    save_figure(compare_table.plot_leaks(cells, first, tasks), out / "leakage.png")
    for task in tasks:
        strips = [kept / f"{cell_name(rival, task)}.png" for rival in rivals]
        stack(strips, out / f"edits-{task}.png")


def stack(strips: Sequence[Path], path: Path, factor: int = 2) -> None:
    """Pictures of one width above each other, enlarged."""
    rows = [np.asarray(Image.open(strip).convert("RGB")) for strip in strips]
    sheet = Image.fromarray(np.concatenate(rows))
    larger = sheet.resize((sheet.width * factor, sheet.height * factor), Image.Resampling.NEAREST)
    with atomic_path(path) as temporary:
        larger.save(temporary, "PNG")
