"""Describes and draws a pane: title with a headline, rows of figures by density, optionally a chart. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from engine.metrics.figures import BY_ID
from engine.metrics.history import Window
from engine.metrics.snapshot import Marker, MarkerKind, Snapshot
from engine.numbers import significant
from tui.drawing.braille import DOTS_DOWN, Canvas, Glyphs, dots_high
from tui.drawing.chart import Chart, view_of
from tui.drawing.rows import FLOW, Ramp, Role, Row, Run, at


class Density(IntEnum):
    """Amount of detail of a pane."""

    COMPACT = 0
    """The headline and one row."""
    NORMAL = 1
    """The main figures with a chart."""
    FULL = 2
    """Everything."""


CHART_ROWS = {Density.COMPACT: 0, Density.NORMAL: 5, Density.FULL: 5}
"""Least height of a chart, its time line included."""

LEAST_CHART = 4
"""Least height of a chart in rows that would be empty."""

GUTTER = 7
"""Width of a chart's scale, on its right."""

NARROWEST_WITH_GUTTER = 24


def axis_label(value: float) -> str:
    """Format a number for the scale, in at most five cells."""
    if value >= 9_999.5:
        return f"{value / 1e3:.0f}k"
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}".removesuffix("0")


def bytes_label(value: float) -> str:
    """Format bytes for the scale, in at most five cells: `150M`, `1.5G`."""
    return f"{axis_label(value / 1e9)}G" if value >= 1e9 else f"{axis_label(value / 1e6)}M"


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """The chart of a pane."""

    traces: tuple[str, ...]
    """Figures drawn, the front one first; all of one unit."""
    floor: float = 1.0
    """Least top of the scale."""
    top: float | None = None
    """Fixed top of the scale, where known."""
    ramps: tuple[Ramp, ...] = (FLOW,)
    """Colours of each series."""
    titled: int = 0
    """Index of the figure in the pane's title; its newest value is shown at the scale."""

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
        """Format the label at the top of the small chart's scale."""
        return bytes_label(value) if self._bytes else axis_label(value)

    def value(self, value: float) -> str:
        """Format the newest value in at most five cells."""
        return bytes_label(value) if self._bytes else significant(value) if value < 9_999.5 else axis_label(value)

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
    """Makes the rows of figures for a width; their number depends on the density only, so that the layout is stable."""
    chart: ChartSpec | None = None
    chart_from: Density = Density.NORMAL
    """The least density at which the chart is shown."""
    picture: Callable[[Snapshot, int, int], list[Row]] | None = None
    """Draws a picture of a width and height in place of the chart over time, which is then shown only at full screen."""
    missing: Callable[[Snapshot], str] = lambda _: ""
    """Says why there is nothing to show; the pane is then a single line with this text. Empty otherwise."""

    def chart_that_fits(self, density: Density, rows: int) -> int:
        """Return the height of the chart with `rows` left below the figures; it may be low where the rows would be empty."""
        wanted = self.chart_rows_at(density)
        return rows if wanted or (self.chart is not None and rows >= LEAST_CHART) else 0

    def chart_rows_at(self, density: Density) -> int:
        """Return the least height of the chart at a density, its time axis included; 0 without one."""
        return CHART_ROWS[density] if self.chart is not None and density >= self.chart_from else 0


@dataclass(frozen=True, slots=True)
class ChartLook:
    """Style and time span of charts."""

    window: Window = Window.MINUTE
    glyphs: Glyphs = Glyphs.BRAILLE
    slow: bool = False
    """Whether the chart scrolls in jumps, for slow connections."""


@dataclass(frozen=True, slots=True)
class Detail:
    """The options for drawing a pane."""

    density: Density | None
    """The density; None for its title only."""
    chosen: bool
    chart: Chart | None
    chart_height: int
    how: ChartLook


def pane_rows(pane: Pane, now: Snapshot, width: int, name: str, placed: Detail) -> list[Row]:
    """Draw the rows of a pane: title, figures, chart."""
    head, rest = (Role.CHOSEN if placed.chosen else Role.TITLE), pane.missing(now) if placed.density is None else pane.headline(now)
    rule = "─" * max(1, width - len(name) - len(rest) - 2)
    rows: list[Row] = [((name, head), (f" {rule} ", Role.GRID), (rest, Role.LABEL if placed.density is None else Role.VALUE))]
    if placed.density is None:
        return rows
    rows += pane.rows(now, width, placed.density)
    if placed.chart_height and pane.picture is not None:
        rows += pane.picture(now, width, placed.chart_height)
    elif placed.chart_height and pane.chart is not None and placed.chart is not None:
        rows += chart_rows(pane.chart, placed.chart, now, width, placed.chart_height, placed.how)
    return rows


def chart_rows(spec: ChartSpec, chart: Chart, snapshot: Snapshot, width: int, height: int, how: ChartLook) -> list[Row]:
    """Draw a chart with the newest value and its scale on the right, and a time line with marks below, `height` rows in total."""
    gutter = GUTTER if width >= NARROWEST_WITH_GUTTER else 0
    across, down = max(0, width - gutter), height - 1
    traces = [trace for name in spec.traces if (trace := snapshot.traces.get(how.window, {}).get(name)) is not None]
    if not traces or down <= 0 or not across:
        return [()] * height
    view = view_of(traces[0], across, slow=how.slow)
    switched = max((marker.seconds for marker in snapshot.markers if marker.kind is MarkerKind.PRESET), default=0.0)
    canvas = chart.draw(traces, across, down, glyphs=how.glyphs, slow=how.slow, since_s=switched)
    titled = snapshot.traces.get(how.window, {}).get(spec.traces[spec.titled])
    latest = titled.latest if titled is not None else None
    here = None if latest is None else down - 1 - (dots_high(latest, chart.top, down * DOTS_DOWN) - 1) // DOTS_DOWN
    rows: list[Row] = []
    for number in range(down):
        share = (down - 1 - number) / max(1, down - 1)
        scale = spec.scale(chart.top) if number == 0 else "0" if number == down - 1 else ""
        label, role = (spec.value(latest), Role.VALUE) if latest is not None and number == here else (scale, Role.LABEL)
        end: Row = (("┤" if label else "│", Role.GRID), (f" {label:<{gutter - 2}}", role)) if gutter else ()
        rows.append(_canvas_row(canvas, number, [at(ramp, share) for ramp in spec.ramps]) + end)
    rows.append(_marks(snapshot.markers, across, how.window, view.cell_at) + ((("┘ now", Role.LABEL),) if gutter else ()))
    return rows


def _canvas_row(canvas: Canvas, number: int, roles: Sequence[Role]) -> Row:
    """Return a row of a canvas, split where the front series changes."""
    text = canvas.rows[number]
    if canvas.owners is None:
        return ((text, roles[0]),)
    runs: list[Run] = []
    owners = canvas.owners[number]
    begin = 0
    for place in range(1, len(text) + 1):
        if place == len(text) or owners[place] != owners[begin]:
            runs.append((text[begin:place], roles[min(owners[begin], len(roles) - 1)]))
            begin = place
    return tuple(runs)


MARK_RANK = (MarkerKind.TURN, MarkerKind.CAPTURE, MarkerKind.PRESET, MarkerKind.STALL, MarkerKind.ALERT)
"""Ranks of marks, lowest first; the highest one in a cell is shown."""


def _marks(markers: Sequence[Marker], width: int, window: Window, cell_at: Callable[[float], int | None]) -> Row:
    """Draw the time line: its length at the left, then the first letter of each mark at its position."""
    begin = {Window.MINUTE: "-1 min ", Window.FIVE_MINUTES: "-5 min ", Window.SESSION: "start "}[window]
    begin = begin if len(begin) < width // 2 else ""
    shown: dict[int, MarkerKind] = {}
    for marker in markers:
        place = cell_at(marker.seconds)
        if place is not None and len(begin) <= place < width:
            shown[place] = max(marker.kind, shown.get(place, marker.kind), key=MARK_RANK.index)
    runs: list[Run] = [(begin, Role.LABEL)]
    after = len(begin)
    for place, kind in sorted(shown.items()):
        if place > after:
            runs.append(("─" * (place - after), Role.GRID))
        runs.append((kind.value[0].upper(), Role.BAD if kind in (MarkerKind.STALL, MarkerKind.ALERT) else Role.MARK))
        after = place + 1
    runs.append(("─" * (width - after), Role.GRID))
    return tuple(runs)
