"""Compare and all studies on a domain, and the page of results."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from inspect import getdoc
from pathlib import Path
from typing import Any, cast

import torch

from asyrp.domains.base import Task
from asyrp.experiments import compare_table
from asyrp.experiments.claims import decided, registered
from asyrp.experiments.compare import SHOWN, compare_stages
from asyrp.experiments.compare_report import Compared, figures, page, read_compared, tables
from asyrp.experiments.compare_words import Claimed, claims, signs_of
from asyrp.experiments.equal_success import equal_success_rows
from asyrp.experiments.plan import Plan, domain_of
from asyrp.experiments.plots import save_figure
from asyrp.experiments.side_by_side import KEPT, folder_name
from asyrp.experiments.studies.catalogue import WORDS, stage_name, study_of, study_stages, told
from asyrp.experiments.studies.common import Verdict, ranged
from asyrp.reporting.significance import holm
from asyrp.reporting.statistics import HOW, Estimate, of_mean
from asyrp.reporting.tables import Row, markdown, percent
from asyrp.runtime.precision import precision_of
from asyrp.runtime.resumable import Stage, result_of, runs_of, seconds_of
from asyrp.storage.json_files import write_json
from asyrp.storage.results import new_folder


def stages_of(
    plan: Plan, names: Sequence[str], count: int, further: Mapping[str, Plan]
) -> list[Stage]:
    """Every stage once; shared ones first, the studies before the comparison's cells."""
    every = [*study_stages(plan, names, count), *compare_stages(plan)]
    every += [stage for other in further.values() for stage in compare_stages(other)]
    return list({stage.name: stage for stage in every}.values())


def results(
    plan: Plan,
    names: Sequence[str],
    stages: Sequence[Stage],
    kept: Path,
    docs: Path,
    workers: int,
    further: Mapping[str, Plan],
) -> str:
    """The page of a domain; its figures, and what results.md tells, go into docs/results/DOMAIN.

    further: comparisons by the names in _FURTHER; none of their rows is a claim of the paper.
    """
    found, domain = read_compared(plan, kept), domain_of(plan).name
    pictures = new_folder(docs / "results" / folder_name(domain))
    figures(plan, found, kept, pictures)
    known, rows, signs = verdicts(plan, names, found, kept)
    others = {name: (one, read_compared(one, kept)) for name, one in further.items()}
    write_json(pictures / KEPT, _told(domain, rows, {"methods": (plan, found), **others}))
    at = pictures.relative_to(docs)
    parts = [
        f"# Results of {domain}",
        _preface(plan, stages, kept, workers),
        "## The claims of the paper",
        markdown(rows),
        _CLAIMS,
        *(_section(n, known[n], result_of(kept, stage_name(n)), docs, at) for n in names),
        "## Asyrp beside other methods",
        page(plan, found, signs),
        f"![Success against leakage of every method]({at}/compare.png)",
        f"![Answers that Asyrp's f_t changed]({at}/leakage.png)",
        *(_sheet(task, at) for task in found.tasks),
        *(part for name, one in others.items() for part in (_FURTHER[name], *_further(name, *one))),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _told(
    domain: str, rows: Sequence[Row], compared: Mapping[str, tuple[Plan, Compared]]
) -> dict[str, Any]:
    """What `side_by_side` reads: the claims, and of each comparison a row a method."""
    edits = {name: len(plan.tasks) for name, (plan, _) in compared.items()}
    found: dict[str, Any] = {"domain": domain, "edits": edits, "claims": rows}
    for name, (plan, one) in compared.items():
        methods = compare_table.overall(one.cells, plan.methods, one.tasks)
        found[name] = [{"method": title, **row} for title, row in methods.items()]
    return found


def _preface(plan: Plan, stages: Sequence[Stage], kept: Path, workers: int) -> str:
    work_seconds = sum(seconds_of(kept, stage.name) for stage in stages)
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    precision = str(precision_of(plan.dtype, plan.device)).removeprefix("torch.")
    runs, curves = runs_of(kept), result_of(kept, "curves")
    times = "one run" if len(runs) == 1 else f"{len(runs)} runs, the later ones going on,"
    minutes = f"{times} of {sum(run.seconds for run in runs) / 60:.0f} minutes"
    error = ranged(of_mean(curves["reconstruction_mse"]), 5)
    return (
        "Written by `asyrp reproduce` (`make reproduce`); no number here is typed by hand. "
        f"Domain: {plan.domain}. {len(stages)} stages, {work_seconds / 60:.0f} minutes of work by "
        f"one thread each, in {workers} processes on a {platform.machine()} CPU with "
        f"{versions}, products in {precision}: {minutes} by the clock. Editing "
        f"begins at t = {', '.join(map(str, curves['t_starts']))}; reconstructions from T have a "
        f"mean squared error of {error} in [-1, 1]. Intervals: {HOW}. "
        "Every image draws its noise from a generator of its own."
    )


def verdicts(
    plan: Plan, names: Sequence[str], found: Compared, kept: Path
) -> tuple[dict[str, Verdict], list[dict[str, Any]], dict[str, bool | None]]:
    """Study -> what it says, a row a claim, method -> whether f_t is ahead; decided together."""
    known = {name: study_of(name).verdict(result_of(kept, stage_name(name))) for name in names}
    every = [
        Claimed(name, one.claim, one.outcome, {})
        for name, one in known.items()
        if one.outcome is not None
    ]
    if compare_table.judged(found.cells):
        every += claims(found.cells, plan.methods, found.tasks)
    outcomes = [one.outcome for one in every]
    rows = []
    for one, holds, p in zip(every, decided(outcomes), holm([o.p for o in outcomes]), strict=True):
        both = " / ".join(percent(cast(Estimate, found)) for found in one.measures.values())
        images = registered()[one.name].images if one.name in registered() else None
        row = {"by": one.name, "claim": one.claim, "here": WORDS[holds], "p (Holm)": p}
        rows.append({**row, "both judges, %": both, "images it needs": images})
        if one.name in known:
            known[one.name] = known[one.name]._replace(holds=holds)
    return known, rows, signs_of(every)


_CLAIMS = (
    "Written down before the numbers, with their rules and how many images they need "
    "(`experiments/claims.toml`); decided by these rules alone, all of this page together (Holm): "
    "*undecided* means that the numbers allow both answers, or that measures or judges differ. "
    "What fails on one domain may hold on another, and the other way round."
)


_FURTHER: Mapping[str, str] = {
    "keeping": "## What keeps the rest\n\nf_t as above, trained with the texts of the other edits "
    "to keep (`--keep-others`), or with P_t edited only in a polygon where the value shows "
    "(`--train.region`, drawn by hand before any number). What else changes at equal success, in "
    "%, of validation images on a line between strengths; in brackets the share of plain f_t's:",
    "finders": "## Finders of directions side by side\n\nThe same images, judges, tuning and "
    "tests, for the edits whose values enough training images show.",
}


def _further(name: str, plan: Plan, found: Compared) -> Iterator[str]:
    if name == "keeping" and compare_table.judged(found.cells):
        yield markdown(equal_success_rows(found.cells, plan.methods, found.tasks))
    yield tables(plan, found, {})


def _section(name: str, found: Verdict, numbers: Mapping[str, Any], docs: Path, at: Path) -> str:
    study = study_of(name)
    save_figure(study.plot(numbers), docs / at / f"{name}.png")
    picture = f"![{study.title}]({at}/{name}.png)"
    return f"### {study.title}\n\n{told(found)}\n\n{picture}\n\n*{getdoc(study.plot)}*"


def _sheet(task: Task, at: Path) -> str:
    text = f"The first {SHOWN} test images, not chosen, with the setting that was tuned."
    return f"### {task.target}\n\n{text}\n\n![{task.target}]({at}/edits-{task.name}.png)"
