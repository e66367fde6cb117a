"""docs/performance.md and its figures from the numbers of a run; nothing on it is typed by hand."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from asyrp.experiments.plots import BLUE, ORANGE
from asyrp.reporting.tables import Row, markdown
from bench import busy, inverting, reduced, traded_page
from bench.bars import BARS, Bar, Found
from bench.subjects import SHAPES

GROWTHS = ("images", "steps", "batch", "resolution")
WALKS = ("walk-avatars-64", "walk-ddpm-128", "walk-ddpm-128-by-4", "walk-ddpm-256")
TRAININGS = ("train-avatars-64", "train-ddpm-64")


def page(found: Found, last: Found, command: str) -> str:
    """The whole page."""
    parts = [
        "# Speed and memory",
        f"Written by `{command}`. Medians, with the least and the most of all runs in brackets.",
        *_section("Machine", machine(found)),
        *_section("Targets and results", [markdown(bar_rows(found))]),
        *_section("Inverting and editing", walking(found)),
        *_section("Training", training(found)),
        *_section("Speed against quality", traded_page.told(found.get("traded"))),
        *_section("In bfloat16", reduced.told(found)),
        *_section("Beside busy processes", busy.told(found.get("busy"))),
        *_section("Inversion: what it loses", inverting.told(found.get("inverting"))),
        *_section("Memory", memory(found)),
        *_section("Growth", growth(found)),
        *_section("Beside the run before", [markdown(changes(found, last))] if last else []),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _section(title: str, body: Sequence[str]) -> list[str]:
    return [f"## {title}", *body] if body else []


def machine(found: Found) -> list[str]:
    """The processor, and what it can do at best."""
    told = found.get("machine")
    if told is None:
        return []
    return [
        f"{told['processor']}, {told['threads']} threads ({told['capability']}), {told['system']}, "
        f"Python {told['python']}, torch {told['torch']}. Matrix products of {told['size']} x "
        f"{told['size']}, by the faster of torch's two libraries: "
        f"{told['gemm'] / 1e9:.0f} GFLOP/s in float32, "
        f"{told['gemm_bfloat16'] / 1e9:.0f} in bfloat16; copying: "
        f"{told['copy'] / 1e9:.0f} GB/s read and written. Efficiency is the "
        "share of the better float32 rate of those measured right before and right after the same "
        "run; on a machine whose clock changes within seconds one may come out above 100 %.",
    ]


def bar_rows(found: Found) -> list[Row]:
    """A row a bar."""
    words = {True: "met", False: "**not met**", None: "not measured"}
    return [
        {
            "what": bar.name,
            "target": _asked(bar),
            "result": _amount(bar.value(found), bar.percent),
            "": words[bar.met(found)],
        }
        for bar in BARS
    ]


def _asked(bar: Bar) -> str:
    if bar.least is not None:
        return f"at least {_amount(bar.least, bar.percent)}"
    return f"at most {_amount(bar.most, bar.percent)}"


def _amount(value: float | None, percent: bool) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if percent else f"{value:.2f}"


def walking(found: Found) -> list[str]:
    """A row a network and work, and the ratios."""
    rows = list(_walks(found))
    if not rows:
        return []
    shapes = "; ".join(f"{name}: {shape.what}, random weights" for name, shape in SHAPES.items())
    notes = [
        f"Editing on [T, 513]. {shapes}. The reference implementation, "
        "`benchmarks/naive.py`, works in the order of the official code: the same network and "
        "results to rounding, one image at a time, two decodes a step; its inversion "
        "reconstructs too, for nothing. Ours takes 16 images of avatars-64 at once, one of the "
        "others where the name does not say how many.",
        markdown(rows),
        *(_told(name, found[name]) for name in WALKS if name in found),
    ]
    if "processes" in found:
        notes.append(
            "Two processes of one thread invert "
            f"{spread(found['processes']['efficiency'])} times as many images a second as one "
            "process of two threads."
        )
    return notes


def _walks(found: Found) -> Iterator[Row]:
    for name in WALKS:
        part = found.get(name, {})
        for work, one in part.get("works", {}).items():
            yield {
                "network": name.removeprefix("walk-"),
                "work": work,
                "steps": part["steps"],
                "seconds": spread(one["seconds"]),
                "images/s": f"{one['images_per_second']:.3g}",
                "GFLOP": f"{one['flops'] / 1e9:.0f}",
                "GFLOP/s": f"{one['rate'] / 1e9:.0f}",
                "efficiency, %": spread(one["share"], 100),
            }


def _told(name: str, part: Mapping[str, Any]) -> str:
    return (
        f"{name.removeprefix('walk-')}: editing is {spread(part['ratio'])} times as fast as "
        f"the reference implementation; {100 * part['python']['median']:.1f} % of its time is "
        "spent outside of the network."
    )


def training(found: Found) -> list[str]:
    """Seconds of every work, and ratios."""
    bodies = []
    for name in TRAININGS:
        part = found.get(name)
        if part is None:
            continue
        rows: list[Row] = [
            {"work": work, "seconds": spread(one)} for work, one in part["seconds"].items()
        ]
        ratio = part["ratio"]
        bodies += [
            f"{name.removeprefix('train-')}, {part['steps']} steps of which "
            f"{part['timesteps']} are trained on, batch 1, the official settings:",
            markdown(rows),
            f"Compared with the reference implementation: one attribute {spread(ratio['one'])} "
            f"times as fast, a further epoch {spread(ratio['epoch'])}, a further attribute "
            f"{spread(ratio['attribute'])}. Two attributes take {spread(ratio['two'])} times as "
            f"long as one. Counted FLOPs of an epoch: {part['flops_ratio']:.3f} of those that its "
            "passes need.",
        ]
    return bodies


def memory(found: Found) -> list[str]:
    """Most memory of each part that measures it."""
    names = {
        "memory-train": "training at 256x256, batch 1",
        "memory-train-checkpointing": "the same with --train.checkpointing",
        "memory-100": "inverting 100 images into a store",
        "memory-10000": "inverting 10,000 images into a store",
    }
    rows: list[Row] = [
        {
            "work": what,
            "most memory, GB": f"{found[name]['bytes'] / 1e9:.2f}",
            "seconds": f"{found[name]['seconds']:.1f}",
        }
        for name, what in names.items()
        if name in found
    ]
    return [markdown(rows)] if rows else []


def growth(found: Found) -> list[str]:
    """The table behind the figure."""
    rows: list[Row] = [
        {
            "varied": axis,
            "value": row["value"],
            "seconds": spread(row["seconds"]),
            "GFLOP/s": f"{row['flops'] / row['seconds']['median'] / 1e9:.0f}",
        }
        for axis in GROWTHS
        for row in found.get(axis, {}).get("rows", [])
    ]
    if not rows:
        return []
    return ["![Seconds of inversion over what is varied](images/performance.png)", markdown(rows)]


def changes(found: Found, last: Found) -> list[Row]:
    """Every bar's number now and in the run before."""
    rows: list[Row] = []
    for bar in BARS:
        now, before = bar.value(found), bar.value(last)
        if now is not None and before is not None:
            rows.append(
                {
                    "what": bar.name,
                    "before": _amount(before, bar.percent),
                    "now": _amount(now, bar.percent),
                    "change": f"{100 * (now / before - 1):+.1f} %" if before else "–",
                }
            )
    return rows


def spread(told: Mapping[str, Any], factor: float = 1) -> str:
    """median [least, most], each times the factor."""
    middle, least, most = (factor * told[name] for name in ("median", "least", "most"))
    return f"{middle:.3g} [{least:.3g}, {most:.3g}]"


def plot(found: Found) -> Figure:
    """Seconds over images, steps, batch and pixels, on logarithmic axes."""
    figure = Figure(figsize=(9.6, 2.8), layout="constrained")
    for place, axis in enumerate(GROWTHS):
        axes = figure.add_subplot(1, len(GROWTHS), place + 1)
        points = list(_points(found.get(axis, {})))
        if points:
            x, low, middle, high = zip(*points, strict=True)
            axes.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
            axes.loglog(x, middle, "o-", color=BLUE, markersize=4)
            ideal = [middle[-1] * (one / x[-1]) for one in x]
            if axis != "batch":
                axes.loglog(x, ideal, ":", color=ORANGE, label="in proportion")
                axes.legend(fontsize=7, frameon=False)
            axes.set_xticks(x, [f"{one:,}" for one in x], rotation=45, fontsize=8)
            axes.set_xticks([], minor=True)
            for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                formatter("{x:g}")
            axes.tick_params(axis="y", which="both", labelsize=8)
        label = "pixels" if axis == "resolution" else axis
        axes.set(xlabel=label, ylabel="seconds" if place == 0 else "")
    return figure


def _points(part: Mapping[str, Any]) -> Iterator[tuple[float, float, float, float]]:
    for row in part.get("rows", []):
        value = row["value"]
        x = SHAPES[value].pixels ** 2 if isinstance(value, str) else value
        seconds = row["seconds"]
        yield x, seconds["least"], seconds["median"], seconds["most"]
