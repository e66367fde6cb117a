"""Draw how far a shift of eps moves the next x: in both halves of the step, and in P_t alone."""

from pathlib import Path

from common import script, write

from asyrp.experiments.studies.theorem1 import coefficients
from asyrp.method.schedule import linear, paper_grid
from asyrp.reporting.figures import COLORS, new_figure

STEPS = (1000, 50, 40)


def main(out: Path) -> None:
    """Two panels: the whole range, and the symmetric shift alone."""
    figure, (left, right) = new_figure(4.6, 3.2, 2)
    schedule, numbers = linear(), {}
    for steps, color in zip(STEPS, COLORS, strict=False):
        grid = paper_grid(steps)[:-1]  # the last step leads to the image itself
        t = [pair.t for pair in grid]
        both, alone = zip(*(coefficients(schedule, pair, 0.0) for pair in grid), strict=True)
        left.plot(t, alone, color=color, linestyle="--", label=f"P_t alone, {steps} steps")
        left.plot(t, both, color=color, label=f"both halves, {steps} steps")
        right.plot(t, both, color=color, label=f"both halves, {steps} steps")
        chosen = slice(None, None, max(1, steps // 40))
        numbers[str(steps)] = {"t": t[chosen], "both": both[chosen], "alone": alone[chosen]}
    left.set(xlabel="timestep t", ylabel="movement of x_s, in units of the shift", ylim=(-1.6, 0.1))
    right.set(xlabel="timestep t", ylim=(-0.32, 0.01))
    for axes in (left, right):
        axes.legend(fontsize=7)
    write("theorem1", figure, numbers, out)


if __name__ == "__main__":
    script(main)
