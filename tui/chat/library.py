"""Chat-screen actions: open, rename, measure and export saved conversations; check the database after a crash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.errors import UsageError, XchatError
from engine.events import Event, Notice, TurnFinished
from engine.records import SessionInfo
from tui.chat.context import ChatContext

if TYPE_CHECKING:
    from tui.library.export import Order
    from tui.library.saved import Chosen


class LibraryController:
    """Opens, renames and exports saved conversations."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context
        self._fallen: frozenset[str] = frozenset()
        """Figures below this host's history in the previous turn; each is reported once until it recovers."""

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, TurnFinished) and event.turn.clean and self._context.live().logging:
            self._context.run_worker(self._compare_with_history(event), group="regression", exclusive=True)

    def new_session(self) -> None:
        """Start a new session."""
        self._context.live().new_session()
        self._context.prompt.focus()

    def sessions(self) -> None:
        """Open the session browser."""
        from tui.library.sessions import SessionsScreen

        context, session = self._context, self._context.live()

        def go_on(chosen: Chosen | None) -> None:
            context.prompt.read_history()
            if chosen is not None:
                context.run_worker(self.resume(chosen.session_id, chosen.message_id), group="resume", exclusive=True)

        browser = SessionsScreen(
            session.library,
            keymap=context.program.keymap,
            current=session.session_id,
            report=context.report,
            measure=self._show_measurements,
            export=self._show_export,
            running=lambda: session.background.running,
        )
        context.open(browser, go_on)

    async def rename(self, title: str) -> None:
        """Rename this session."""
        session = self._context.live()
        if session.info is None:
            raise UsageError("This session has no title yet", "It is saved with its first message", "Send one first.")
        await session.library.rename(session.info.id, title)
        self._context.set_status(session=title)

    async def save_now(self) -> None:
        """Write what is not logged yet, and report the result."""
        await self._context.live().library.save_now()
        self._context.notify("Everything is saved")

    async def offer_interrupted(self) -> None:
        """Report a conversation that was interrupted when the program last ended."""
        try:
            info = await self._context.live().library.interrupted()
        except XchatError:
            return
        if info is not None:
            detail = f"“{info.title}” is saved up to where it stopped"
            self._context.notify("The last conversation was cut off", detail, "Resume it", "sessions")

    async def resume(self, session_id: int, message_id: int | None = None) -> None:
        """Resume a saved session (0 is the newest), at one of its messages."""
        session = self._context.live()
        try:
            if session_id == 0:
                newest = next(iter(await session.library.sessions(limit=1)), None)
                if newest is None:
                    self._context.notify("There is no session to resume", "A new one was started.")
                    return
                session_id = newest.id
            if session_id != session.session_id:
                await session.resume(session_id)
            if message_id is not None:
                session.show_message(message_id)
                # After the session's events have reached the transcript.
                self._context.screen.call_later(self._choose_message, message_id)
        except XchatError as error:
            self._context.report(error)

    def _choose_message(self, message_id: int) -> None:
        place = next((place for place, message in enumerate(self._context.live().branch) if message.id == message_id), None)
        if place is not None:
            self._context.transcript.choose(place)
            self._context.transcript.focus()

    # Measurements

    def performance(self) -> None:
        """Show the turns of this session with their charts."""
        info = self._logged_info("Nothing has been measured yet")
        if info is not None:
            self._show_measurements(info)

    def export(self, words: str) -> None:
        """Export this session: pick a format, or name one and optionally a file."""
        from tui.library.export import Order

        info = self._logged_info("There is nothing to export yet")
        if info is not None:
            form, _, file = words.partition(" ")
            self._show_export(info, Order(form.lower(), file.strip()) if words else None)

    def _logged_info(self, nothing: str) -> SessionInfo | None:
        info = self._context.session.info if self._context.session is not None else None
        if info is None:
            self._context.notify(nothing, "This session is saved with its first message")
        return info

    def _show_measurements(self, info: SessionInfo) -> None:
        from tui.drawing.braille import glyphs_for
        from tui.library.performance import PerformanceScreen

        terminal = self._context.program.terminal
        self._context.open(
            PerformanceScreen(
                self._context.live().library,
                info,
                keymap=self._context.program.keymap,
                glyphs=glyphs_for(braille=terminal.braille, unicode=terminal.unicode),
                report=self._context.report,
                export=lambda info: self._show_export(info, measured=True),
            )
        )

    def _show_export(self, info: SessionInfo, order: Order | None = None, *, measured: bool = False) -> None:
        from engine.store.export.tables import What
        from tui.library.export import ExportScreen

        try:
            database = self._context.live().library.reader.path
        except XchatError as error:
            self._context.report(error)
            return
        self._context.open(
            ExportScreen(database, info, copy=self._context.program.copy, order=order, what=What.TURNS if measured else What.CHAT)
        )

    async def _compare_with_history(self, event: TurnFinished) -> None:
        try:
            found = await self._context.live().library.regressions(event.turn)
        except XchatError:
            return  # the log reports a failing database
        fallen = frozenset(one.figure for one in found)
        news = [one for one in found if one.figure not in self._fallen]
        self._fallen = fallen
        if news:
            detail = ". ".join(one.sentence for one in news)
            notice = Notice("warning", "Slower than usual", detail, "See the turns of this session", "performance")
            self._context.program.show_notice(notice)

    # Database

    async def check_database(self) -> None:
        """Check the database after an unclean exit, on a thread."""
        from engine.store.upkeep import maintenance

        session = self._context.live()
        if not session.library.unclean_end:
            return
        try:
            report = await asyncio.to_thread(maintenance.check, session.library.reader.path, quick=True)
        except XchatError as error:
            self._context.report(error)
            return
        if not report.whole:
            detail = f"xchat did not exit cleanly last time; the check found: {report.problems[0]}"
            self._context.program.show_notice(Notice("error", "The database is damaged", detail, "Quit xchat and run `xchat db repair`."))
