"""Draws the charts of a report as SVG: intervals on a common scale, and curves. Shapes with class names, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final, TypeGuard

from engine.text import visible

WIDTH: Final = 640
_ROW: Final = 22
_NAME: Final = 240
_TOP: Final = 30
_BOTTOM: Final = 34
_HEIGHT: Final = 240
_LEFT: Final = 60


@dataclass(frozen=True, slots=True)
class Bar:
    """One estimate with its interval; None, or an infinite end, where there is none. Without an estimate it is not drawn."""

    name: str
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class IntervalChart:
    """Estimates below each other on one scale."""

    title: str
    unit: str
    bars: tuple[Bar, ...]
    reference: float | None
    """Position of no difference; None where the scale begins at 0."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line, from x to y."""

    name: str
    points: tuple[tuple[float, float], ...]
    marked: frozenset[int] = frozenset()
    """Indices of highlighted points."""
    labels: tuple[str, ...] = ()
    """A name for each point; without any, the points are joined."""


@dataclass(frozen=True, slots=True)
class LineChart:
    """Curves over a common axis; the vertical one begins at 0."""

    title: str
    x: str
    unit: str
    curves: tuple[Curve, ...]
    ceiling: Curve | None = None
    """A limit, such as the roofline."""


Chart = IntervalChart | LineChart


def svg_of(chart: Chart) -> str:
    """Draw the chart as one `<svg>` element."""
    return _intervals(chart) if isinstance(chart, IntervalChart) else _lines(chart)


def _intervals(chart: IntervalChart) -> str:
    bars = [(bar, bar.estimate) for bar in chart.bars if _is_finite(bar.estimate)]
    ends = [chart.reference or 0.0]
    for bar, estimate in bars:
        ends += [estimate, bar.low, bar.high] if _is_finite(bar.low) and _is_finite(bar.high) else [estimate]
    left, right = min(ends), max(ends)
    span = (right - left) or 1.0
    left, right = left - 0.04 * span * (left < 0), right + 0.04 * span
    height = _TOP + _ROW * len(bars) + _BOTTOM

    def x(value: float) -> float:
        return _NAME + (value - left) / (right - left) * (WIDTH - _NAME - 8)

    parts = [_head(f"{chart.title} ({chart.unit})", height)]
    for value in (left, chart.reference if chart.reference is not None else (left + right) / 2, right):
        anchor = "end" if value == right else "start" if value == left else "middle"
        parts.append(f'<path class="grid" d="M{x(value):.1f} {_TOP}V{height - _BOTTOM}"/>')
        parts.append(f'<text text-anchor="{anchor}" x="{x(value):.1f}" y="{height - _BOTTOM + 16}">{value:.3g}</text>')
    for number, (bar, estimate) in enumerate(bars):
        y = _TOP + _ROW * number + _ROW / 2
        parts.append(f'<text class="figure" x="{_NAME - 8}" y="{y + 4:.1f}">{escape(visible(bar.name)[:44])}</text>')
        if _is_finite(bar.low) and _is_finite(bar.high):
            parts.append(f'<path class="line" d="M{x(bar.low):.1f} {y:.1f}H{x(bar.high):.1f}m0 -5v10M{x(bar.low):.1f} {y - 5:.1f}v10"/>')
        parts.append(f'<circle class="dot" cx="{x(estimate):.1f}" cy="{y:.1f}" r="4"/>')
    return "".join(parts) + "</svg>\n"


def _lines(chart: LineChart) -> str:
    drawn = [*chart.curves, *([chart.ceiling] if chart.ceiling is not None else [])]
    xs = [point[0] for curve in drawn for point in curve.points]
    left, right = min(xs), max(xs)
    top = 1.08 * max(point[1] for curve in drawn for point in curve.points) or 1.0

    def place(point: Sequence[float]) -> tuple[float, float]:
        across = (point[0] - left) / ((right - left) or 1.0)
        return _LEFT + across * (WIDTH - _LEFT - 12), _TOP + (1 - point[1] / top) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [_head(f"{chart.title} ({chart.unit})", _HEIGHT)]
    for share in (0.0, 0.5, 1.0):
        _, y = place((left, share * top))
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH}"/>')
        parts.append(f'<text class="figure" x="{_LEFT - 6}" y="{y + 4:.1f}">{share * top:.3g}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 16}">{left:g}</text><text class="end" x="{WIDTH}" y="{_HEIGHT - 16}">{right:g}</text>')
    parts.append(f'<text text-anchor="middle" x="{WIDTH / 2}" y="{_HEIGHT - 4}">{escape(visible(chart.x))}</text>')
    for number, curve in enumerate(drawn):
        style = "limit" if curve is chart.ceiling else f"line{number % 2}"
        points = [place(point) for point in curve.points]
        if not curve.labels:
            parts.append(f'<path class="line {style}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')
        for index, (x, y) in enumerate(points):
            parts.append(f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="{5 if index in curve.marked else 3}"/>')
            if curve.labels:
                parts.append(f'<text x="{min(x, WIDTH - 80) + 7:.1f}" y="{y - 6:.1f}">{escape(visible(curve.labels[index]))}</text>')
        if len(drawn) > 1:
            x, y = points[-1]
            parts.append(f'<text class="end" x="{x:.1f}" y="{max(12.0, y - 6):.1f}">{escape(visible(curve.name))}</text>')
    return "".join(parts) + "</svg>\n"


def _head(heading: str, height: float) -> str:
    text = escape(visible(heading))
    return (
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {height:g}" xmlns="http://www.w3.org/2000/svg"><title>{text}</title>'
        f'<text class="heading" x="0" y="16">{text}</text>'
    )


def _is_finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
