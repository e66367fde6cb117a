"""Draw what is left of the image over t, for the three schedules."""

from pathlib import Path

import numpy as np
from common import script, write

from asyrp.method.schedule import cosine, linear, paper_grid, scaled_linear, times
from asyrp.reporting.figures import COLORS, new_figure


def main(out: Path) -> None:
    """Signal sqrt(abar) and noise sqrt(1 - abar) of the linear schedule; abar of all three."""
    figure, (left, right) = new_figure(4.6, 3.2, 2)
    tables = {
        "linear (the paper)": linear(),
        "scaled linear": scaled_linear(),
        "cosine": cosine(),
    }
    abar = {name: np.array(schedule.alpha_bars) for name, schedule in tables.items()}
    t = np.arange(1000)
    first = abar["linear (the paper)"]
    grid = np.array(times(paper_grid(40)))
    left.plot(t, np.sqrt(first), color=COLORS[0], label="signal: sqrt(alpha_bar)")
    left.plot(t, np.sqrt(1 - first), color=COLORS[1], label="noise: sqrt(1 - alpha_bar)")
    left.plot(grid, np.sqrt(first[grid]), "|", color=COLORS[0], ms=7, label="the 40-step grid")
    left.set(xlabel="timestep t", ylabel="share in x_t")
    left.legend(fontsize=8)
    for (name, values), color in zip(abar.items(), COLORS, strict=False):
        right.plot(t, values, color=color, label=name)
    right.set(xlabel="timestep t", ylabel="alpha_bar")
    right.legend(fontsize=8)
    every = {name: values[::37] for name, values in abar.items()}
    write("alpha_bar", figure, {"t": t[::37], "grid": grid, **every}, out)


if __name__ == "__main__":
    script(main)
