"""Figures of results: estimates with their intervals in, matplotlib Figure out."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from asyrp.reporting.statistics import Estimate

# Okabe and Ito's palette without yellow and black, safe for colour-blind eyes
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
Series = Mapping[str, Sequence[Estimate | float]]


def new_figure(
    width: float = 6.4, height: float = 3.6, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes side by side."""
    figure = Figure(
        figsize=(width * columns if columns < 3 else 4.6 * columns, height), layout="constrained"
    )
    return figure, [figure.add_subplot(1, columns, place + 1) for place in range(columns)]


def lines(
    axes: Axes, x: Sequence[float], series: Series, xlabel: str, ylabel: str, first: int = 0
) -> None:
    """One line a series, in the colours from `first` on; estimates get a band, their interval."""
    for place, (label, values) in enumerate(series.items(), start=first):
        color, mark = COLORS[place % len(COLORS)], MARKS[place % len(MARKS)]
        middle, low, high = with_ends(values)
        axes.plot(x, middle, color=color, marker=mark, ms=4, label=label)
        if (low != high).any():
            axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    if len(series) > 1:
        axes.legend(fontsize=8)


def dots(axes: Axes, names: Sequence[str], series: Series, xlabel: str) -> None:
    """Names down the side, a dot with its interval for each series."""
    height = 0.6 / len(series)
    for place, (label, values) in enumerate(series.items()):
        y = np.arange(len(names)) + height * (place - (len(series) - 1) / 2)
        axes.errorbar(
            with_ends(values)[0],
            y,
            xerr=reach(values),
            fmt=MARKS[place % len(MARKS)],
            color=COLORS[place % len(COLORS)],
            ms=5,
            label=label,
        )
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel=xlabel)
    axes.grid(axis="x", alpha=0.3)
    if len(series) > 1:
        axes.legend(fontsize=8)


def heat(
    axes: Axes, values: np.ndarray, rows: Sequence[str], columns: Sequence[str], label: str
) -> None:
    """A matrix with its numbers written in; NaN stays empty."""
    shown = np.ma.masked_invalid(values)
    picture = axes.imshow(shown, cmap="cividis", aspect="auto")
    middle = (shown.min() + shown.max()) / 2
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            color = "white" if value < middle else "black"
            axes.text(
                column, row, f"{value:.2g}", ha="center", va="center", fontsize=7, color=color
            )
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
    axes.set_yticks(range(len(rows)), rows)
    if axes.figure is not None:
        axes.figure.colorbar(picture, ax=axes, label=label)


def reach(values: Sequence[Estimate | float]) -> np.ndarray:
    """How far their intervals reach below and above, (2, n), as error bars take it."""
    middle, low, high = with_ends(values)
    found: np.ndarray = np.maximum([middle - low, high - middle], 0)
    return found


def with_ends(values: Sequence[Estimate | float]) -> np.ndarray:
    """Values and both ends of their intervals, (3, n); a bare number's has no width."""
    every = [v[:3] if isinstance(v, Estimate) else (v, v, v) for v in values]
    return np.array(every, np.float64).reshape(-1, 3).T
