"""Charts as SVG: the LPIPS curves with marks that can be moved, and the loss of a training."""

import html
from collections.abc import Sequence

import numpy as np

from asyrp.app.sessions import Marks
from asyrp.experiments.plots import BLUE, ORANGE
from asyrp.method.editing_interval import Curves

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BASE = 46, 24, 46, 216  # of what is drawn in it
GREEN = "#007A5A"  # between Okabe and Ito's bluish green and black, readable as text
AXIS = f'<path class="axis" d="M{LEFT} {TOP}V{BASE}H{WIDTH - RIGHT}"/>'
COLORS = {"t_start": GREEN, "t_edit": BLUE, "t_boost": ORANGE}


def across(t: float, longest: int) -> float:
    """The x of a timestep."""
    return LEFT + (WIDTH - LEFT - RIGHT) * t / longest


def down(value: float, highest: float) -> float:
    """The y of a value."""
    return BASE - (BASE - TOP) * value / highest


def curves(measured: Curves | None, marks: Marks, longest: int) -> str:
    """LPIPS(x, P_t) and LPIPS(x, x_t) of a picture over t in 0..longest, and the marks."""
    highest, lines = 1.0, ""
    if measured is not None:
        means = measured.x0.mean(1), measured.xt.mean(1)
        highest = max(0.1, float(np.max(means)) * 1.08)
        for values, color in zip(means, (BLUE, ORANGE), strict=True):
            spots = zip(measured.times, values, strict=True)
            points = [(across(t, longest), down(v, highest)) for t, v in spots]
            lines += _line(points, color)
    inside = _phases(marks, longest) + _axes(highest, longest) + lines + _legend()
    inside += "".join(_mark(name, t, longest) for name, t in marks._asdict().items())
    return _svg(inside, _described(marks, measured), f'data-longest="{longest}"')


def _described(marks: Marks, measured: Curves | None) -> str:
    start, end, boost = marks
    what = "LPIPS curves of the picture over timestep t."
    known = "No picture is measured yet." if measured is None else what
    return f"{known} Editing from t = {start} to t = {end}, boosting below {boost}."


def _phases(marks: Marks, longest: int) -> str:
    zones = ((marks.t_edit, marks.t_start, "edit"), (0, min(marks.t_boost, marks.t_edit), "boost"))
    return "".join(
        f'<rect class="{name}" x="{across(low, longest):.1f}" y="{TOP}" '
        f'width="{max(0, across(high, longest) - across(low, longest)):.1f}" '
        f'height="{BASE - TOP}"/>'
        for low, high, name in zones
    )


def _axes(highest: float, longest: int) -> str:
    times = ((min(t, longest), t) for t in range(0, longest + 2, 200))
    numbers = "".join(_text(across(at, longest), BASE + 15, str(t), "middle") for at, t in times)
    heights = ((share * highest, down(share, 1)) for share in (0.0, 0.5, 1.0))
    numbers += "".join(_text(LEFT - 5, y + 4, f"{value:.2g}", "end") for value, y in heights)
    return AXIS + numbers + _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "timestep t", "middle")


def _legend() -> str:
    names = (("LPIPS(x, P_t)", BLUE), ("LPIPS(x, x_t)", ORANGE))
    return "".join(
        _text(WIDTH - RIGHT, BASE - 8 - 16 * row, name, "end", f'style="fill:{color}"')
        for row, (name, color) in enumerate(names)
    )


def _text(x: float, y: float, text: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {more}>{text}</text>'


def _mark(name: str, t: int, longest: int) -> str:
    return (
        f'<g class="mark" data-mark="{name}" transform="translate({across(t, longest):.1f},0)" '
        f'style="--color:{COLORS[name]}">'
        f'<rect x="-9" y="{TOP - 24}" width="18" height="{BASE - TOP + 24}" fill="transparent"/>'
        f'<path d="M0 {TOP}V{BASE}"/><circle r="7" cy="{TOP}"/>'
        f"{_text(0, TOP - (28 if name == 't_edit' else 12), name, 'middle')}</g>"
    )


def _line(points: Sequence[tuple[float, float]], color: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" style="stroke:{color}"/>'


def _svg(inside: str, title: str, more: str = "") -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {more} '
        f'aria-label="{html.escape(title)}">{inside}</svg>'
    )


def losses(points: Sequence[tuple[int, float]], batches: int) -> str:
    """The validation loss over batches."""
    if len(points) < 2:
        return ""
    highest = max(value for _, value in points) * 1.08 or 1.0
    spots = [(across(batch, batches), down(value, highest)) for batch, value in points]
    text = _text(LEFT - 5, TOP + 4, f"{highest:.2g}", "end") + _text(LEFT - 5, BASE + 4, "0", "end")
    text += _text(WIDTH - RIGHT, BASE + 15, f"batch {batches}", "end")
    text += _text(LEFT + 8, TOP - 8, "validation loss")
    title = f"Validation loss, {points[0][1]:.3f} at first, {points[-1][1]:.3f} now."
    return _svg(AXIS + text + _line(spots, BLUE), title)
