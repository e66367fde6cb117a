"""Charts as SVG: the LPIPS curves with marks that can be moved, and the loss of a training."""

import html
from collections.abc import Sequence

import numpy as np

from asyrp.app.sessions import Marks
from asyrp.experiments.plots import BLUE, ORANGE
from asyrp.method.editing_interval import Curves

WIDTH, HEIGHT = 640, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 24, 46, 34
GREEN = "#007A5A"  # between Okabe and Ito's bluish green and black, readable as text
COLORS = {"t_start": GREEN, "t_edit": BLUE, "t_boost": ORANGE}


def across(t: float, longest: int) -> float:
    """The x of a timestep."""
    return LEFT + (WIDTH - LEFT - RIGHT) * t / longest


def down(value: float, highest: float) -> float:
    """The y of a value."""
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest


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
    inside += "".join(
        _mark(name, t, longest) for name, t in marks._asdict().items() if name in COLORS
    )
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
        f'height="{HEIGHT - TOP - BOTTOM}"/>'
        for low, high, name in zones
    )


def _axes(highest: float, longest: int) -> str:
    base = HEIGHT - BOTTOM
    parts = [f'<path class="axis" d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}"/>']
    for t in range(0, longest + 2, 200):
        x = across(min(t, longest), longest)
        parts.append(f'<text x="{x:.0f}" y="{base + 15}" text-anchor="middle">{t}</text>')
    for share in (0.0, 0.5, 1.0):
        y, value = down(share * highest, highest), share * highest
        parts.append(f'<text x="{LEFT - 5}" y="{y + 4:.0f}" text-anchor="end">{value:.2g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">timestep t</text>')
    return "".join(parts)


def _legend() -> str:
    names = (("LPIPS(x, P_t)", BLUE), ("LPIPS(x, x_t)", ORANGE))
    return "".join(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - BOTTOM - 8 - 16 * row}" text-anchor="end" '
        f'style="fill:{color}">{name}</text>'
        for row, (name, color) in enumerate(names)
    )


def _mark(name: str, t: int, longest: int) -> str:
    x, color = across(t, longest), COLORS[name]
    height = HEIGHT - BOTTOM - TOP
    return (
        f'<g class="mark" data-mark="{name}" transform="translate({x:.1f},0)" '
        f'style="--color:{color}">'
        f'<rect x="-9" y="{TOP - 24}" width="18" height="{height + 24}" fill="transparent"/>'
        f'<path d="M0 {TOP}V{HEIGHT - BOTTOM}"/><circle r="7" cy="{TOP}"/>'
        f'<text y="{TOP - (28 if name == "t_edit" else 12)}" text-anchor="middle">{name}</text></g>'
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
    base = HEIGHT - BOTTOM
    text = (
        f'<path class="axis" d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}"/>'
        f'<text x="{LEFT - 5}" y="{TOP + 4}" text-anchor="end">{highest:.2g}</text>'
        f'<text x="{LEFT - 5}" y="{base + 4}" text-anchor="end">0</text>'
        f'<text x="{WIDTH - RIGHT}" y="{base + 15}" text-anchor="end">batch {batches}</text>'
        f'<text x="{LEFT + 8}" y="{TOP - 8}">validation loss</text>'
    )
    title = f"Validation loss, {points[0][1]:.3f} at first, {points[-1][1]:.3f} now."
    return _svg(text + _line(spots, BLUE), title)
