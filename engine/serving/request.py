"""One HTTP request and its response: a JSON object, or a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from engine.serving.refusal import Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MOST_BODY: Final = 16 << 20
"""Bytes of the largest body; no context window holds more text."""
BODY_S: Final = 60.0
"""Longest time for a body to arrive."""

JSON: Final = b"application/json; charset=utf-8"
EVENTS: Final = b"text/event-stream"
encode: Final = msgspec.json.Encoder().encode


class ClientGone(Exception):  # noqa: N818 - not an error
    """The client has disconnected."""


class Request:
    """A request whose headers have arrived."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.client = str((scope.get("client") or ("local",))[0])
        """The client: an address, or the number of a key."""
        self.body = b""
        self.size = 0
        """Bytes of the body received."""
        self.unread = False
        """Whether part of the requested body has not arrived."""
        self.started = False
        """Whether the head of the response has been sent."""
        self.cors: tuple[tuple[bytes, bytes], ...] = ()
        """Headers of every response to a page of another origin."""
        self.asked: Callable[[], None] = lambda: None
        """Called when the engine has the request."""
        self.receive = receive
        self._send = send

    async def read(self, add_bytes: Callable[[int], None]) -> None:
        """Read the body; `add_bytes` counts the bytes of all requests. Raises Refusal when too large or too slow, and ClientGone."""
        self.unread = True
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MOST_BODY:
            raise _too_large()
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    parts.append(message.get("body", b""))
                    self.size += len(parts[-1])
                    add_bytes(len(parts[-1]))
                    if self.size > MOST_BODY:
                        raise _too_large()
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"The body did not arrive within {BODY_S:.0f} s") from None
        self.body, self.unread = b"".join(parts), False

    async def answer(self, value: object, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer with a JSON object."""
        await self.answer_bytes(encode(value), JSON, status, headers)

    async def answer_bytes(self, data: bytes, kind: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Answer with these bytes."""
        await self._head(status, ((b"content-type", kind), (b"content-length", b"%d" % len(data)), *headers))
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else data})

    async def begin(self, kind: bytes) -> None:
        """Begin to answer with a stream."""
        await self._head(200, ((b"content-type", kind), (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")))

    async def add(self, data: bytes) -> None:
        """Send a part of the stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last part of the stream."""
        await self._send({"type": "http.response.body", "body": data})

    async def _head(self, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": int(status), "headers": [*headers, *self.cors]})


def _too_large() -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {MOST_BODY:,} bytes")
