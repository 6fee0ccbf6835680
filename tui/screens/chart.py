"""One chart, large: drawn by plotext with axes, marks, and a cursor to read values with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from engine.metrics.history import Trace, Window
from engine.metrics.snapshot import Marker, Snapshot
from tui.widgets.braille import Glyphs
from tui.widgets.chart import nice_ceiling
from tui.widgets.panel_look import look
from tui.widgets.panel_pane import ChartSpec
from tui.widgets.panel_rows import LINES, UNKNOWN, Role, cut, number

REFRESH_S = 1.0
"""plotext takes some ten milliseconds for a picture, so it is drawn once a second."""

_INKS: Mapping[int, Role] = {1: LINES[0], 2: LINES[1], 3: Role.MARK, 4: Role.CHOSEN}
"""Colour numbers given to plotext, and the role that each stands for: the theme's colours are put in afterwards."""

_MARK_INK, _CURSOR_INK = 3, 4

_PLOTEXT_MARKERS = {Glyphs.BRAILLE: "braille", Glyphs.BLOCKS: "hd", Glyphs.HALVES: "█", Glyphs.ASCII: "*"}


@dataclass(frozen=True, slots=True)
class Plot:
    """What is to be drawn, over seconds before now (so they are negative), or over turns."""

    lines: tuple[tuple[tuple[float, float], ...], ...]
    """Pieces of lines without a gap: points of time and value, with the number of the line in `inks`."""
    inks: tuple[int, ...]
    start: float
    end: float
    top: float
    marks: tuple[float, ...]
    cursor: float | None


def plot(what: Plot, width: int, height: int, glyphs: Glyphs) -> Text:
    """The picture as text whose colours are the numbers in `_INKS`. The only place that touches plotext and its global figure."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limitsize(False, False)
    plotext.plotsize(width, height)
    plotext.xlim(what.start, what.end)
    plotext.ylim(0, what.top)
    plotext.xfrequency(max(2, min(9, width // 14)))
    plotext.yfrequency(max(2, min(9, height // 3)))
    for mark in what.marks:
        plotext.vertical_line(mark, color=_MARK_INK)
    if what.cursor is not None:
        plotext.vertical_line(what.cursor, color=_CURSOR_INK)
    for ink, points in sorted(zip(what.inks, what.lines, strict=True), key=lambda line: -line[0]):  # the first line lies on top
        times, values = zip(*points, strict=True)
        plotext.plot(times, values, marker=_PLOTEXT_MARKERS[glyphs], color=ink)
    picture = Text.from_ansi(plotext.build())
    plotext.clear_figure()
    return picture


def inked(picture: Text, styles: Mapping[Role, Style]) -> Text:
    """The theme's colours in place of plotext's numbers."""
    shown = Text(picture.plain, styles[Role.LABEL])
    for span in picture.spans:
        style = span.style if isinstance(span.style, Style) else Style.null()
        role = _INKS.get(style.color.number or 0) if style.color is not None else None
        if role is not None:
            shown.stylize(styles[role], span.start, span.end)
    return shown


def plot_of(traces: Sequence[Trace], divisor: float, markers: Sequence[Marker], uptime_s: float, cursor: int | None) -> Plot:
    """From histories to points: gaps split a line, and moments become seconds before now."""
    lines: list[tuple[tuple[float, float], ...]] = []
    inks: list[int] = []
    highest = 0.0
    for line, trace in enumerate(traces):
        piece: list[tuple[float, float]] = []
        for place, value in enumerate((*trace.values, None)):
            if value is not None:
                piece.append((_seconds(trace, place, uptime_s), value / divisor))
                highest = max(highest, value / divisor)
            elif piece:
                lines.append(tuple(piece))
                inks.append(min(line + 1, len(LINES)))
                piece = []
    span = traces[0].span_s if traces else 60.0
    marks = tuple(when for marker in markers if -span <= (when := marker.seconds - uptime_s) <= 0)
    at = _seconds(traces[0], cursor, uptime_s) if traces and cursor is not None else None
    return Plot(tuple(lines), tuple(inks), -span, 0.0, nice_ceiling(highest * 1.05), marks, at)


def _seconds(trace: Trace, place: int, uptime_s: float) -> float:
    """When a bucket's middle was, in seconds before now."""
    return min(0.0, (trace.first + place + 0.5) * trace.bucket_s - uptime_s)


class ChartScreen(ModalScreen[None]):
    """Shows a chart large. Left and right move the cursor over the measured values."""

    HELP = "Left and right read values, Home and End jump, w changes how far back the chart looks, Esc closes."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Older"),
        Binding("right", "move(1)", "Newer"),
        Binding("ctrl+left,pageup", "move(-10)", "Much older", show=False),
        Binding("ctrl+right,pagedown", "move(10)", "Much newer", show=False),
        Binding("home", "jump(0)", "Oldest", show=False),
        Binding("end", "jump(-1)", "Newest", show=False),
        Binding("w", "window", "Window"),
        Binding("escape,q,enter,c", "dismiss", "Close"),
    ]
    DEFAULT_CSS = """
    ChartScreen { background: $background; }
    ChartScreen #picture { height: 1fr; width: 1fr; }
    ChartScreen .line { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, title: str, spec: ChartSpec, source: Callable[[], Snapshot], *, window: Window, glyphs: Glyphs) -> None:
        super().__init__()
        self._title = title
        self._spec = spec
        self._source = source
        self._window = window
        self._glyphs = glyphs
        self._bucket: int | None = None
        """Number of the bucket under the cursor; None follows the newest."""

    def compose(self) -> ComposeResult:
        """Heading, picture, the value under the cursor."""
        yield Static(id="heading", classes="line", markup=False)
        yield Static(id="picture", markup=False)
        yield Static(id="value", classes="line", markup=False)

    def on_mount(self) -> None:
        """Draw, and go on drawing."""
        self.set_interval(REFRESH_S, self._draw)

    def on_resize(self, _: events.Resize) -> None:
        """Draw at the new size."""
        self._draw()

    def action_move(self, steps: int) -> None:
        """Move the cursor by measured values."""
        trace = self._traces()[0] if self._traces() else None
        if trace is None or not trace.values:
            return
        bucket = (trace.last if self._bucket is None else self._bucket) + steps
        self._bucket = min(trace.last, max(trace.first, bucket))
        self._draw()

    def action_jump(self, place: int) -> None:
        """To the oldest value, or to the newest and follow it."""
        traces = self._traces()
        self._bucket = traces[0].first if traces and place == 0 else None
        self._draw()

    def action_window(self) -> None:
        """Look further back, or closer."""
        windows = list(Window)
        self._window = windows[(windows.index(self._window) + 1) % len(windows)]
        self._bucket = None
        self._draw()

    def _traces(self) -> list[Trace]:
        known = self._source().traces.get(self._window, {})
        return [known[name] for name in self._spec.traces if name in known and known[name].values]

    def _draw(self) -> None:
        picture = self.query_one("#picture", Static)
        now, traces = self._source(), self._traces()
        self.query_one("#heading", Static).update(f"{self._title}: {self._spec.label}, {self._window.value}")
        width, height = picture.size
        if width < 20 or height < 5:
            picture.update("Too small for a chart: enlarge the terminal.")
            return
        if not traces or all(value is None for trace in traces for value in trace.values):
            picture.update("Nothing was measured in this window yet.")
            self.query_one("#value", Static).update("")
            return
        place = self._place(traces[0])
        what = plot_of(traces, self._spec.divisor, now.markers, now.uptime_s, None if self._bucket is None else place)
        picture.update(inked(plot(what, width, height, self._glyphs), look(self.app.theme_variables, picture.rich_style)))
        self.query_one("#value", Static).update(self._reading(traces, place, now))

    def _place(self, trace: Trace) -> int:
        """Index of the value under the cursor; what scrolled out of the window is its oldest."""
        return len(trace.values) - 1 if self._bucket is None else min(len(trace.values) - 1, max(0, self._bucket - trace.first))

    def _reading(self, traces: Sequence[Trace], place: int, now: Snapshot) -> str:
        values = []
        for name, trace in zip(self._spec.traces, traces, strict=False):
            value = trace.values[place] if place < len(trace.values) else None
            shown = UNKNOWN if value is None else number(value / self._spec.divisor, 2)
            values.append(f"{name.replace('_', ' ')} {shown}")
        seconds = _seconds(traces[0], place, now.uptime_s)
        near = [marker.text for marker in now.markers if abs(marker.seconds - now.uptime_s - seconds) <= traces[0].bucket_s]
        return cut(f"{-seconds:,.1f} s ago   {'   '.join(values)}{'   ' + '; '.join(near) if near else ''}", max(0, self.size.width - 2))
