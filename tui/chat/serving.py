"""Chat-screen actions: serve the loaded model over HTTP, and show the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from engine.errors import EngineError, UsageError, XchatError
from engine.events import Event, PresetChanged
from tui.chat.context import ChatContext

if TYPE_CHECKING:
    from engine.serving.beside import ServePlan
    from engine.serving.live import RequestNow, ServerNow
    from engine.serving.served import Served
    from engine.serving.server import Server

PATIENCE_S: Final = 2.0
"""Longest wait for the server's reply and for its end."""

Result = TypeVar("Result")


class ServingController:
    """The server of this chat."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context
        self._server: Server | None = None

    async def serve(self, words: str) -> None:
        """Serve on a port; `off` stops it. Without an argument, serve on the default port or show the requests."""
        from engine.serving.beside import ServePlan
        from engine.serving.guard import Guard
        from engine.serving.server import Address

        if words == "off":
            await self._end()
            return
        if self._server is not None and self._server.ended:
            self._forget()
        if words and not (words.isascii() and words.isdecimal() and int(words) < 65_536):
            raise UsageError(f"/serve can't be {words[:80]!r}", "Give a port, or `off`")
        if self._server is None:
            address = Address(port=int(words)) if words else Address()
            await self.begin(ServePlan(address, Guard(), log=self._context.program.options.log))
        elif words and int(words) != self._server.port:
            raise UsageError(f"xchat serves on {self._server.url} already", "", "End it with /serve off first.")
        await self.show()

    async def begin(self, plan: ServePlan) -> None:
        """Start serving. Raises UsageError when the address can't be used."""
        session = self._context.live()
        if not session.slot.loading:
            session.slot.ready()
        from engine.serving.beside import serve_beside

        loop = asyncio.get_running_loop()

        def report(_on: bool, error: XchatError | None) -> None:
            if error is not None:
                with suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._context.report, error)

        self._server = await asyncio.to_thread(serve_beside, session, plan, report)
        self._context.set_status(serving=f"serving {self._server.url.rpartition('/')[2]}")
        if session.engine is not None and session.slot.pool_now is None:
            self._context.notify(
                f"Serving on {self._server.url}", "one answer at a time", "Set `parallel 4` for parallel answers", "change_setting"
            )

    async def show(self) -> None:
        """Show the requests."""
        from tui.drawing.braille import glyphs_for
        from tui.panel.arrangements import SERVING, Arrangements
        from tui.panel.panel import Panel
        from tui.serving.requests import RequestsScreen

        if self._server is None:
            return
        terminal, instruments = self._context.program.terminal, self._context.live().instruments
        glyphs = glyphs_for(braille=terminal.braille, unicode=terminal.unicode)
        panel = Panel(glyphs=glyphs, arrangements=Arrangements(first=SERVING))
        if instruments.newest is not None:
            panel.show(instruments.newest)
        unsubscribe = instruments.subscribe(lambda snapshot: panel.show(snapshot) if panel.is_attached else None)
        screen = RequestsScreen(self._server.url, self, panel, opened=self._opened, glyphs=glyphs)
        self._context.open(screen, lambda _: unsubscribe())

    def on_event(self, event: Event) -> None:
        """Apply changed settings to requests that don't set them."""
        if isinstance(event, PresetChanged) and self._server is not None:
            self._server.call(lambda served: served.use(event.preset))

    async def close(self) -> None:
        """End the server with the program; its answers end with an error."""
        if self._server is not None:
            self._server.stop(0.0)
            await asyncio.to_thread(self._server.join, PATIENCE_S)

    async def _end(self) -> None:
        server = self._server
        if server is None:
            raise UsageError("There is no server", "", "/serve starts one.")
        server.stop()
        self._forget()
        self._context.notify("The server is stopping", "Answers in progress finish first")

    def _forget(self) -> None:
        self._server = None
        self._context.set_status(serving="")

    async def _opened(self, request: RequestNow) -> None:
        from engine.session.explained import explain
        from tui.serving.request import RequestPage

        session = self._context.live()
        turn = await self._ask(lambda served: served.live.turn(request.number))
        causes: list[str] = []
        with suppress(XchatError):  # no explanation without a log
            if turn is not None:
                causes = [cause.words for one in await explain(session.library.reader, [turn]) for cause in one.causes]
        self._context.open(RequestPage(request, turn, causes))

    # Calls from the screen to the server

    async def now(self) -> ServerNow:
        """Return the state of the server."""
        return await self._ask(lambda served: served.live.now(served))

    async def pause(self, paused: bool) -> None:
        """Pause or resume passing new requests to the engine."""
        await self._ask(lambda served: served.pause(paused))

    async def drain(self, draining: bool) -> None:
        """Refuse or accept new requests."""
        await self._ask(lambda served: served.drain(draining))

    async def kick(self, number: int) -> None:
        """End a request."""
        await self._ask(lambda served: served.kick(number))

    async def _ask(self, job: Callable[[Served], Result]) -> Result:
        if self._server is None or self._server.ended:
            raise EngineError("The server has ended")
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._server.call(job)), PATIENCE_S)
        except TimeoutError:
            raise EngineError("The server does not answer") from None
