"""Saved conversations: opening them, looking at what was measured in them, exporting that, and care after a crash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.errors import XchatError
from engine.events import Notice, TurnFinished
from engine.records import SessionInfo
from tui.chat.compose import TalkActions

if TYPE_CHECKING:
    from tui.library.export import Order
    from tui.library.sessions import Chosen


class SessionActions(TalkActions):
    """What is done with conversations that are saved."""

    fallen_figures: frozenset[str] = frozenset()
    """Figures that were below this host's history in the turn before: told once, until one is well again."""

    def action_new_session(self) -> None:
        """Begin another conversation."""
        if self.attempt(lambda: self.live().new_session()):
            self.prompt.focus()

    def action_sessions(self) -> None:
        """Find a conversation and go on with it."""
        from tui.library.sessions import SessionsScreen

        session = self.session
        if session is None:
            return

        def go_on(chosen: Chosen | None) -> None:
            if chosen is not None:
                self.run_worker(self.resume(chosen.session_id, chosen.message_id), group="resume", exclusive=True, exit_on_error=True)

        browser = SessionsScreen(
            session,
            keymap=self.program.keymap,
            current=session.session_id,
            report=self.report,
            measure=self._show_measurements,
            export=self._show_export,
        )
        self.app.push_screen(browser, go_on)

    async def resume(self, session_id: int, message_id: int | None = None) -> None:
        """Go on with a saved conversation (0 is the newest), at one of its messages."""
        session = self.live()
        try:
            if session_id == 0:
                newest = next(iter(await session.sessions(limit=1)), None)
                if newest is None:
                    self.tell("There is no session to go on with", "This is a new one.")
                    return
                session_id = newest.id
            if session_id != session.session_id:
                await session.resume(session_id)
            if message_id is not None:
                session.show_message(message_id)
                # After what the session told has reached the transcript.
                self.call_later(self._choose_message, message_id)
        except XchatError as error:
            self.report(error)

    async def recall_turns(self, info: SessionInfo) -> None:
        """Show beside the answers of a saved conversation what the log knows of them: who answered, how fast, and why one ended early."""
        try:
            turns = await self.live().reader.turns(info.id)
        except XchatError:
            return  # the conversation is there; a database that fails is told by the log itself
        if self.live().session_id == info.id:
            self.logged = {turn.id: turn for turn in turns}
            self.transcript.decorate(self.all_extras())

    def _choose_message(self, message_id: int) -> None:
        place = next((place for place, message in enumerate(self.live().branch) if message.id == message_id), None)
        if place is not None:
            self.transcript.choose(place)
            self.transcript.focus()

    # What was measured

    def action_performance(self) -> None:
        """The turns of this session with their charts."""
        info = self._logged_info()
        if info is not None:
            self._show_measurements(info)

    def action_export(self) -> None:
        """Export this session."""
        info = self._logged_info()
        if info is not None:
            self._show_export(info)

    def export_as(self, words: str) -> None:
        """Export this session in a format, to a file if one is named."""
        from tui.library.export import Order

        info = self._logged_info()
        if info is not None:
            form, _, file = words.partition(" ")
            self._show_export(info, Order(form.lower(), file.strip()))

    def _logged_info(self) -> SessionInfo | None:
        info = self.session.info if self.session is not None else None
        if info is None:
            self.tell("Nothing was measured yet", "This session is saved with its first message")
        return info

    def _show_measurements(self, info: SessionInfo) -> None:
        from tui.drawing.braille import glyphs_for
        from tui.library.performance import PerformanceScreen

        terminal = self.program.terminal
        self.app.push_screen(
            PerformanceScreen(
                self.live(),
                info,
                keymap=self.program.keymap,
                glyphs=glyphs_for(braille=terminal.braille, unicode=terminal.unicode),
                report=self.report,
                export=self._show_export,
            )
        )

    def _show_export(self, info: SessionInfo, order: Order | None = None) -> None:
        from tui.library.export import ExportScreen

        try:
            database = self.live().reader.path
        except XchatError as error:
            self.report(error)
            return
        self.app.push_screen(ExportScreen(database, info, copy=self.program.copy, order=order))

    def note_turn(self, event: TurnFinished) -> None:
        """Hold a finished turn against this host's history, in the background."""
        if event.error is None and event.turn.noisy is None and self.live().logging:
            self.run_worker(self._hold_against_history(event), group="regression", exclusive=True)

    async def _hold_against_history(self, event: TurnFinished) -> None:
        try:
            found = await self.live().regressions(event.turn)
        except XchatError:
            return  # a database that fails is told by the log itself
        fallen = frozenset(one.figure for one in found)
        news = [one for one in found if one.figure not in self.fallen_figures]
        self.fallen_figures = fallen
        if news:
            key = self.program.keymap.shown("performance")
            hint = f"{key} shows the turns of this session." if key else ""
            self.program.tell(Notice("warning", "Slower than usual", ". ".join(one.sentence for one in news), hint))

    # Care

    async def look_for_damage(self) -> None:
        """After an end that was none: see whether the database is whole, on a thread."""
        from engine.store.upkeep import maintenance

        session = self.live()
        if not session.unclean_end:
            return
        try:
            report = await asyncio.to_thread(maintenance.check, session.reader.path, quick=True)
        except XchatError as error:
            self.report(error)
            return
        if not report.whole:
            detail = f"xchat did not end as it should last time, and a check found: {report.problems[0]}"
            self.program.tell(Notice("error", "The database is damaged", detail, "Leave xchat and run `xchat db repair`."))
