"""asyrp reproduce: compare and all studies on the built-in world, and the page of results."""

import platform
from collections.abc import Mapping, Sequence
from inspect import getdoc
from pathlib import Path
from typing import Any

import torch

from asyrp.commands.common import say
from asyrp.commands.compare import Found, figures, page, plan_of, read_found, work
from asyrp.commands.study import told
from asyrp.domains.tasks import TASKS
from asyrp.experiments.compare import SHOWN, compare_stages
from asyrp.experiments.compare_words import claims
from asyrp.experiments.plan import Plan
from asyrp.experiments.plots import save_figure
from asyrp.experiments.studies.catalogue import STUDIES, stage_name, study_stages, tasks_of
from asyrp.experiments.studies.common import ranged
from asyrp.options.compare import Reproduce
from asyrp.reporting.bootstrap import of_mean
from asyrp.reporting.tables import markdown
from asyrp.runtime.resumable import Stage, result_of, runs_of, seconds_of
from asyrp.storage.json_files import write_text
from asyrp.storage.results import new_folder


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
    found = read_found(plan, kept)
    figures(plan, found, kept, pictures)
    place = pictures.name
    parts = [
        "# Results",
        _preface(stages, kept, options),
        "## The claims of the paper",
        markdown(_claims(plan, names, found, kept)),
        _CLAIMS,
        *(_section(name, result_of(kept, stage_name(name)), pictures) for name in names),
        "## Asyrp beside its rivals",
        page(plan, found),
        f"![Success against leakage of every method]({place}/compare.png)",
        f"![Answers that Asyrp's f_t changed]({place}/leakage.png)",
        *(_sheet(plan, task, place) for task in plan.tasks),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _preface(stages: Sequence[Stage], kept: Path, options: Reproduce) -> str:
    work_seconds = sum(seconds_of(kept, stage.name) for stage in stages)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    curves = result_of(kept, "curves")
    error = ranged(of_mean(curves["reconstruction_mse"]), 5)
    return (
        "Written by `asyrp reproduce` (`make reproduce`); no number here is typed by hand. "
        f"Network: avatars-64. {len(stages)} stages, {work_seconds / 60:.0f} minutes of work by "
        f"one thread each, in {options.workers} processes on a {platform.machine()} CPU with "
        f"{versions}: {_runs(kept)}. Editing "
        f"begins at t = {', '.join(map(str, curves['t_starts']))}; reconstructions from T have a "
        f"mean squared error of {error} in [-1, 1]. Intervals are 95 % bootstrap intervals "
        "over faces, seed 0; every face draws its noise from a generator of its own."
    )


def _runs(kept: Path) -> str:
    runs = runs_of(kept)
    minutes = sum(run.seconds for run in runs) / 60
    how = "one run" if len(runs) == 1 else f"{len(runs)} runs, the later ones going on,"
    return f"{how} of {minutes:.0f} minutes by the clock"


def _claims(plan: Plan, names: Sequence[str], found: Found, kept: Path) -> list[dict[str, Any]]:
    words = {True: "holds", False: "does not hold", None: "undecided"}
    verdicts = [STUDIES[name].verdict(result_of(kept, stage_name(name))) for name in names]
    rows = [
        {"by": name, "claim": one.claim, "here": words[one.holds]}
        for name, one in zip(names, verdicts, strict=True)
    ]
    compared = claims(found.cells, plan.rivals, plan.tasks)
    return rows + [{"by": c.name, "claim": c.claim, "here": words[c.holds]} for c in compared]


_CLAIMS = (
    "*Undecided* means that the 95 % interval holds both answers, or that two measures disagree. "
    "This world is small: 64 x 64 drawings, a network of its own. What fails here may hold on "
    "photographs, and the other way round."
)


def _section(name: str, numbers: Mapping[str, Any], pictures: Path) -> str:
    study = STUDIES[name]
    save_figure(study.plot(numbers), pictures / f"{name}.png")
    told_words = told(study.verdict(numbers))
    picture = f"![{study.title}]({pictures.name}/{name}.png)"
    return f"### {study.title}\n\n{told_words}\n\n{picture}\n\n*{getdoc(study.plot)}*"


def _sheet(plan: Plan, task: str, place: str) -> str:
    target = TASKS[task].target
    text = f"The first {SHOWN} test faces, not chosen, with the setting that was tuned."
    return f"### {target}\n\n{text}\n\n![{target}]({place}/edits-{task}.png)"
