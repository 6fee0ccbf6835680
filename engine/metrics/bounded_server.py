"""A stream server with a bound on connections and on the time of each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

MOST_CONNECTIONS = 8
"""Most open connections; one more closes the oldest, so that idle ones never block others."""
ANSWER_S = 5.0
"""Time limit from connecting to the end of the reply."""
_BACKLOG = 16
"""Backlog of the listening socket."""

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class BoundedServer:
    """Gives each connection to `answer`, and closes it afterwards. Lives on the event loop."""

    def __init__(self, answer: Answer, answer_s: float = ANSWER_S) -> None:
        """`answer` may raise OSError or EOFError when the client disconnects; `answer_s` bounds its time in seconds."""
        self._answer = answer
        self._answer_s = answer_s
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    async def listen_unix(self, listener: socket.socket) -> None:
        """Serve a bound Unix socket."""
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, backlog=_BACKLOG)

    async def listen_tcp(self, host: str, port: int) -> int:
        """Serve a port; returns it, which the system chooses when `port` is 0. Raises OSError when it is taken."""
        self._server = await asyncio.start_server(self._connected, host, port, backlog=_BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and close all connections; safe to call twice."""
        if self._server is not None:
            self._server.close()
            self._server = None
        open_now = [*self._open]
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(self._open))
            self._open.pop(oldest).transport.abort()
            oldest.cancel()
        task = asyncio.create_task(self._serve(reader, writer), name="connection")
        self._open[task] = writer
        task.add_done_callback(lambda done: self._open.pop(done, None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError):
                async with asyncio.timeout(self._answer_s):
                    await self._answer(reader, writer)
                    writer.close()
                    await writer.wait_closed()
        finally:
            writer.transport.abort()
