"""The instrument panel: one widget on the Line API that shows one snapshot per tick and repaints only the cells that changed."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from engine.metrics.history import Window
from engine.metrics.snapshot import EMPTY, Snapshot
from tui.widgets.braille import Glyphs
from tui.widgets.chart import Chart
from tui.widgets.panel_cost import EVENTS, PRICE, ROOFLINE
from tui.widgets.panel_layout import GAP, Layout, Placed, arrange
from tui.widgets.panel_look import look
from tui.widgets.panel_machine import CPU, MEMORY, THREADS
from tui.widgets.panel_pane import ChartLook, Density, Pane, chart_rows
from tui.widgets.panel_rows import Role, Row, changed_span, fit, joined, number, text_of
from tui.widgets.panel_speed import CONTEXT, LATENCY, SPEED

PANES: tuple[Pane, ...] = (SPEED, CONTEXT, MEMORY, CPU, LATENCY, ROOFLINE, THREADS, PRICE, EVENTS)
"""Every pane, in the order of its number key."""

HEADER_ROWS = 1


class Panel(Widget, can_focus=True):
    """Live figures and charts, fed by `show` with one frozen snapshot per tick."""

    DEFAULT_CSS = """
    Panel { width: 1fr; height: 1fr; }
    """

    def __init__(self, *, glyphs: Glyphs = Glyphs.BRAILLE, sweep: bool = False, id: str | None = None, classes: str | None = None) -> None:
        """`sweep` draws charts that never scroll, for slow lines."""
        super().__init__(id=id, classes=classes)
        self.glyphs = glyphs
        self.sweep = sweep
        self.drawn_ms: float | None = None
        """What composing the last picture cost."""
        self._snapshot = EMPTY
        self._window = Window.MINUTE
        self._density: Density | None = None
        self._layout_now = Layout((), (), 0)
        self._charts: dict[str, Chart] = {pane.id: Chart(fixed_top=pane.chart.top) for pane in PANES if pane.chart}
        for pane in PANES:
            if pane.chart:
                self._charts[pane.id].scale.floor = pane.chart.floor
        self._columns: list[list[Row]] = []
        self._strips: list[Strip] = []
        self._look: Mapping[Role, Style] = {}

    # Lifecycle

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._restyle())

    def on_resize(self) -> None:
        """Place the panes anew."""
        self._place()

    def on_show(self) -> None:
        """Draw what came while the panel was hidden."""
        self._draw()

    # Verbs

    def show(self, snapshot: Snapshot) -> None:
        """Show these numbers. Costs nothing while the panel is hidden."""
        self._snapshot = snapshot
        if self.is_on_screen:
            self._draw()

    # Drawing

    def render_line(self, y: int) -> Strip:
        """One row of the last picture."""
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _place(self) -> None:
        width, height = self.size
        self._layout_now = arrange(PANES, width, height - HEADER_ROWS, self._density)
        self._restyle()

    def _restyle(self) -> None:
        """Forget what is drawn: size, panes or colours are others now."""
        self._look = look(self.app.theme_variables, self.rich_style)
        self._columns, self._strips = [], []
        self._draw()
        self.refresh()

    def _draw(self) -> None:
        """Compose the picture and have the cells that changed repainted."""
        width, height = self.size
        if not width or not height or not self._look:
            return
        began = perf_counter_ns()
        layout = self._layout_now
        columns = [[fit(self._header(width), width)], *self._compose_columns(layout, height - HEADER_ROWS)]
        if not self._columns:
            self._columns = columns
            self._strips = [self._strip(y, width) for y in range(height)]
        else:
            self._repaint(columns, layout, width)
        self.drawn_ms = (perf_counter_ns() - began) / 1e6

    def _repaint(self, columns: list[list[Row]], layout: Layout, width: int) -> None:
        before, self._columns = self._columns, columns
        regions = []
        for place, (old, new) in enumerate(zip(before, columns, strict=True)):
            left, room = (0, width) if place == 0 else (layout.left_of(place - 1), layout.widths[place - 1])
            for offset, (row_before, row) in enumerate(zip(old, new, strict=True)):
                span = changed_span(row_before, row, room)
                if span is not None:
                    y = offset if place == 0 else offset + HEADER_ROWS
                    regions.append(Region(left + span[0], y, span[1], 1))
        for y in {region.y for region in regions}:
            self._strips[y] = self._strip(y, width)
        if regions:
            self.refresh(*regions)

    def _strip(self, y: int, width: int) -> Strip:
        if y < HEADER_ROWS:
            row = self._columns[0][y]
        else:
            row = joined([column[y - HEADER_ROWS] for column in self._columns[1:]], self._layout_now.widths, GAP)
        return Strip([Segment(text, self._look[role]) for text, role in row], width)

    def _compose_columns(self, layout: Layout, height: int) -> list[list[Row]]:
        columns: list[list[Row]] = [[] for _ in layout.widths]
        for placed in layout.placed:
            width = layout.widths[placed.column]
            columns[placed.column] += [fit(row, width) for row in self._pane(placed, width)]
        for width, column in zip(layout.widths, columns, strict=True):
            column.extend([fit((), width)] * (height - len(column)))
        return columns

    def _pane(self, placed: Placed, width: int) -> list[Row]:
        pane, now = placed.pane, self._snapshot
        rows = [self._title(pane, width), *pane.rows(now, width, placed.density)]
        if pane.chart is not None and placed.chart_height:
            chart = self._charts[pane.id]
            how = ChartLook(self._window, self.glyphs, self.sweep)
            rows += chart_rows(pane.chart, chart, now, width, placed.chart_height, how)
        return rows

    def _title(self, pane: Pane, width: int) -> Row:
        head = f"{PANES.index(pane) + 1} {pane.title}"
        value = pane.headline(self._snapshot)
        rule = "─" * max(1, width - len(head) - len(value) - 2)
        return ((head, Role.TITLE), (f" {rule} ", Role.GRID), (value, Role.VALUE))

    def _header(self, width: int) -> Row:
        now = self._snapshot
        right = self._window.value
        left: Row = ((now.phase.value, Role.GOOD if now.phase.in_turn else Role.LABEL), (f" {number(now.speed.now)} t/s ", Role.VALUE))
        gap = width - len(text_of(left)) - len(right)
        return (*left, (" " * max(1, gap), Role.TEXT), (right, Role.LABEL))
