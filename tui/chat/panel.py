"""The instrument panel on the chat screen: its place, and the figures it is fed with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.backend import EngineInfo
from engine.events import Event, LoggingChanged, ModelReady, Painted, PresetChanged, SessionOpened, TurnFinished
from engine.host.bandwidth import HostLimits
from engine.metrics.pacing import Choice
from engine.metrics.snapshot import Snapshot
from engine.paths import state_dir
from tui.chat.context import ChatContext
from tui.chat.layout import arrange
from tui.chat.pacing import PacingController
from tui.text import wording

if TYPE_CHECKING:
    from tui.metering import Metering
    from tui.panel.panel import Panel

CHARTS_WAIT_S = 4.0
"""Longest time that the panel waits while the connection is busy with text."""

PANEL_FILE = "panel.json"
"""Name of the panel's arrangement in the state folder."""


class PanelController:
    """Mounts, places and feeds the panel; keeps the session's figures in the status line."""

    def __init__(self, context: ChatContext, *, remote: bool, low_bandwidth: bool, alerts: Mapping[str, float]) -> None:
        self._context = context
        self._remote = remote
        self._alerts = alerts
        self._metering: Metering | None = None
        self._wanted = True
        self._over = False
        self._fed_s = 0.0
        self.widget: Panel | None = None
        """The panel, once it is mounted."""
        self.pacing = PacingController(context, remote=remote, low_bandwidth=low_bandwidth, slow_changed=self._slow_changed)

    async def mount(self) -> None:
        """Put the panel in its place and begin to measure."""
        from tui.drawing.braille import glyphs_for
        from tui.metering import REMOTE_TICK_S, TICK_S, Metering
        from tui.panel.panel import Panel

        context, session, program = self._context, self._context.live(), self._context.program
        metering = Metering(session, alerts=self._alerts, show=self._show, tell=program.show_notice, terminal=self.pacing.terminal_figures)
        await metering.start(program.options.prometheus_port)
        self._metering = metering
        if session.engine is not None:
            metering.handle(ModelReady(session.engine))
            await metering.watch_model(session.engine)
        self.widget = Panel(
            glyphs=glyphs_for(braille=program.terminal.braille, unicode=program.terminal.unicode),
            sweep=self.pacing.slow,
            memory=state_dir() / PANEL_FILE,
            id="panel",
        )
        await context.screen.query_one("#panel-place").mount(self.widget)
        context.screen.set_interval(REMOTE_TICK_S if self._remote else TICK_S, metering.tick)

    async def close(self) -> None:
        """Stop measuring."""
        if self._metering is not None:
            await self._metering.stop()

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        if self._metering is not None:
            self._metering.handle(event)
        if isinstance(event, ModelReady):
            self._show_threads()
            self._watch_model(event.engine)
        elif isinstance(event, PresetChanged):
            self._show_threads()
        elif isinstance(event, TurnFinished | SessionOpened):
            self._show_title()
        elif isinstance(event, LoggingChanged):
            self._context.set_status(logged=event.on)
            if event.error is not None:
                self._context.report(event.error)

    def _watch_model(self, engine: EngineInfo) -> None:
        if self._metering is not None:
            self._context.run_worker(self._metering.watch_model(engine), group="watch", exclusive=True)

    def place(self) -> bool:
        """Place the panel by the room there is. Returns whether it and the conversation both have room."""
        return arrange(self._context.screen, panel=self._wanted, over=self._over)

    def toggle(self) -> None:
        """Show or hide the panel; on a small screen it takes the conversation's place, and the keys, until it goes again."""
        if self.place():
            self._wanted = not self._wanted
            self.place()
            return
        self._over = not self._over
        self.place()
        target = self.widget if self._over else self._context.prompt
        if target is not None:
            target.focus()

    def host_measured(self, limits: HostLimits) -> None:
        """Use new measurements of what this machine can do."""
        if self._metering is not None:
            self._metering.measured(limits)

    def capture_changed(self, on: bool) -> None:
        """Mark that a capture of the profiler began or ended; figures measured meanwhile are noisy."""
        if self._metering is not None:
            self._metering.capture(on)

    def painted(self, painted: Painted) -> None:
        """Record that text reached the screen."""
        if self._context.session is not None:
            self._context.session.painted(painted.answer_id, painted.painted_ns, painted.paint_ns)
        if self._metering is not None:
            self._metering.painted(painted)

    def paced(self, choice: Choice) -> None:
        """Apply the chunk size that `auto` chose."""
        session = self._context.session
        if session is None or session.preset.stream_batch != "auto":
            return
        session.pace(choice.batch)
        self._context.set_status(batch=wording.batch(session.preset, choice.batch))
        if self._metering is not None:
            self._metering.paced(choice)

    def _show_title(self) -> None:
        """Show the session's title; a new one has it once its row is in the database."""
        info = self._context.session.info if self._context.session is not None else None
        self._context.set_status(session=(info.title if info is not None else "") or "new session")

    def _show_threads(self) -> None:
        """Show how many threads decode; `auto` changes that while tokens flow."""
        session = self._context.session
        now = session.threads_now if session is not None else None
        if session is not None and now is not None:
            self._context.set_status(threads=wording.threads(session.preset, now))

    def _slow_changed(self, slow: bool) -> None:
        if self.widget is not None:
            self.widget.sweep = slow

    def _show(self, snapshot: Snapshot) -> None:
        now_s = time.monotonic()
        panel = self.widget
        if panel is not None and panel.is_attached and not self._text_first(now_s):
            self._fed_s = now_s
            panel.show(snapshot)
            if self._metering is not None and panel.drawn_ms is not None:
                self._metering.meter.drawn(panel.drawn_ms)
        self._show_title()
        self._show_threads()
        self.pacing.check_link(now_s)

    def _text_first(self, now_s: float) -> bool:
        """Whether the panel waits for text on its way to the terminal."""
        return self._context.program.link().behind and now_s - self._fed_s < CHARTS_WAIT_S
