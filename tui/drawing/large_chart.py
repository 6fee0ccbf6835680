"""Full-screen charts, drawn by plotext, with axes, marks and a cursor."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions.bindings import bindings_for, keymap_of
from tui.actions.registry import Scope
from tui.drawing.braille import Glyphs
from tui.drawing.look import look
from tui.drawing.rows import LINES, Role

_INKS: Mapping[int, Role] = {1: LINES[0], 2: LINES[1], 3: Role.MARK, 4: Role.CHOSEN}
"""Role of each colour number given to plotext; the theme's colours replace the numbers afterwards."""

_MARK_INK, _CURSOR_INK = 3, 4

_PLOTEXT_MARKERS = {Glyphs.BRAILLE: "braille", Glyphs.BLOCKS: "hd", Glyphs.HALVES: "█", Glyphs.ASCII: "*"}

_SECOND_MARKERS = {Glyphs.ASCII: "."}
_SECOND_MARKER = "•"
"""The second series is dotted, to be distinct without colour."""

_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)
_COUNT_STEPS = tuple(part * 10**power for power in range(6) for part in (1, 2, 5))
_PARTS = {1.0: 5, 1.5: 3, 2.0: 4, 3.0: 3, 4.0: 4, 5.0: 5, 6.0: 3, 8.0: 4}
"""Number of divisions of an axis by the leading digits of its end, see `engine.store.series`."""

_CELLS_PER_TICK = 14


def line_sign(number: int, glyphs: Glyphs) -> str:
    """Return the sign of a series for a legend, as in the chart."""
    if number == 0:
        return "*" if glyphs is Glyphs.ASCII else "━"
    return _SECOND_MARKERS.get(glyphs, _SECOND_MARKER)


def time_ticks(span_s: float, most: int) -> dict[float, str]:
    """Return ticks of the last `span_s` seconds: seconds before now, with their labels."""
    step = next((step for step in _STEPS_S if span_s / step <= most), math.ceil(span_s / max(1, most)))
    ticks: dict[float, str] = {}
    for number in range(int(span_s / step) + 1):
        ago = number * step
        unit, name = (3_600, "h") if step >= 3_600 else (60, "min") if step >= 60 else (1, "s")
        ticks[float(-ago)] = f"-{ago / unit:g} {name}" if ago else "now"
    return ticks


def whole_ticks(first: int, last: int, most: int) -> list[int]:
    """Return ticks of a counting axis: whole numbers, with a round step."""
    step = next((step for step in _COUNT_STEPS if (last - first) / step <= most), max(1, last - first))
    return sorted({first, *range(-(-first // step) * step, last + 1, step)})


def value_ticks(top: float) -> list[float]:
    """Return ticks of a value axis from zero to `top`."""
    digits = round(top / 10.0 ** math.floor(math.log10(top)), 6) if top > 0 else 1.0
    parts = _PARTS.get(digits, 4)
    return [top * part / parts for part in range(parts + 1)]


@dataclass(frozen=True, slots=True)
class Plot:
    """Data of a chart over time, in seconds before now (negative), or over turns."""

    lines: tuple[tuple[tuple[float, float | None], ...], ...]
    """Series of (time, value); a point without a value splits its series."""
    start: float
    end: float
    top: float
    marks: tuple[tuple[float, str], ...] = ()
    """Positions on the horizontal axis with their names."""
    cursor: float | None = None
    times: bool = False
    """Whether the horizontal axis is in seconds before now; otherwise it counts turns."""

    @property
    def pieces(self) -> list[tuple[int, list[tuple[float, float]]]]:
        """Return the series split at gaps, each with its colour number."""
        found = []
        for line, points in enumerate(self.lines):
            for measured, run in groupby(points, key=lambda point: point[1] is not None):
                if measured:
                    found.append((min(line + 1, len(LINES)), [(at, value) for at, value in run if value is not None]))
        return found


def named_marks(what: Plot, width: int) -> list[tuple[float, str, str]]:
    """Return the marks with their names and alignment; a name that does not fit is its first letter, or empty."""
    per_cell = (what.end - what.start) / max(1, width) or 1.0
    found: list[tuple[float, str, str]] = []
    free = what.end
    for at, name in sorted(what.marks, reverse=True):
        room = int((free - at) / per_cell)
        if not found and len(name) > room:
            found.append((at, name, "right"))
            free = at - len(name) * per_cell
        elif room > 0:
            found.append((at, name if len(name) < room else name[:1], "left"))
            free = at
    return found[::-1]


def plot(what: Plot, width: int, height: int, glyphs: Glyphs) -> Text:
    """Draw a chart as text with the colour numbers of `_INKS`. The only user of plotext and its global figure."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.limitsize(False, False)
    plotext.plotsize(width, height)
    plotext.xlim(what.start, what.end)
    plotext.ylim(0, what.top)
    most = max(2, width // _CELLS_PER_TICK)
    if what.times:
        ticks = time_ticks(what.end - what.start, most)
        plotext.xticks(list(ticks), list(ticks.values()))
    else:
        turns = whole_ticks(round(what.start), round(what.end), most)
        plotext.xticks(turns, [f"{turn:,}" for turn in turns])
    scale = value_ticks(what.top)
    plotext.yticks(scale, [f"{value:,g}" for value in scale])
    for at, name, alignment in named_marks(what, width):
        plotext.vertical_line(at, color=_MARK_INK)
        plotext.text(name, at, what.top, color=_MARK_INK, alignment=alignment)
    if what.cursor is not None:
        plotext.vertical_line(what.cursor, color=_CURSOR_INK)
    for ink, points in sorted(what.pieces, key=lambda piece: -piece[0]):  # the first series is on top
        times, values = zip(*points, strict=True)
        marker = _PLOTEXT_MARKERS[glyphs] if ink == 1 else _SECOND_MARKERS.get(glyphs, _SECOND_MARKER)
        plotext.plot(times, values, marker=marker, color=ink)
    picture = Text.from_ansi(plotext.build())
    plotext.clear_figure()
    return picture


def inked(picture: Text, styles: Mapping[Role, Style]) -> Text:
    """Replace plotext's colour numbers by the theme's colours."""
    shown = Text(picture.plain, styles[Role.LABEL])
    for span in picture.spans:
        style = span.style if isinstance(span.style, Style) else Style.null()
        role = _INKS.get(style.color.number or 0) if style.color is not None else None
        if role is not None:
            shown.stylize(styles[role], span.start, span.end)
    return shown


class LargeChartScreen(ModalScreen[None]):
    """Heading, chart, and the value under a cursor. Subclasses implement `draw` and the actions `move` and `jump`."""

    KEYS: ClassVar[str] = "{chart_left} {chart_right} read  {close_chart} closes"
    """Shown at the end of the heading if it fits."""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.CHART, leave_out={"chart_window", "next_chart", "previous_chart"})]
    DEFAULT_CSS = """
    LargeChartScreen {
        background: $background;
        #picture { height: 1fr; width: 1fr; }
        .line { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    }
    """

    def __init__(self, *, glyphs: Glyphs) -> None:
        super().__init__()
        self._glyphs = glyphs

    def compose(self) -> ComposeResult:
        """Lay out heading, chart and value."""
        yield Static(id="heading", classes="line", markup=False)
        yield Static(id="picture", markup=False)
        yield Static(id="value", classes="line", markup=False)

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self.draw())

    def on_resize(self) -> None:
        """Draw at the new size."""
        self.draw()

    @abstractmethod
    def draw(self) -> None:
        """Call `show` with the current data."""

    def show(self, heading: str, chart: Plot | str, value: str) -> None:
        """Show heading, value and a chart, or a sentence in place of the chart."""
        keys = keymap_of(self.app).fill(self.KEYS)
        room = self.size.width - len(heading) - len(keys) - 2
        self.query_one("#heading", Static).update(heading + (" " * room + keys if room >= 2 else ""))
        self.query_one("#value", Static).update(value)
        picture = self.query_one("#picture", Static)
        width, height = picture.size
        if width < 20 or height < 5:
            picture.update("Too small for a chart. Enlarge the terminal.")
        elif isinstance(chart, str):
            picture.update(chart)
        else:
            picture.update(inked(plot(chart, width, height, self._glyphs), look(self.app.theme_variables, picture.rich_style)))
