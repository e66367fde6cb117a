"""asyrp reproduce: compare and all studies on the built-in world, and the page of results."""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from asyrp.commands.common import new_folder, say
from asyrp.commands.compare import figures, page, plan_of, read_cells, work
from asyrp.commands.study import told
from asyrp.options.compare import Reproduce
from asyrp.plots import save_figure
from asyrp.stages import Stage, result_of, seconds_of
from asyrp.studies.catalogue import STUDIES, stage_name, study_stages, tasks_of
from asyrp.tables import markdown, write_text
from asyrp.world.compare import compare_stages
from asyrp.world.plan import Plan
from asyrp.world.rivals import RIVALS
from asyrp.world.tasks import TASKS


def run(options: Reproduce) -> None:
    """Work what is missing, then write results.md and its figures."""
    names = options.studies or tuple(STUDIES)
    for name in names:
        tasks_of(name)
    plan = plan_of(options.tasks, options.methods, options.counts, options.training)
    stages = stages_of(plan, names, options.faces)
    kept, docs = new_folder(options.keep), new_folder(options.docs)
    work(stages, kept, options.workers)
    pictures = new_folder(docs / "results")
    write_text(docs / "results.md", results(plan, names, stages, kept, pictures, options))
    say(f"wrote {docs / 'results.md'}")


def stages_of(plan: Plan, names: Sequence[str], faces: int) -> list[Stage]:
    """Every stage once; shared ones first, the studies before the comparison's cells."""
    both = [*study_stages(plan, names, faces), *compare_stages(plan)]
    return list({stage.name: stage for stage in both}.values())


def results(
    plan: Plan,
    names: Sequence[str],
    stages: Sequence[Stage],
    kept: Path,
    pictures: Path,
    options: Reproduce,
) -> str:
    """results.md; the figures are written into `pictures`."""
    cells = read_cells(plan, kept)
    figures(plan, cells, kept, pictures)
    place = pictures.name
    parts = [
        "# Results",
        _preface(stages, kept, options),
        "## The claims of the paper",
        markdown(_claims(names, kept)),
        *(_section(name, result_of(kept, stage_name(name)), pictures) for name in names),
        "## Asyrp beside its rivals",
        page(plan, cells),
        f"![Success against leakage of every method]({place}/compare.png)",
        f"![Answers that Asyrp's f_t changed]({place}/leakage.png)",
        *(_sheet(plan, task, place) for task in plan.tasks),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _preface(stages: Sequence[Stage], kept: Path, options: Reproduce) -> str:
    work_seconds = sum(seconds_of(kept, stage.name) for stage in stages)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    curves = result_of(kept, "curves")
    error = sum(curves["reconstruction_mse"]) / len(curves["reconstruction_mse"])
    return (
        "Written by `asyrp reproduce` (`make reproduce`); no number here is typed by hand. "
        f"Network: avatars-64. {len(stages)} stages, {work_seconds / 60:.0f} minutes of work by "
        f"one thread each, in {options.workers} processes on a {platform.machine()} CPU with "
        f"{versions}. Editing "
        f"begins at t = {', '.join(map(str, curves['t_starts']))}; reconstructions from T have a "
        f"mean squared error of {error:.5f} in [-1, 1]. Intervals are 95 % bootstrap intervals "
        "over faces, seed 0; every face draws its noise from a generator of its own."
    )


def _claims(names: Sequence[str], kept: Path) -> list[dict[str, Any]]:
    words = {True: "holds", False: "does not hold", None: "undecided"}
    rows = []
    for name in names:
        found = STUDIES[name].verdict(result_of(kept, stage_name(name)))
        rows.append({"study": name, "claim": found.claim, "here": words[found.holds]})
    return rows


def _section(name: str, numbers: Mapping[str, Any], pictures: Path) -> str:
    study = STUDIES[name]
    save_figure(study.plot(numbers), pictures / f"{name}.png")
    title = f"### {study.title}"
    return f"{title}\n\n{told(study.verdict(numbers))}\n\n![{name}]({pictures.name}/{name}.png)"


def _sheet(plan: Plan, task: str, place: str) -> str:
    rows = ", ".join(RIVALS[rival].title for rival in plan.rivals)
    target = TASKS[task].target
    text = f"The first test faces, from above: {rows}."
    return f"### {target}\n\n{text}\n\n![{target}]({place}/edits-{task}.png)"
