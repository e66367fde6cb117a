"""Figures: data in, matplotlib Figure out."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from asyrp.method.editing_interval import Found
from asyrp.method.protocols import Thresholds
from asyrp.reporting.figures import COLORS, new_figure
from asyrp.storage.files import atomic_path

BLUE, ORANGE = COLORS[:2]


def plot_curves(found: Found, cosine: float, thresholds: Thresholds) -> Figure:
    """LPIPS(x, P_t) and LPIPS(x, x_t) over t, with the levels and timesteps read off them."""
    figure, (axes,) = new_figure()
    lines = (
        (found.curves.x0, BLUE, "LPIPS(x, P_t)", found.t_edit.t, "t_edit"),
        (found.curves.xt, ORANGE, "LPIPS(x, x_t)", found.t_boost.t, "t_boost"),
    )
    levels = (thresholds.edit * cosine, thresholds.boost)
    for (values, color, label, t, name), level in zip(lines, levels, strict=True):
        low, high = np.quantile(values, [0.05, 0.95], axis=1)
        axes.fill_between(found.curves.times, low, high, color=color, alpha=0.15, linewidth=0)
        axes.plot(found.curves.times, values.mean(1), color=color, label=label)
        axes.axhline(level, color=color, linewidth=0.8, linestyle=":")
        axes.axvline(t, color=color, linewidth=0.8, linestyle="--", label=f"{name} = {t}")
    start = found.t_start
    axes.axvline(start, color="black", linewidth=0.8, linestyle="-.", label=f"t_start = {start}")
    axes.set(xlabel="timestep t", ylabel="perceptual distance", xlim=(0, None), ylim=(0, None))
    axes.legend(fontsize=8)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """A figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
