"""Charts that fill the screen: drawn by plotext with axes, marks, and a cursor to read values with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.widgets.braille import Glyphs
from tui.widgets.panel_look import look
from tui.widgets.panel_rows import LINES, Role

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


class LargeChartScreen(ModalScreen[None]):
    """A heading, a picture, and the value under a cursor that left and right move. Subclasses draw, and take `move` and `jump`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "move(-1)", "Left"),
        Binding("right", "move(1)", "Right"),
        Binding("ctrl+left,pageup", "move(-10)", "Far left", show=False),
        Binding("ctrl+right,pagedown", "move(10)", "Far right", show=False),
        Binding("home", "jump(0)", "First", show=False),
        Binding("end", "jump(-1)", "Last", show=False),
        Binding("escape,q,enter,c", "dismiss", "Close"),
    ]
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
        """Heading, picture, the value under the cursor."""
        yield Static(id="heading", classes="line", markup=False)
        yield Static(id="picture", markup=False)
        yield Static(id="value", classes="line", markup=False)

    def on_resize(self) -> None:
        """Draw at the new size."""
        self.draw()

    def draw(self) -> None:
        """Say what is drawn, with `show`."""
        raise NotImplementedError

    def show(self, heading: str, chart: Plot | str, value: str) -> None:
        """Put this on the screen; a sentence stands where there is no chart."""
        self.query_one("#heading", Static).update(heading)
        self.query_one("#value", Static).update(value)
        picture = self.query_one("#picture", Static)
        width, height = picture.size
        if width < 20 or height < 5:
            picture.update("Too small for a chart: enlarge the terminal.")
        elif isinstance(chart, str):
            picture.update(chart)
        else:
            picture.update(inked(plot(chart, width, height, self._glyphs), look(self.app.theme_variables, picture.rich_style)))
