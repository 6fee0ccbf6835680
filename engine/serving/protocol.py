"""uvicorn's connection with bounds that it lacks: on the time and size of headers, and on the number of connections."""

from __future__ import annotations

import asyncio
from typing import Any, Final

HEADER_S: Final = 15.0
"""Longest time from the connection, or the end of the request before it, to the end of a request's headers."""
MOST_HEADER: Final = 64 << 10
"""Bytes of the longest headers."""


def bounded_protocol(most_connections: int, header_s: float = HEADER_S) -> type[Any]:  # noqa: C901 - a class
    """Make the class of connections; one more than `most_connections` is closed at once."""
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class BoundedProtocol(HttpToolsProtocol):
        """A connection."""

        _timer: asyncio.TimerHandle | None = None
        _received = 0
        """Bytes since the headers began; -1 once they are complete."""

        def connection_made(self, transport: Any) -> None:
            """Accept a connection, if there are not too many."""
            super().connection_made(transport)
            if len(self.connections) > most_connections:
                transport.abort()
                return
            self._watch_headers()

        def data_received(self, data: bytes) -> None:
            """Parse what arrives, and refuse headers that never end."""
            super().data_received(data)
            if self._received >= 0 and not self.transport.is_closing():
                self._received += len(data)
                if self._received > MOST_HEADER:
                    self.send_400_response("The headers are too long.")

        def on_message_begin(self) -> None:
            """Begin to count the headers of a request."""
            super().on_message_begin()
            self._received = 0
            self._watch_headers()

        def on_headers_complete(self) -> None:
            """Stop counting."""
            self._received = -1
            self._stop_watching()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            """Forget the connection."""
            self._stop_watching()
            super().connection_lost(exc)

        def _watch_headers(self) -> None:
            self._stop_watching()
            self._timer = self.loop.call_later(header_s, self.transport.abort)

        def _stop_watching(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return BoundedProtocol
