"""The instrument panel: one Line API widget that shows a snapshot per tick and repaints only cells that changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import var
from textual.strip import Strip

from engine.errors import XchatError
from engine.host.bandwidth import HostLimits
from engine.metrics.history import Window
from engine.metrics.roofline import sentence
from engine.metrics.snapshot import EMPTY, Snapshot
from tui.actions.bindings import bindings_for, keymap_of
from tui.actions.registry import BY_ID, Scope, display_key
from tui.drawing.braille import Glyphs
from tui.drawing.chart import Chart, Scale
from tui.drawing.look import look
from tui.drawing.ready_lines import ReadyLines
from tui.drawing.rows import Role, Row, changed_span, fit, joined
from tui.panel.answers import ANSWERS, several
from tui.panel.arrangements import Arrangements
from tui.panel.head import head
from tui.panel.layout import GAP, Layout, Placed, arrange, expand
from tui.panel.limits import EVENTS, OVERHEAD, ROOFLINE
from tui.panel.machine import CPU, MEMORY, THREADS
from tui.panel.pane import ChartLook, Density, Detail, Pane, pane_rows
from tui.panel.server import SERVER
from tui.panel.speed import CONTEXT, LATENCY, SPEED

PANES: tuple[Pane, ...] = (SPEED, CONTEXT, MEMORY, CPU, LATENCY, ROOFLINE, THREADS, OVERHEAD, EVENTS, ANSWERS, SERVER)
"""All panes, in the order of the keys of `toggle_pane`; further panes have no key."""

HEAD_ROWS = 1

CALM_NS = 2_000_000_000
"""Interval of drawing the panel on a slow connection."""

STAY_CALM_NS = 30_000_000_000
"""Time that a connection counts as slow after it last fell behind."""


class Panel(ReadyLines, can_focus=True):
    """Live figures and charts, fed by `show` with one frozen snapshot per tick."""

    HELP = """\
## The instrument panel

{pane_up} and {pane_down} select a pane. {expand_pane} expands it to the whole panel, or restores it. {open_chart} opens its chart
full-screen, with axes and a cursor. {explain} explains its figures: formula, source, and what would change them.

{pause_panel} pauses the panes, not the first row. {panel_window} changes the time span: one minute, five minutes or the session.
{panel_density} changes the detail of the panes. The number of a pane shows and hides it, {next_arrangement} switches to the next
arrangement, {save_arrangement} saves the current one as your own.

{measure_host} measures the memory bandwidth and the cores of this machine at the current number of threads, for the roofline.

{stop} or Tab goes back to the message. Shift+Tab comes from the message to the panel, Tab by way of the conversation.

Below the charts T is a turn, P another preset, S a stall, C a capture, A an alert.
"""
    BINDING_GROUP_TITLE = "Panel"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.PANEL, leave_out={"toggle_pane"})]

    expanded: var[bool] = var(False)
    """Whether one pane fills the panel."""

    @dataclass
    class HostMeasured(Message):
        """The limits of this machine were measured and saved."""

        limits: HostLimits

    DEFAULT_CSS = "Panel { width: 1fr; height: 1fr; }"

    def __init__(
        self,
        *,
        glyphs: Glyphs = Glyphs.BRAILLE,
        slow: bool = False,
        arrangements: Arrangements | None = None,
        pane_keys: Sequence[str] = BY_ID["toggle_pane"].keys,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """`slow` is for slow connections, see the attribute; `arrangements`: those of the last start.

        `pane_keys` show and hide one pane each.
        """
        super().__init__(id=id, classes=classes)
        self.glyphs = glyphs
        self.slow = slow
        """For slow connections: charts scroll in jumps, and the panes are drawn every two seconds. May change at any time."""
        self.drawn_ms: float | None = None
        """Time of composing the last frame."""
        self._pane_keys = {pane.id: key for pane, key in zip(PANES, pane_keys, strict=False)}
        self._snapshot = EMPTY
        self._in_panes = EMPTY
        """The snapshot that the panes show: the newest, or that of the pause."""
        self._paused = False
        self._calm_until_ns = 0
        self._arrangements = arrangements or Arrangements(None)
        self._writing = asyncio.Lock()
        self._selected = PANES[0]
        self._layout_now = Layout((), (), 0)
        self._placed_for: Mapping[str, bool] = {}
        self._charts = {pane.id: Chart(Scale(pane.chart.floor), pane.chart.top) for pane in PANES if pane.chart}
        self._columns: list[list[Row]] = []
        self._strips: list[Strip] = []
        self._look: Mapping[Role, Style] = {}

    # Lifecycle

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, lambda _: self._restyle())

    def on_resize(self) -> None:
        """Place the panes."""
        self._place()

    def on_show(self) -> None:
        """Draw the newest snapshot."""
        self._draw()

    def on_focus(self) -> None:
        """Mark the selected pane."""
        self._draw()

    def on_blur(self) -> None:
        """Remove the mark of the selected pane."""
        self._draw()

    def on_key(self, event: events.Key) -> None:
        """Show or hide the pane of this key."""
        name = next((name for name, key in self._pane_keys.items() if key == event.key), None)
        if name is not None:
            event.stop()
            self.action_toggle_pane(name)

    def on_click(self, event: events.Click) -> None:
        """Select the pane under the mouse; another click expands or restores it."""
        for placed in self._layout_now.placed:
            left = self._layout_now.left_of(placed.column)
            inside = left <= event.x < left + self._layout_now.widths[placed.column]
            if inside and placed.top <= event.y - HEAD_ROWS < placed.top + placed.height:
                if placed.pane is self._selected:
                    self.action_expand_pane()
                else:
                    self._select(placed.pane)
                return

    # Contents

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot. Costs nothing while the panel is hidden."""
        self._snapshot = snapshot
        if snapshot.price.link_busy:
            self._calm_until_ns = snapshot.at_ns + STAY_CALM_NS
        if not self._paused and not (self._calm(snapshot) and 0 <= snapshot.at_ns - self._in_panes.at_ns < CALM_NS):
            self._in_panes = snapshot
        if self.is_on_screen:
            self._draw() if self._subjects() == self._placed_for else self._place()

    def _calm(self, snapshot: Snapshot) -> bool:
        """Return whether charts scroll in jumps and are drawn every two seconds."""
        return self.slow or snapshot.at_ns < self._calm_until_ns

    def _subjects(self) -> Mapping[str, bool]:
        """Return the panes, and whether each has anything to show."""
        return {pane.id: not pane.missing(self._in_panes) for pane in self.panes}

    @property
    def panes(self) -> tuple[Pane, ...]:
        """The panes of the current arrangement, whether they fit or not; several answers at once and a server have one of their own."""
        return self._available(self._arrangements.current.panes)

    def _available(self, names: Sequence[str]) -> tuple[Pane, ...]:
        now = self._in_panes
        hidden = (set() if several(now) else {ANSWERS}) | ({SERVER} if now.server is None else set())
        return tuple(pane for pane in PANES if pane.id in names and pane not in hidden)

    # Actions

    def action_expand_pane(self) -> None:
        """Expand the selected pane to the whole panel, or restore it."""
        self.expanded = not self.expanded
        self._place()

    def action_pause_panel(self) -> None:
        """Pause or resume the panes; the first row always updates."""
        self._paused = not self._paused
        if not self._paused:
            self._in_panes = self._snapshot
        self._draw()

    def action_panel_density(self) -> None:
        """Change the density: by size, compact, normal, full."""
        levels: list[Density | None] = [None, *Density]
        current = self._arrangements.current.density
        self._arrangements.change(density=levels[(levels.index(current) + 1) % len(levels)])
        self._rearranged()

    def action_next_arrangement(self) -> None:
        """Use the next arrangement of panes."""
        self._arrangements.next()
        self._rearranged()

    def action_save_arrangement(self) -> None:
        """Save the shown panes as the user's own arrangement."""
        self._arrangements.save()
        self.notify(
            keymap_of(self.app).hint("It is your own arrangement now. Switch arrangements", "next_arrangement"),
            title="Arrangement saved",
            markup=False,
        )
        self._rearranged()

    def action_toggle_pane(self, name: str) -> None:
        """Show or hide a pane by its id; the last one can't be hidden."""
        shown = self._arrangements.current.panes
        panes = tuple(each for each in shown if each != name) if name in shown else (*shown, name)
        if self._available(panes):
            self._arrangements.change(panes=panes)
            self._rearranged()

    def action_panel_window(self) -> None:
        """Change the time span: one minute, five minutes, session."""
        windows = list(Window)
        self._arrangements.window = windows[(windows.index(self._arrangements.window) + 1) % len(windows)]
        self._rearranged()

    def action_open_chart(self) -> None:
        """Open the selected pane's chart at full screen."""
        from tui.panel.chart_screen import ChartScreen

        pane = self._selected
        if pane.chart is None:
            self.notify(f"{pane.title} has no chart.", severity="warning", markup=False)
            return
        window = self._arrangements.window
        self.app.push_screen(ChartScreen(pane.title, pane.chart, lambda: self._in_panes, window=window, glyphs=self.glyphs))

    def action_explain(self) -> None:
        """Explain the selected pane's figures."""
        from tui.panel.explain import ExplainScreen

        self.app.push_screen(ExplainScreen(self._selected, self._in_panes))

    def action_measure_host(self) -> None:
        """Measure this machine's limits at the current number of threads; not during an answer, which would slow down."""
        engine = self._snapshot.engine
        if engine is None or self._snapshot.phase.in_turn:
            self.notify("Load a model and wait for the end of the answer.", title="Not now", severity="warning", markup=False)
            return
        self.notify(f"Reading memory with {engine.threads} threads for a few seconds.", title="Measuring", markup=False)
        self.run_worker(self._measure(engine.threads), group="measure", exclusive=True)

    async def _measure(self, threads: int) -> None:
        from engine.host.bandwidth import measure, remembered

        try:
            newest = await measure(threads)
        except XchatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        limits = remembered(threads) or newest
        self.notify(sentence(newest, limits), title="Measured", markup=False)
        self.post_message(self.HostMeasured(limits))

    def action_step(self, step: int) -> None:
        """Select the previous (-1) or next (1) pane."""
        shown = [placed.pane for placed in self._layout_now.placed] if not self.expanded else list(self.panes)
        if shown:
            place = shown.index(self._selected) + step if self._selected in shown else 0
            self._select(shown[place % len(shown)])

    def _select(self, pane: Pane) -> None:
        self._selected = pane
        if self.expanded:
            self._place()
        else:
            self._draw()

    def _rearranged(self) -> None:
        self.run_worker(self._write_arrangement(), group="arrangement")
        self._place()

    async def _write_arrangement(self) -> None:
        async with self._writing:
            try:
                await asyncio.to_thread(self._arrangements.write, self._arrangements.encoded())
            except XchatError as error:
                self.notify(str(error), severity="warning", markup=False)

    # Drawing

    def render_line(self, y: int) -> Strip:
        """Return one row of the last frame."""
        return self.ready_lines(range(y, y + 1))[0]

    def ready_lines(self, rows: range) -> Sequence[Strip]:
        """Return rows of the last frame."""
        lines = self._strips[rows.start : rows.stop]
        missing = len(rows) - len(lines)
        return lines + [Strip.blank(self.size.width, self.rich_style)] * missing if missing else lines

    def _place(self) -> None:
        width, height = self.size
        if self.expanded:
            self._layout_now = expand(self._selected, width, height - HEAD_ROWS)
        else:
            self._placed_for, density = self._subjects(), self._arrangements.current.density
            empty = [name for name, full in self._placed_for.items() if not full]
            self._layout_now = arrange(self.panes, width, height - HEAD_ROWS, density, collapsed=empty)
            placed = [placed.pane for placed in self._layout_now.placed]
            if placed and self._selected not in placed:
                self._selected = placed[0]
        self._restyle()

    def _restyle(self) -> None:
        """Redraw everything after a change of size, panes or colours."""
        self._look = look(self.app.theme_variables, self.rich_style)
        self._columns, self._strips = [], []
        self._draw()
        self.refresh()

    def _draw(self) -> None:
        """Compose the frame and repaint the cells that changed."""
        width, height = self.size
        if not width or not height or not self._look:
            return
        began = perf_counter_ns()
        columns = [[fit(self._head(width), width)], *self._compose_columns(height - HEAD_ROWS)]
        if [len(column) for column in self._columns] == [len(column) for column in columns] and len(self._strips) == height:
            self._repaint(columns, width)
        else:
            # Not drawn yet, or the size has changed and its Resize event is pending.
            self._columns = columns
            self._strips = [self._strip(y, width) for y in range(height)]
        self.drawn_ms = (perf_counter_ns() - began) / 1e6

    def _repaint(self, columns: list[list[Row]], width: int) -> None:
        before, self._columns = self._columns, columns
        layout, regions = self._layout_now, []
        for place, (old, new) in enumerate(zip(before, columns, strict=True)):
            left, room, top = (0, width, 0) if place == 0 else (layout.left_of(place - 1), layout.widths[place - 1], HEAD_ROWS)
            for offset, (row_before, row) in enumerate(zip(old, new, strict=True)):
                span = changed_span(row_before, row, room)
                if span is not None:
                    regions.append(Region(left + span[0], top + offset, span[1], 1))
        for y in {region.y for region in regions}:
            self._strips[y] = self._strip(y, width)
        if regions:
            self.refresh(*regions)

    def _strip(self, y: int, width: int) -> Strip:
        row = self._columns[0][y] if y < HEAD_ROWS else joined([column[y - HEAD_ROWS] for column in self._columns[1:]], GAP)
        return Strip([Segment(text, self._look[role]) for text, role in row], width)

    def _compose_columns(self, height: int) -> list[list[Row]]:
        layout = self._layout_now
        columns: list[list[Row]] = [[] for _ in layout.widths]
        for placed in layout.placed:
            width = layout.widths[placed.column]
            column = columns[placed.column]
            column += [fit((), width)] * (placed.top - len(column))
            column += [fit(row, width) for row in self._pane(placed, width)]
        for width, column in zip(layout.widths, columns, strict=True):
            column.extend([fit((), width)] * (height - len(column)))
        return [column[:height] for column in columns]

    def _pane(self, placed: Placed, width: int) -> list[Row]:
        pane, now = placed.pane, self._in_panes
        how = ChartLook(self._arrangements.window, self.glyphs, self._calm(now))
        chosen = self.has_focus and pane is self._selected
        detail = Detail(placed.density, chosen, self._charts.get(pane.id), placed.chart_height, how)
        return pane_rows(pane, now, width, f"{display_key(self._pane_keys.get(pane.id, ''))} {pane.title}".lstrip(), detail)

    def _head(self, width: int) -> Row:
        now, left_out, current = self._snapshot if self._paused else self._in_panes, self._layout_now.left_out, self._arrangements.current
        notes = (
            *(("paused",) if self._paused else ()),
            *(("every 2 s",) if self._calm(now) else ()),
            *((f"{left_out} more",) if left_out else ()),
            *((current.density.name.lower(),) if current.density is not None else ()),
            current.name,
        )
        return head(now, width, window=self._arrangements.window, notes=notes, glyphs=self.glyphs)
