"""uvicorn's connection with the limits that it lacks: on incoming data, on clients that do not read, on the number of connections."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

MOST_HEADER: Final = 64 << 10
"""Bytes of the longest headers, not counting the data that arrives with their beginning."""
MOST_REST: Final = 32 << 20
"""Bytes of the longest body, including chunk framing and trailers."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Timeouts of a connection for its client, in seconds."""

    header_s: float = 15.0
    """From the connection, or the end of the previous request, to the end of a request's headers."""
    rest_s: float = 75.0
    """From there to the end of its body, even if refused before the body was read."""
    unread_s: float = 120.0
    """While the client does not read the data sent."""


def bounded_protocol(most_connections: int, patience: Patience) -> type[Any]:  # noqa: C901 - a class
    """Return the class of connections; connections beyond `most_connections` are closed at once."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class BoundedProtocol(HttpToolsProtocol):
        """A connection."""

        _arriving: asyncio.TimerHandle | None = None
        """Closes the connection when headers or body take too long."""
        _unread: asyncio.TimerHandle | None = None
        """Closes the connection when the client does not read."""
        _left = MOST_HEADER
        """Bytes left for the headers or the body."""

        def connection_made(self, transport: Any) -> None:
            """Accept a connection, if there are not too many."""
            super().connection_made(transport)
            transport.set_write_buffer_limits(high=1)  # paused while anything is unread, even after the connection is closed on this side
            if len(self.connections) > most_connections:
                transport.abort()
                return
            self._wait_for(patience.header_s)

        def data_received(self, data: bytes) -> None:
            """Parse incoming data; refuse headers or bodies over the limits."""
            self._left -= len(data)
            super().data_received(data)
            if self.transport.is_closing():
                return
            if self._left < 0:
                self.send_400_response("The request is too long.")
            elif self._arriving is None and (self.cycle is None or self.cycle.response_complete):
                self._wait_for(patience.header_s)  # data between two requests has ended uvicorn's wait for the next one

        def on_message_begin(self) -> None:
            """Begin to count the headers of a request."""
            super().on_message_begin()
            self._left = MOST_HEADER
            self._wait_for(patience.header_s)

        def on_headers_complete(self) -> None:
            """Begin to count the body."""
            self._left = MOST_REST
            self._wait_for(patience.rest_s)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            """Stop counting."""
            self._left = MOST_HEADER
            self._stop_waiting()
            super().on_message_complete()

        def pause_writing(self) -> None:
            """Start the timeout for a client that does not read."""
            super().pause_writing()
            self._watch_unread()

        def resume_writing(self) -> None:
            """Resume: the client has read everything."""
            self._stop_watching()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            """Forget the connection."""
            self._stop_waiting()
            self._stop_watching()
            super().connection_lost(exc)

        def _watch_unread(self) -> None:
            left = self.transport.get_write_buffer_size()
            self._unread = self.loop.call_later(patience.unread_s, self._check_unread, left)

        def _check_unread(self, before: int) -> None:
            """Drop the connection, unless the client has read some of the pending data."""
            if self.transport.get_write_buffer_size() < before:
                self._watch_unread()
            else:
                self.transport.abort()

        def _stop_watching(self) -> None:
            if self._unread is not None:
                self._unread.cancel()

        def _wait_for(self, seconds: float) -> None:
            self._stop_waiting()
            self._arriving = self.loop.call_later(seconds, self._late)

        def _late(self) -> None:
            """Drop the connection, unless it is paused because an earlier request is being answered."""
            if self.flow.read_paused:
                self._wait_for(patience.rest_s)
            else:
                self.transport.abort()

        def _stop_waiting(self) -> None:
            if self._arriving is not None:
                self._arriving.cancel()
                self._arriving = None

    return BoundedProtocol
