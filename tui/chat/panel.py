"""Places the instrument panel on the chat screen, and feeds it."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from engine.events import Event, LoggingChanged, ModelReady, Painted, PresetChanged, SessionOpened, TurnFinished
from engine.host.bandwidth import HostLimits
from engine.metrics.pacing import Choice
from engine.metrics.snapshot import Snapshot
from engine.paths import state_dir
from tui.actions.palette import Command
from tui.chat.context import ChatContext
from tui.chat.layout import arrange
from tui.chat.pacing import PacingController
from tui.text import wording

if TYPE_CHECKING:
    from tui.panel.panel import Panel
    from tui.panel.strip import PanelStrip

REMOTE_TICK_S = 1.0
"""Sampling interval over a remote connection."""

CHARTS_WAIT_S = 4.0
"""Longest time without a panel update while text is being sent."""

PANEL_FILE = "panel.json"
"""Name of the panel's arrangement in the state folder."""


class PanelController:
    """Mounts, places and updates the panel; shows the session's state in the status line."""

    def __init__(self, context: ChatContext, *, remote: bool, low_bandwidth: bool) -> None:
        self._context = context
        self._remote = remote
        self._wanted = True
        self._over = False
        self._fed_s = 0.0
        self.widget: Panel | None = None
        """The panel, once it is mounted."""
        self.strip: PanelStrip | None = None
        """Its figures in one row, shown while the panel is hidden."""
        self.pacing = PacingController(context, remote=remote, low_bandwidth=low_bandwidth, slow_changed=self._slow_changed)

    async def mount(self) -> Panel:
        """Mount the panel and subscribe it to the instruments."""
        from tui.drawing.braille import glyphs_for
        from tui.panel.arrangements import Arrangements
        from tui.panel.panel import Panel
        from tui.panel.strip import PanelStrip

        context, session, program = self._context, self._context.live(), self._context.program
        instruments = session.instruments
        instruments.terminal = self.pacing.terminal_figures
        if self._remote:
            instruments.tick_s = REMOTE_TICK_S
        await instruments.publish(program.options.prometheus_port)
        glyphs = glyphs_for(braille=program.terminal.braille, unicode=program.terminal.unicode)
        self.strip = PanelStrip(glyphs=glyphs, id="strip")
        await context.screen.query_one("#strip-place").mount(self.strip)
        self.widget = Panel(
            glyphs=glyphs,
            slow=self.pacing.slow,
            arrangements=await asyncio.to_thread(Arrangements, state_dir() / PANEL_FILE),
            pane_keys=program.keymap.keys["toggle_pane"],
            id="panel",
        )
        await context.screen.query_one("#panel-place").mount(self.widget)
        instruments.subscribe(lambda snapshot: context.screen.call_later(self._show, snapshot))
        return self.widget

    def doctor(self) -> None:
        """Check this machine for what slows the engine."""
        from engine.doctor.here import machine_of
        from tui.lab.doctor import DoctorScreen

        session = self._context.session
        engine = session.engine if session is not None else None
        self._context.open(DoctorScreen(partial(machine_of, engine, os.environ), self._context.program.copy))

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, ModelReady | PresetChanged):
            self._show_threads()
        elif isinstance(event, TurnFinished | SessionOpened):
            self._show_title()
        elif isinstance(event, LoggingChanged):
            self._context.set_status(logged=event.on)
            if event.error is not None:
                self._context.report(event.error)

    def place(self) -> bool:
        """Place the panel by the size of the screen. Returns whether it and the conversation both fit."""
        return arrange(self._context.screen, panel=self._wanted, over=self._over)

    def toggle(self) -> None:
        """Show or hide the panel; on a small screen it replaces the conversation and takes the focus."""
        if self.place():
            self._wanted = not self._wanted
            self.place()
            return
        self._over = not self._over
        self.place()
        target = self.widget if self._over else self._context.prompt
        if target is not None:
            target.focus()

    def commands(self) -> list[Command]:
        """Palette commands that show or hide one pane."""
        from tui.panel.panel import PANES

        if self.widget is None:
            return []
        about, toggle = "Show or hide this pane of the panel", self.widget.action_toggle_pane
        return [Command(f"Measure: {pane.title.lower()} pane", about, "", partial(toggle, pane.id)) for pane in PANES]

    def host_measured(self, limits: HostLimits) -> None:
        """Apply new measurements of this machine's limits."""
        self._context.live().instruments.meter.limits = limits

    def painted(self, painted: Painted) -> None:
        """Record that text reached the screen."""
        if self._context.session is not None:
            self._context.session.instruments.painted(painted)

    def paced(self, choice: Choice) -> None:
        """Apply the chunk size that `auto` chose."""
        session = self._context.session
        if session is None or session.preset.stream_batch != "auto":
            return
        session.slot.pace(choice.batch, choice.sentence)
        self._context.set_status(batch=wording.batch(session.preset, choice.batch))

    def _show_title(self) -> None:
        """Show the session's title; a new session has one once it is saved."""
        info = self._context.session.info if self._context.session is not None else None
        self._context.set_status(session=(info.title if info is not None else "") or "new session")

    def _show_threads(self) -> None:
        """Show the number of decode threads; `auto` changes it during an answer."""
        session = self._context.session
        now = session.threads_now if session is not None else None
        if session is not None:
            self._context.set_status(form=wording.form(session.preset))
        if session is not None and now is not None:
            why = now.reason.partition(": ")[2]
            temperature = f"{session.preset.sampling.temperature:g}"
            layers = session.engine.placement if session.engine is not None else ""
            self._context.set_status(threads=wording.threads(session.preset, now), why=why, layers=layers, temperature=temperature)
        elif session is not None and session.engine is not None and not session.slot.capabilities.threads:
            self._context.set_status(threads="", why="", layers="", temperature=f"{session.preset.sampling.temperature:g}")

    def _slow_changed(self, slow: bool) -> None:
        if self.widget is not None:
            self.widget.slow = slow

    def _show(self, snapshot: Snapshot) -> None:
        now_s = time.monotonic()
        panel = self.widget
        if panel is not None and panel.is_attached and not self._text_first(now_s):
            self._fed_s = now_s
            panel.show(snapshot)
            if self.strip is not None:
                self.strip.show(snapshot)
            if panel.drawn_ms is not None:
                self._context.live().instruments.meter.drawn(panel.drawn_ms)
        used, n_ctx = snapshot.context.used, snapshot.context.n_ctx
        self._context.set_status(context=f"{used:,} of {n_ctx:,}" if n_ctx else "")
        self._show_title()
        self._show_threads()
        self.pacing.check_link(now_s)

    def _text_first(self, now_s: float) -> bool:
        """Return whether the panel must wait for text that is being sent."""
        return self._context.program.link().behind and now_s - self._fed_s < CHARTS_WAIT_S
