"""asyrp evaluate: the table of an edit, from folders of pictures."""

from dataclasses import replace
from pathlib import Path
from timeit import timeit
from typing import Any

from asyrp.commands import look
from asyrp.commands.common import say
from asyrp.commands.evaluate_pictures import MatchedPictures, gather
from asyrp.commands.evaluate_report import (
    Result,
    notes_of,
    page,
    plot_audit,
    plot_leakage,
    plot_table,
    told_small,
)
from asyrp.commands.forecast import foreseen, is_asked
from asyrp.commands.judges import NONE, partiality, questions_of, scorers_of
from asyrp.domains.base import source_of
from asyrp.errors import AsyrpError
from asyrp.experiments.plots import save_figure
from asyrp.metrics.calibration import measured_lines
from asyrp.metrics.frechet import LEAST_FID
from asyrp.metrics.of_image import Pictures
from asyrp.metrics.perceptual import LEAST_DIVERSITY
from asyrp.metrics.table import (
    Scorers,
    Wish,
    features_in,
    gaps,
    grouped,
    labels_of,
    leakage_matrix,
    of_groups,
    of_sets,
    over_runs,
    summarised,
    too_small,
)
from asyrp.metrics.zero_shot import Questions
from asyrp.options import Guides
from asyrp.options.evaluate import Evaluate
from asyrp.reporting.statistics import Estimate
from asyrp.reporting.tables import csv_text
from asyrp.scorers.judge import place_of
from asyrp.storage.files import atomic_folder
from asyrp.storage.json_files import write_json, write_text
from asyrp.storage.results import check_results

FILES = (*(f"table.{kind}" for kind in ("md", "csv", "json")), look.FILE)
FILES += ("metrics.png", "leakage.png", "audit.png")
FEW = 4  # pictures that --dry-run measures


def run(options: Evaluate) -> dict[str, Any]:
    """Write table.md, table.csv, table.json, and figures of all metrics, leakage and the audit."""
    options = on_domain(options)
    check(options)
    check_results(options.out, Path(options.images), FILES)
    questions = questions_for(options)
    wish = wish_of(options)
    scorers = scorers_of(options, questions)
    if scorers.judge is not None and wish is not None:
        place_of(scorers.judge.values, *wish[:2])  # an AsyrpError where it knows no such value
    matched = gather(options)
    check_judge(scorers, matched)
    check_counts(options, len(matched.names))
    if matched.fitted:
        say(matched.fitted_line)
    if is_asked():
        _foresee(options, matched, scorers, wish)
    result = measure(options, matched, scorers, wish)
    notes = notes_of(options, matched, scorers, questions)
    numbers = {**result._asdict(), "gaps": [gap._asdict() for gap in result.gaps], **notes}
    with atomic_folder(options.out) as out:
        write_text(out / "table.md", page(result, notes))
        write_text(out / "table.csv", csv_text(_rows(result)))
        write_json(out / "table.json", numbers)
        write_text(out / look.FILE, look.page(options, matched))
        _draw(out, result)
    if result.too_small:
        say(told_small(result.too_small))
    if matched.skipped:
        say(f"{len(matched.skipped)} unreadable: {'; '.join(matched.skipped[:3])}")
    say(f"measured {len(matched.names)} edits; wrote {options.out / 'table.md'}")
    return {"out": options.out, **numbers}


def _draw(out: Path, result: Result) -> None:
    """Figures of all metrics, leakage and the audit."""
    if set(result.table) - {"fid", "kid"}:
        save_figure(plot_table(result.table), out / "metrics.png")
    if result.matrix:
        save_figure(plot_leakage(result.matrix), out / "leakage.png")
    if result.gaps:
        save_figure(plot_audit(result), out / "audit.png")


def _foresee(
    options: Evaluate, matched: MatchedPictures, scorers: Scorers, wish: Wish | None
) -> None:
    """With --dry-run: measure a few pictures, and end here."""
    few = [
        run._replace(**{name: x[:FEW] for name, x in run._asdict().items() if x is not None})
        for run in matched.runs
    ]
    count, seconds = len(matched.names), timeit(lambda: over_runs(few, scorers, wish), number=1)
    would = f"measure {count} edits into {options.out}"
    foreseen(would, seconds * count / len(few[0].edits))


def on_domain(options: Evaluate) -> Evaluate:
    """The judge and the guides of a domain, where one is named."""
    if not options.domain:
        return options
    names = source_of(options.domain).NETWORKS
    guides = Guides(names.encoder, names.distance)
    return replace(options, judge=options.domain, guides=guides)


def wish_of(options: Evaluate) -> Wish | None:
    """What the edit should have done; what goes along is what a domain's own task says."""
    if not options.attribute:
        return None
    asked = (options.attribute, options.value)
    tasks = source_of(options.domain).TASKS.values() if options.domain else ()
    due = (task.follows for task in tasks if (task.attribute, task.value) == asked)
    return Wish(*asked, next(due, ()))


def _rows(result: Result) -> list[dict[str, object]]:
    """A row for all images, and one for each subgroup."""
    rows: list[dict[str, object]] = [{"group": "all", **result.table}]
    for attribute, members in result.groups.items():
        rows += [{"group": f"{attribute}: {value}", **row} for value, row in members.items()]
    return rows


def check(options: Evaluate) -> None:
    """Refuse what cannot work before anything is read."""
    if options.seed < 0:
        raise AsyrpError(f"--seed must be 0 or more; got {options.seed}")
    if bool(options.source) != bool(options.target):
        raise AsyrpError("S_dir needs both --source and --target; got one; give both or neither")
    if bool(options.attribute) != bool(options.value):
        raise AsyrpError(
            "success needs both --attribute and --value; got one; give both or neither"
        )
    if options.attribute and options.judge == NONE:
        raise AsyrpError(
            "--attribute needs a judge; got --judge none; use that of a domain or a FILE.json "
            "of questions"
        )
    if options.compare_with == "reconstruction" and options.reconstructions is None:
        raise AsyrpError("--compare-with reconstruction needs --reconstructions FOLDER")


def check_counts(options: Evaluate, count: int) -> None:
    """Refuse fewer pictures than an asked metric of whole sets needs, before networks look at them.

    Raises:
        AsyrpError: naming all such metrics, and how to leave them out.
    """
    least = {"fid": ("FID", LEAST_FID), "diversity": ("diversity", LEAST_DIVERSITY)}
    lacking = {
        option: f"{name} needs at least {images} images"
        for option, (name, images) in least.items()
        if option not in options.leave_out and count < images
    }
    if lacking:
        way = " ".join(f"--leave-out {option}" for option in lacking)
        raise AsyrpError(f"{', '.join(lacking.values())}; got {count}; give more, or {way}")


def questions_for(options: Evaluate) -> Questions | None:
    """The questions of a judge of the user's, with a warning where it is the guide.

    Raises:
        AsyrpError: no such judge, or none that is asked about the attribute and value.
    """
    questions = questions_of(options.judge)
    if questions is None:
        return None
    if options.attribute:
        place_of(questions.values, options.attribute, options.value)
    if warning := partiality(questions, options.guides.encoder):
        say(f"warning: {warning}")
    return questions


def check_judge(scorers: Scorers, matched: MatchedPictures) -> None:
    """Refuse pictures that the judge was not made for, before the long work."""
    if scorers.judge is None:
        return
    try:
        scorers.judge.logits(matched.runs[0].edits[:1])
    except AsyrpError as error:
        raise AsyrpError(
            f"{error}; use --judge none or a FILE.json, with --segmenter and --identity"
        ) from error


def measure(
    options: Evaluate, matched: MatchedPictures, scorers: Scorers, wish: Wish | None
) -> Result:
    """Every number that is written."""
    people = look.compared(options.answers, matched, scorers, wish) if options.answers else {}
    runs, seed = matched.runs, options.seed
    values, features = over_runs(runs, scorers, wish), features_in(runs, scorers)
    if options.compare_with == "reconstruction":
        moved = [Pictures(back, run.edits) for run in runs if (back := run[2]) is not None]
        values |= over_runs(moved, Scorers(guide=scorers.guide))
    table = {**summarised(values, seed), **of_sets(runs, scorers, features, seed)}
    labels = _labels(options, matched, scorers)
    members = {name: grouped(row) for name, row in labels.items()}
    small = {name: few for name, row in labels.items() if (few := too_small(row))}
    groups = of_groups(values, members, features, seed)
    matrix: dict[str, dict[str, Estimate]] = {}
    if scorers.judge is not None and wish is not None:
        matrix = leakage_matrix(runs, scorers.judge, wish, seed)
    lines = measured_lines(runs[0], matched.lines, scorers, wish, seed)
    return Result(table, groups, gaps(values, members, seed), matrix, small, lines, people)


def _labels(options: Evaluate, matched: MatchedPictures, scorers: Scorers) -> dict[str, list[str]]:
    """attribute -> the sources' labels: the CSV's columns where it has them, else by the judge."""
    columns = set(matched.labels[0]) if matched.labels else set()
    own = scorers.judge.audited if scorers.judge is not None else sorted(columns)
    asked = tuple(own) if options.subgroups is None else options.subgroups
    found = {}
    for name in asked:
        if name in columns:
            found[name] = [labels[name] or "" for labels in matched.labels]
        elif scorers.judge is not None:
            found |= labels_of(scorers.judge, matched.runs[0].sources, [name])
        else:
            raise AsyrpError(
                f"--subgroups {name!r} needs a column of that name in a CSV, or a judge"
            )
    return found
