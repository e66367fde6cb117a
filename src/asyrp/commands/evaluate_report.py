"""What `asyrp evaluate` writes: the Markdown page, the notes, two figures."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from asyrp.commands.evaluate_pictures import MatchedPictures
from asyrp.commands.judges import described, lender_of, partiality
from asyrp.method.protocols import templates_of
from asyrp.metrics.calibration import BETTER, LINES, scores
from asyrp.metrics.frechet import FID_DRAWS, KID_DRAWS, LEAST_FID
from asyrp.metrics.gaps import Gap
from asyrp.metrics.table import GROUP_DRAWS, LEAST_GROUP, METRICS, Scorers
from asyrp.metrics.zero_shot import Questions
from asyrp.options.evaluate import Evaluate
from asyrp.reporting.figures import dots, new_figure
from asyrp.reporting.statistics import DRAWS, HOW, Estimate
from asyrp.reporting.tables import markdown, percent
from asyrp.scorers.load import same_encoder

MOST_GAPS = 12  # rows of the audit in table.md; the JSON has all
MOST_SMALL = 6  # subgroups of an attribute that are named as too small; the JSON has all


class Result(NamedTuple):
    """Every number: of all images, of subgroups, the gaps, and leakage by attribute.

    too_small: attribute -> value -> images, of the subgroups that were left out. lines: no edit,
    and where given a perfect and a wrong one -> the same table. people: what `look.compared` found.
    """

    table: dict[str, Estimate]
    groups: dict[str, dict[str, dict[str, Estimate]]]
    gaps: list[Gap]
    matrix: dict[str, dict[str, Estimate]]
    too_small: dict[str, dict[str, int]]
    lines: dict[str, dict[str, Estimate]]
    people: dict[str, Any]


def notes_of(
    options: Evaluate,
    matched: MatchedPictures,
    scorers: Scorers,
    questions: Questions | None = None,
) -> dict[str, Any]:
    """What the numbers mean and what they were made with."""
    named = {
        "distance": scorers.distance or scorers.spread,
        "judge": scorers.judge,
        "segmenter": scorers.segmenter,
        "features of FID and KID": scorers.features,
        "identity": scorers.identity,
    }
    s_dir = {
        "encoder": options.guides.encoder,
        "source text": options.source,
        "target text": options.target,
        "templates": list(templates_of(scorers.guide.encoder)) if scorers.guide else [],
        "source image": options.compare_with,
    }
    return {
        "images": len(matched.names),
        "attribute": options.attribute,
        "value": options.value,
        "skipped": matched.skipped,
        "sources fitted to the size of the edits": matched.fitted,
        "runs": [str(path) for path in options.edits],
        "seeds": {"bootstrap": options.seed, "noise": matched.seeds},
        "draws": {"means": DRAWS, "FID": FID_DRAWS, "KID": KID_DRAWS},
        "networks": {key: one.name for key, one in named.items() if one is not None},
        "S_dir": s_dir if scorers.guide is not None else None,
        "definitions": dict(METRICS),
        **_lent(options, scorers, questions),
        **({} if questions is None or scorers.judge is None else _asked(options, questions)),
    }


def _lent(options: Evaluate, scorers: Scorers, questions: Questions | None) -> dict[str, str]:
    """What is said where the guide itself lends its features to FID and KID."""
    guide = options.guides.encoder
    by_guide = guide if lender_of(options) == "encoder" else ""
    lender = questions.encoder if questions and options.features == "judge" else by_guide
    if scorers.features is None or not lender or not same_encoder(lender, guide):
        return {}
    return {
        "features": f"FID and KID compare features of {lender}, the guide that --encoder names, as "
        "S_dir does; edits look good to the network that guided them, so give --features another"
    }


def _asked(options: Evaluate, questions: Questions) -> dict[str, Any]:
    """What a judge of the user's was asked, and whether it is the guide."""
    warning = partiality(questions, options.guides.encoder)
    return {"judge": described(questions), **({"warning": warning} if warning else {})}


def page(result: Result, notes: dict[str, Any]) -> str:
    """table.md."""
    unscored = no_scores(result)
    rows = [_metric_row(name, result) for name in result.table if name not in unscored]
    parts = ["# Evaluation", _preface(notes), markdown(rows)]
    if unscored:
        parts += [_UNSCORED, markdown([_metric_row(name, result) for name in unscored])]
    if result.people:
        parts += ["## By eye", _told_people(result.people)]
    if result.gaps:
        parts += ["## Largest gaps between subgroups", _AUDIT, markdown(_audit_rows(result.gaps))]
    if result.groups:
        parts += ["## Subgroups", _GROUPS]
    if result.too_small:
        parts += [f"**Left out:** {told_small(result.too_small)}."]
    for attribute, members in result.groups.items():
        parts += [f"By {attribute}:", markdown(_group_rows(members))]
    if result.matrix:
        rows = [{"of": name, **row} for name, row in result.matrix.items()]
        parts += ["## Answers that changed, by attribute", markdown(rows)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


_UNSCORED = "No scores, since a perfect edit is not the best by them:"


def no_scores(result: Result) -> list[str]:
    """Metrics that do not see the perfect edit as the best; none where there is no scale."""
    if not all(line in result.lines for line in LINES):
        return []
    kept = scores(result.lines)
    return [name for name in result.table if name in BETTER and name not in kept]


def _metric_row(name: str, result: Result) -> dict[str, Any]:
    estimate = result.table[name]
    return {
        "metric": name,
        "mean [95 % interval]": estimate,
        **{line: table.get(name) for line, table in result.lines.items()},
        "images": estimate.images,
        "what it is": METRICS.get(name, "of the judge's domain"),
    }


def _told_people(people: Mapping[str, Any]) -> str:
    shares = "; ".join(
        f"{word}: people {percent(one)}, the judge {percent(people['of_judge'][word])}"
        for word, one in people["of_people"].items()
    )
    kappa = "undefined" if people["kappa"] is None else f"{people['kappa']:.2f}"
    return (
        f"{people['answered']} answers of people about edits that nobody chose. The judge agrees "
        f"on {percent(people['agreement'])} %; Cohen's kappa {kappa} (0: by chance, "
        f"1: always). Shares in %: {shares}."
    )


_AUDIT = (
    f"Subgroups of at least {LEAST_GROUP} images, the least likely gap first: p is the share of "
    "random subgroups of the same sizes with as large a gap, adjusted for all gaps; 95 of 100 stay "
    "below *by chance*."
)


def _preface(notes: dict[str, Any]) -> str:
    networks = "; ".join(f"{key}: {name}" for key, name in notes["networks"].items())
    fitted = notes["sources fitted to the size of the edits"]
    lines = [
        f"{notes['images']} images, {len(notes['skipped'])} unreadable. Intervals: {HOW}; here "
        f"over images{_over_runs(notes)}, seed {notes['seeds']['bootstrap']}, FID from "
        f"{notes['draws']['FID']}, KID from {notes['draws']['KID']} resamples.",
        f"{fitted} sources had another size than the edits: cropped at the centre, resized."
        if fitted
        else "",
        f"Networks: {networks}." if networks else "",
        f"Judge: {notes['judge']}." if "judge" in notes else "",
        f"**Warning:** {notes['warning']}." if "warning" in notes else "",
        f"{notes['features']}." if "features" in notes else "",
    ]
    if notes["S_dir"]:
        made = notes["S_dir"]
        lines.append(
            f"S_dir: encoder {made['encoder']}, {made['source text']!r} → {made['target text']!r}, "
            f"{len(made['templates'])} templates ({made['templates'][0]!r}), source image: "
            f"{made['source image']}; higher is better."
        )
    return "\n".join(line for line in lines if line)


def _over_runs(notes: dict[str, Any]) -> str:
    """What is said of several runs, and of their seeds."""
    seeds = notes["seeds"]["noise"]
    told = ", ".join("unknown" if seed is None else str(seed) for seed in seeds)
    if len(seeds) == 1:
        return f" (edits made with seed {told})"
    return (
        f" and over {len(seeds)} runs with the seeds {told} (FID, KID and diversity: means over "
        "runs, resamples of images)"
    )


def _audit_rows(gaps: list[Gap]) -> list[dict[str, Any]]:
    named = {"by_chance": "by chance", "p": "p (Holm)", "spread": "gap / deviation"}
    return [{named.get(k, k): v for k, v in gap._asdict().items()} for gap in gaps[:MOST_GAPS]]


_GROUPS = (
    "FID falls with the number of images, so it is taken over as many images of each subgroup as "
    f"the smallest has, and only where that is {LEAST_FID} or more; its intervals are from "
    f"{GROUP_DRAWS} draws. FID and KID belong to whole sets, and are not among the gaps above."
)


def told_small(too_small: Mapping[str, Mapping[str, int]]) -> str:
    """Which subgroups have too few images, with how many they have."""
    told = []
    for attribute, members in too_small.items():
        named = [f"{value} ({count})" for value, count in members.items()]
        more = f" and {len(named) - MOST_SMALL} more" if len(named) > MOST_SMALL else ""
        told.append(f"{attribute}: {', '.join(named[:MOST_SMALL])}{more}")
    return f"subgroups need {LEAST_GROUP} images each; too small are {'; '.join(told)}"


def _group_rows(members: Mapping[str, Mapping[str, Estimate]]) -> list[dict[str, Any]]:
    """A row a metric, a column a subgroup with its number of images."""
    counts = {
        value: max((e.images for e in row.values()), default=0) for value, row in members.items()
    }
    every = {name for row in members.values() for name in row}
    names = [name for name in (*METRICS, *sorted(every - METRICS.keys())) if name in every]
    return [
        {
            "metric": name,
            **{f"{value} ({counts[value]})": row.get(name) for value, row in members.items()},
        }
        for name in names
    ]


def plot_table(table: Mapping[str, Estimate]) -> Figure:
    """Every metric but FID and KID, which have scales of their own, with its interval."""
    shown = {name: one for name, one in table.items() if name not in ("fid", "kid")}
    figure, (axes,) = new_figure(6.4, 0.9 + 0.3 * len(shown))
    dots(axes, list(shown), {"": list(shown.values())}, "mean over images, 95 % interval")
    return figure


def plot_leakage(matrix: dict[str, dict[str, Estimate]]) -> Figure:
    """Share of images whose judged value changed, by attribute, edit beside reconstruction."""
    figure, (axes,) = new_figure()
    names = list(matrix["edit"])
    series = {label: [_percent(row[name]) for name in names] for label, row in matrix.items()}
    dots(axes, names, series, "images whose judged value changed, %")
    return figure


def plot_audit(result: Result) -> Figure:
    """The gaps that stand out most, beside what chance gives."""
    figure, (axes,) = new_figure()
    top = result.gaps[:MOST_GAPS]
    names = [f"{g.metric}: {g.attribute} ({g.lowest} < {g.highest})" for g in top]
    dots(
        axes,
        names,
        {"gap": [g.gap for g in top], "95 % of random groups": [g.by_chance for g in top]},
        "largest minus smallest mean of the subgroups",
    )
    axes.tick_params(axis="y", labelsize=7)
    return figure


def _percent(estimate: Estimate) -> Estimate:
    value, low, high = (100 * v for v in estimate[:3])
    return estimate._replace(value=value, low=low, high=high)
