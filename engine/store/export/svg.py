"""Draws a line chart as SVG for a page: shapes with class names, no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from engine.store.series import Chart
from engine.text import visible

WIDTH = 640
HEIGHT = 200
LEFT = 56
BOTTOM = 24
TOP = 36
"""Space for the figures of the axes and the heading."""

MOST_LINES = 6
"""Most lines, by the page's colours."""
LETTER = 6.2
"""Approximate width of a letter of a line's name."""
LONGEST_NAME = 30

MOST_POINTS = 400
"""Most points of a line; more could not be distinguished."""


def svg(chart: Chart) -> str:
    """Draw the chart as one `<svg>` element."""
    top = chart.top
    heading = escape(visible(f"{chart.title} ({chart.unit})"))
    parts = [
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" xmlns="http://www.w3.org/2000/svg"><title>{heading}</title>',
        f'<text class="heading" x="{LEFT}" y="16">{heading}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = _y(share)
        parts.append(
            f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH}"/><text class="figure" x="{LEFT - 6}" y="{y + 4:.1f}">{top * share:g}</text>'
        )
    parts.append(f'<text class="start" x="{LEFT}" y="{HEIGHT - 6}">{escape(visible(chart.start))}</text>')
    parts.append(f'<text class="end" x="{WIDTH}" y="{HEIGHT - 6}">{escape(visible(chart.end))}</text>')
    for number, line in enumerate(chart.lines):
        parts.append(f'<path class="line line{number}" d="{_path(line.values, top)}"/>')
    return "".join((*parts, *_keys(chart))) + "</svg>\n"


def _keys(chart: Chart) -> Iterator[str]:
    """Draw the names of the lines above the chart."""
    x = float(WIDTH)
    for number, line in reversed(list(enumerate(chart.lines if len(chart.lines) > 1 else ()))):
        name = visible(line.name)
        name = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
        x -= LETTER * len(name) + 14
        yield f'<text class="key line{number}" x="{x:.0f}" y="{TOP - 4}">{escape(name)}</text>'


def _path(values: Sequence[float | None], top: float) -> str:
    step = (WIDTH - LEFT) / max(len(values) - 1, 1)
    parts: list[str] = []
    for measured, run in groupby(enumerate(values), key=lambda point: point[1] is not None):
        if measured:
            points = [f"{LEFT + index * step:.1f} {_y((value or 0.0) / top):.1f}" for index, value in run]
            # A single point has no length; the round ends of the stroke make it a dot.
            parts.append("M" + "L".join(points if len(points) > 1 else points * 2))
    return "".join(parts)


def _y(share: float) -> float:
    return TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM)
