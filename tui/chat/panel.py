"""The panel's side of the chat screen: its place, its numbers, and what they mean for the pace of painting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.backend import EngineInfo
from engine.events import Event, ModelReady, Painted
from engine.metrics.pacing import Choice
from engine.metrics.snapshot import Snapshot
from engine.metrics.ui_cost import Link
from engine.paths import state_dir
from tui.chat.base import ChatBase
from tui.chat.layout import arrange
from tui.terminal.link import LinkWatch, Pacer
from tui.text import wording

if TYPE_CHECKING:
    from tui.metering import Metering
    from tui.panel.panel import Panel

REMOTE_JUMP = 8
"""Lines that the conversation moves at once over a line where each move costs a whole picture."""

CHARTS_WAIT_S = 4.0
"""So long the panel stands back while the line is busy with text."""

PANEL_FILE = "panel.json"
"""Where the panel's arrangement is kept, in the state folder."""


class Numbers(ChatBase):
    """Feeds the panel, and watches the line."""

    def prepare_numbers(self, *, remote: bool, low_bandwidth: bool, alerts: Mapping[str, float]) -> None:
        """Set the pace; the panel itself comes later."""
        self.pacer = Pacer(remote=remote)
        self._alerts = alerts
        self._remote = remote
        self._asked_for_few_bytes = low_bandwidth
        self._line_watch = LinkWatch(slow=low_bandwidth)
        self._metering: Metering | None = None
        self._panel: Panel | None = None
        self._panel_wanted = True
        self._panel_over = False
        self._panel_fed_s = 0.0
        self.transcript.jump = REMOTE_JUMP if remote else 1

    async def furnish_panel(self) -> None:
        """Put the panel in its place and begin to measure."""
        from tui.drawing.braille import glyphs_for
        from tui.metering import REMOTE_TICK_S, TICK_S, Metering
        from tui.panel.panel import Panel

        session, program = self.live(), self.program
        metering = Metering(session, alerts=self._alerts, show=self._show_numbers, tell=program.tell, terminal=self._terminal_figures)
        await metering.start(program.options.prometheus_port)
        self._metering = metering
        if session.engine is not None:
            metering.handle(ModelReady(session.engine))
            await metering.watch_model(session.engine)
        self._panel = Panel(
            glyphs=glyphs_for(braille=program.terminal.braille, unicode=program.terminal.unicode),
            sweep=self._line_watch.slow,
            memory=state_dir() / PANEL_FILE,
            id="panel",
        )
        await self.query_one("#panel-place").mount(self._panel)
        self.set_interval(REMOTE_TICK_S if self._remote else TICK_S, metering.tick)

    async def on_unmount(self) -> None:
        """Stop measuring."""
        if self._metering is not None:
            await self._metering.stop()

    def on_resize(self) -> None:
        """Place the panel by the room there is."""
        self._place_panel()

    def _place_panel(self) -> bool:
        return arrange(self, panel=self._panel_wanted, over=self._panel_over)

    def on_panel_host_measured(self, event: Panel.HostMeasured) -> None:
        """What this machine can do was measured from the panel."""
        if self._metering is not None:
            self._metering.measured(event.limits)

    def action_toggle_panel(self) -> None:
        """Show or hide the panel; on a small screen it takes the conversation's place, and the keys, until it goes again."""
        if self._place_panel():
            self._panel_wanted = not self._panel_wanted
            self._place_panel()
            return
        self._panel_over = not self._panel_over
        self._place_panel()
        target = self._panel if self._panel_over else self.prompt
        if target is not None:
            target.focus()

    def note_event(self, event: Event) -> None:
        """The session spoke."""
        if self._metering is not None:
            self._metering.handle(event)

    def note_model(self, engine: EngineInfo) -> None:
        """Another model is loaded."""
        if self._metering is not None:
            self.run_worker(self._metering.watch_model(engine), group="watch", exclusive=True)

    def note_painted(self, painted: Painted) -> None:
        """Text is on the screen."""
        if self.session is not None:
            self.session.painted(painted.answer_id, painted.painted_ns, painted.paint_ns)
        if self._metering is not None:
            self._metering.painted(painted)

    def note_paced(self, choice: Choice) -> None:
        """`auto` chose another batch."""
        session = self.session
        if session is None or session.preset.stream_batch != "auto":
            return
        session.pace(choice.batch)
        self.say(batch=wording.batch(session.preset, choice.batch))
        if self._metering is not None:
            self._metering.paced(choice)

    def show_title(self) -> None:
        """The title of a new conversation is there once its row is in the database."""
        info = self.session.info if self.session is not None else None
        self.say(session=(info.title if info is not None else "") or "new session")

    def show_threads(self) -> None:
        """How many threads decode; `auto` changes that while tokens flow."""
        session = self.session
        now = session.threads_now if session is not None else None
        if session is not None and now is not None:
            self.say(threads=wording.threads(session.preset, now))

    def _terminal_figures(self) -> tuple[int, bool, Link]:
        """While nothing is painted, nothing is learnt about the line."""
        slowed = self.pacer.slowed and self.session is not None and self.session.busy
        return self.program.bytes_written(), slowed, self.program.line()

    def _show_numbers(self, snapshot: Snapshot) -> None:
        now_s = time.monotonic()
        if self._panel is not None and self._panel.is_attached and not self._text_comes_first(now_s):
            self._panel_fed_s = now_s
            self._panel.show(snapshot)
            if self._metering is not None and self._panel.drawn_ms is not None:
                self._metering.meter.drawn(self._panel.drawn_ms)
        self.show_title()
        self.show_threads()
        self._look_at_line(now_s)

    def _text_comes_first(self, now_s: float) -> bool:
        return self.program.line().behind and now_s - self._panel_fed_s < CHARTS_WAIT_S

    def _look_at_line(self, now_s: float) -> None:
        """Spend few bytes while the line is slow, unless that was asked for anyway."""
        slowed = self.pacer.slowed if self.session is not None and self.session.busy else None
        if self._asked_for_few_bytes or not self._line_watch.look(slowed=slowed, now_s=now_s):
            return
        slow = self._line_watch.slow
        self.program.spend_few_bytes(slow)
        remote = slow or self._remote
        self.pacer.be_remote(remote=remote)
        self.transcript.jump = REMOTE_JUMP if remote else 1
        if self._panel is not None:
            self._panel.sweep = slow
        self.say(slow_line=slow)
        if slow:
            self.tell(
                "The line is slow",
                "Text comes first, charts repaint less, with fewer colours.",
                "Start with --low-bandwidth, or use ssh -C.",
            )
        else:
            self.tell("The line is well again", "Everything is painted as before.")
