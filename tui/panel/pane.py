"""The description of a pane: title with a headline, rows of figures by density, optionally a chart; and rows of a chart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from engine.metrics.figures import BY_ID
from engine.metrics.history import Window
from engine.metrics.snapshot import Marker, MarkerKind, Snapshot
from tui.drawing.braille import Canvas, Glyphs
from tui.drawing.chart import Chart, view_of
from tui.drawing.rows import LINES, Role, Row, Run


class Density(IntEnum):
    """Amount of detail of a pane."""

    COMPACT = 0
    """The headline and one row."""
    NORMAL = 1
    """The main figures with a chart."""
    FULL = 2
    """Everything."""


CHART_ROWS = {Density.COMPACT: 0, Density.NORMAL: 4, Density.FULL: 6}
"""Least height of a chart, its time axis included."""

AXIS_WIDTH = 6
"""Width of a chart's scale."""

NARROWEST_WITH_AXIS = 24


def axis_label(value: float) -> str:
    """Format a number for the scale, in at most five cells."""
    if value >= 9_999.5:
        return f"{value / 1e3:.0f}k"
    if value >= 10 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.2f}".removesuffix("0")


def bytes_label(value: float) -> str:
    """Format bytes for the scale, in at most five cells: `150M`, `1.5G`."""
    return f"{axis_label(value / 1e9)}G" if value >= 1e9 else f"{axis_label(value / 1e6)}M"


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """The chart of a pane."""

    traces: tuple[str, ...]
    """Figures drawn, the most important first; all of one unit."""
    floor: float = 1.0
    """Least top of the scale."""
    top: float | None = None
    """Fixed top of the scale, where known."""

    @property
    def names(self) -> tuple[str, ...]:
        """Short names of the figures."""
        return tuple(BY_ID[name].short for name in self.traces)

    @property
    def unit(self) -> str:
        """The unit of the full-screen chart; for the scale of the small one see `scale`."""
        return "GB" if self._bytes else BY_ID[self.traces[0]].unit

    @property
    def divisor(self) -> float:
        """Factor between the figure's unit and `unit`."""
        return 1e9 if self._bytes else 1.0

    def scale(self, value: float) -> str:
        """Label at the top of the small chart's scale."""
        return bytes_label(value) if self._bytes else axis_label(value)

    @property
    def label(self) -> str:
        """Name and unit of the chart."""
        return self.unit if len(self.traces) > 1 else f"{self.names[0]}, {self.unit}"

    @property
    def _bytes(self) -> bool:
        return BY_ID[self.traces[0]].unit == "bytes"


@dataclass(frozen=True, slots=True)
class Pane:
    """One subject of the panel."""

    id: str
    title: str
    headline: Callable[[Snapshot], str]
    """The figure shown in the title."""
    rows: Callable[[Snapshot, int, Density], list[Row]]
    """Figures at a width; the number of rows depends on the density only, so that nothing jumps."""
    chart: ChartSpec | None = None
    chart_from: Density = Density.NORMAL
    """The least density at which the chart is shown."""

    def chart_rows_at(self, density: Density) -> int:
        """Least height of the chart at a density, its time axis included; 0 without one."""
        return CHART_ROWS[density] if self.chart is not None and density >= self.chart_from else 0


@dataclass(frozen=True, slots=True)
class ChartLook:
    """Style and time span of charts."""

    window: Window = Window.MINUTE
    glyphs: Glyphs = Glyphs.BRAILLE
    sweep: bool = False


def chart_rows(spec: ChartSpec, chart: Chart, snapshot: Snapshot, width: int, height: int, how: ChartLook) -> list[Row]:
    """A chart with its scale on the left and a time line with marks below, `height` rows in all."""
    axis = AXIS_WIDTH if width >= NARROWEST_WITH_AXIS else 0
    across, down = max(0, width - axis), height - 1
    traces = [trace for name in spec.traces if (trace := snapshot.traces.get(how.window, {}).get(name)) is not None]
    if not traces or down <= 0 or not across:
        return [()] * height
    canvas = chart.draw(traces, across, down, glyphs=how.glyphs, sweep=how.sweep)
    rows: list[Row] = []
    for number in range(down):
        label = spec.scale(chart.top) if number == 0 else "0" if number == down - 1 else ""
        head: Row = ((f"{label:>{axis - 1}}", Role.LABEL), ("┤" if label else "│", Role.GRID)) if axis else ()
        rows.append(head + _canvas_row(canvas, number))
    marks = _marks(snapshot.markers, across, view_of(traces[0], across, sweep=how.sweep).cell_at)
    name = {Window.MINUTE: "1 min", Window.FIVE_MINUTES: "5 min", Window.SESSION: "all"}[how.window]
    rows.append((((f"{name:>{axis - 1}}", Role.LABEL), ("└", Role.GRID)) if axis else ()) + marks)
    return rows


def _canvas_row(canvas: Canvas, number: int) -> Row:
    """One row of a canvas, split where the series on top changes."""
    text = canvas.rows[number]
    if canvas.owners is None:
        return ((text, Role.FIRST),)
    runs: list[Run] = []
    owners = canvas.owners[number]
    begin = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or owners[place] != owners[begin]:
            runs.append((text[begin:place], LINES[min(owners[begin], len(LINES) - 1)]))
            begin = place
    return tuple(runs)


MARK_RANK = (MarkerKind.TURN, MarkerKind.CAPTURE, MarkerKind.PRESET, MarkerKind.STALL, MarkerKind.ALERT)
"""Of several marks in one cell, the last in this order is shown."""


def _marks(markers: Sequence[Marker], width: int, cell_at: Callable[[float], int | None]) -> Row:
    """The time line: the first letter of each mark at its position."""
    shown: dict[int, MarkerKind] = {}
    for marker in markers:
        place = cell_at(marker.seconds)
        if place is not None and place < width:
            shown[place] = max(marker.kind, shown.get(place, marker.kind), key=MARK_RANK.index)
    runs: list[Run] = []
    after = 0
    for place, kind in sorted(shown.items()):
        if place > after:
            runs.append(("─" * (place - after), Role.GRID))
        runs.append((kind.value[0].upper(), Role.BAD if kind in (MarkerKind.STALL, MarkerKind.ALERT) else Role.MARK))
        after = place + 1
    runs.append(("─" * (width - after), Role.GRID))
    return tuple(runs)
