"""Draws a figure over time as rows of text: time span, scale and positions of marks.

The newest value is at the right end. The chart scrolls by a cell, on a slow connection by an eighth of its width, so that little is
repainted. The scale grows at once and shrinks late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.metrics.history import Trace
from engine.store.series import axis_end
from tui.drawing.braille import DOTS_ACROSS, Canvas, Columns, Glyphs, draw

JUMP_SHARE = 8
"""Divisor of the width by which a chart scrolls on a slow connection."""

SHRINK_AFTER = 10
"""Consecutive drawings that must fit a smaller scale before it is used: five seconds at 2 Hz."""


@dataclass(slots=True)
class Scale:
    """The top of an axis that starts at zero. It rises at once and falls after `SHRINK_AFTER` drawings."""

    floor: float = 1.0
    """Least top, so that noise does not fill the chart."""
    top: float = 0.0
    _small_for: int = 0

    def fit(self, highest: float | None) -> float:
        """Update and return the top for the largest value shown."""
        wanted = max(self.floor, axis_end(highest or 0.0))
        self._small_for = self._small_for + 1 if wanted < self.top else 0
        if wanted > self.top or self._small_for >= SHRINK_AFTER:
            self.top, self._small_for = wanted, 0
        return self.top


@dataclass(frozen=True, slots=True)
class View:
    """Mapping of time to the dot columns of a chart."""

    dot_s: float
    """Seconds per dot column."""
    left: int
    """Leftmost dot column, counted from the meter's start; negative while the window is not full."""
    dots: int

    def position(self, dot: int) -> int | None:
        """Position of a dot column, from 0; None when it is not shown."""
        return dot - self.left if self.left <= dot < self.left + self.dots else None

    def cell_at(self, seconds: float) -> int | None:
        """Return the cell of a time in seconds since the meter's start; None when it is not shown."""
        position = self.position(int(seconds / self.dot_s))
        return None if position is None else position // DOTS_ACROSS


def view_of(trace: Trace, width: int, *, slow: bool = False) -> View:
    """Return the view of a trace on `width` cells."""
    dots = width * DOTS_ACROSS
    dot_s = trace.span_s / dots
    newest = max(0, math.ceil((trace.last + 1) * trace.bucket_s / dot_s) - 1)
    jump = max(DOTS_ACROSS, dots // JUMP_SHARE // DOTS_ACROSS * DOTS_ACROSS) if slow else DOTS_ACROSS
    return View(dot_s, -(-(newest - dots + 1) // jump) * jump, dots)


def columns_of(trace: Trace, view: View) -> Columns:
    """Return the largest value of a trace in each dot column of a view."""
    columns: list[float | None] = [None] * view.dots
    per_bucket = trace.bucket_s / view.dot_s
    number = trace.first
    for value in trace.values:
        if value is not None and math.isfinite(value):
            begin = int(number * per_bucket)
            for dot in range(begin, max(begin + 1, int((number + 1) * per_bucket))):
                place = view.position(dot)
                if place is not None:
                    seen = columns[place]
                    columns[place] = value if seen is None else max(seen, value)
        number += 1
    return columns


def highest(traces: Sequence[Trace], *, since_s: float = 0.0) -> float | None:
    """Return the largest value in any of the traces since a time; without one there, the largest of all."""
    measured = [
        (value, (trace.first + place + 1) * trace.bucket_s)
        for trace in traces
        for place, value in enumerate(trace.values)
        if value is not None and math.isfinite(value)
    ]
    return max((value for value, at_s in measured if at_s > since_s), default=max((value for value, _ in measured), default=None))


@dataclass(slots=True)
class Chart:
    """A live chart; caches its scale, and its canvas until data, size or style change."""

    scale: Scale = field(default_factory=Scale)
    fixed_top: float | None = None
    """Fixed top of the scale, such as 100 %."""
    _key: object = None
    _canvas: Canvas | None = None

    def draw(
        self,
        traces: Sequence[Trace],
        width: int,
        height: int,
        *,
        glyphs: Glyphs = Glyphs.BRAILLE,
        slow: bool = False,
        since_s: float = 0.0,
    ) -> Canvas:
        """Draw `traces` on `width` x `height` cells; returns the same object while nothing changes.

        The scale fits the values since `since_s`; larger earlier ones are cut at the top.
        """
        key = (tuple(traces), width, height, glyphs, slow, self.fixed_top, since_s)
        if self._canvas is None or key != self._key:
            top = self.fixed_top or self.scale.fit(highest(traces, since_s=since_s))
            lines = [columns_of(trace, view_of(trace, width, slow=slow)) for trace in traces] if width > 0 else []
            self._canvas = draw(lines, high=top, width=width, height=height, glyphs=glyphs)
            self._key = key
        return self._canvas

    @property
    def top(self) -> float:
        """The value at the top of the chart."""
        return self.fixed_top or self.scale.top or self.scale.floor
