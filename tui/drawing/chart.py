"""A figure over time as rows of text: time span, scale and positions of marks.

A live chart repaints little. It scrolls in jumps of an eighth, so between jumps only the newest column
changes; in sweep mode it never scrolls: the newest column overwrites the oldest. The scale grows at once and shrinks late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.metrics.history import Trace
from engine.store.series import axis_end
from tui.drawing.braille import DOTS_ACROSS, Canvas, Columns, Extent, Glyphs, draw

JUMP_SHARE = 8
"""A chart scrolls by its width divided by this."""

SWEEP_GAP = 6
"""Dot columns left empty ahead of the newest one in sweep mode."""

SHRINK_AFTER = 20
"""Consecutive drawings that must fit a smaller scale before it is used: ten seconds at 2 Hz."""


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
        if wanted >= self.top:
            self.top, self._small_for = wanted, 0
        elif wanted > self.top / 2:
            self._small_for = 0
        else:
            self._small_for += 1
            if self._small_for >= SHRINK_AFTER:
                self.top, self._small_for = wanted, 0
        return self.top


@dataclass(frozen=True, slots=True)
class View:
    """Mapping of time to the dot columns of a chart."""

    dot_s: float
    """Seconds per dot column."""
    left: int
    """Leftmost dot column, counted from the meter's start."""
    newest: int
    """Dot column of the newest value."""
    dots: int
    sweep: bool = False

    def position(self, dot: int) -> int | None:
        """Position of a dot column, from 0; None when it is not shown."""
        if self.sweep:
            return dot % self.dots if 0 <= self.newest - dot < self.dots - SWEEP_GAP else None
        return dot - self.left if self.left <= dot < self.left + self.dots else None

    def cell_at(self, seconds: float) -> int | None:
        """The cell of a time in seconds since the meter's start; None when it is not shown."""
        position = self.position(int(seconds / self.dot_s))
        return None if position is None else position // DOTS_ACROSS


def view_of(trace: Trace, width: int, *, sweep: bool = False) -> View:
    """The view of a trace on `width` cells."""
    dots = width * DOTS_ACROSS
    dot_s = trace.span_s / dots
    newest = max(0, math.ceil((trace.last + 1) * trace.bucket_s / dot_s) - 1)
    jump = max(DOTS_ACROSS, dots // JUMP_SHARE // DOTS_ACROSS * DOTS_ACROSS)
    left = 0 if newest < dots else -(-(newest - dots + 1) // jump) * jump
    return View(dot_s, left, newest, dots, sweep)


def columns_of(trace: Trace, view: View) -> Columns:
    """The extent of a trace in each dot column of a view."""
    columns: list[Extent | None] = [None] * view.dots
    per_bucket = trace.bucket_s / view.dot_s
    number = trace.first
    for value in trace.values:
        if value is not None and math.isfinite(value):
            begin = int(number * per_bucket)
            for dot in range(begin, max(begin + 1, int((number + 1) * per_bucket))):
                place = view.position(dot)
                if place is not None:
                    seen = columns[place]
                    columns[place] = Extent(value, value) if seen is None else Extent(min(seen.low, value), max(seen.high, value))
        number += 1
    return columns


def highest(traces: Sequence[Trace]) -> float | None:
    """The largest value in any of the traces."""
    return max((value for trace in traces for value in trace.values if value is not None and math.isfinite(value)), default=None)


@dataclass(slots=True)
class Chart:
    """A live chart; caches its scale, and its canvas until data, size or style change."""

    scale: Scale = field(default_factory=Scale)
    fixed_top: float | None = None
    """Fixed top of the scale, such as 100 %."""
    _key: object = None
    _canvas: Canvas | None = None

    def draw(self, traces: Sequence[Trace], width: int, height: int, *, glyphs: Glyphs = Glyphs.BRAILLE, sweep: bool = False) -> Canvas:
        """Draw `traces` on `width` x `height` cells; returns the same object while nothing changes."""
        key = (tuple(traces), width, height, glyphs, sweep, self.fixed_top)
        if self._canvas is None or key != self._key:
            top = self.fixed_top or self.scale.fit(highest(traces))
            lines = [columns_of(trace, view_of(trace, width, sweep=sweep)) for trace in traces] if width > 0 else []
            self._canvas = draw(lines, low=0.0, high=top, width=width, height=height, glyphs=glyphs)
            self._key = key
        return self._canvas

    @property
    def top(self) -> float:
        """The value at the top of the chart."""
        return self.fixed_top or self.scale.top or self.scale.floor
