"""One HTTP request, and the ways to answer it: a JSON object, or a stream of events."""

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
    """The client has closed the connection."""


class Request:
    """A request whose headers have arrived."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: Mapping[bytes, bytes] = dict(scope["headers"])
        self.client = str((scope.get("client") or ("local",))[0])
        """Who asks: an address, or the number of a key."""
        self.body = b""
        self.started = False
        """Whether the head of the answer is sent."""
        self.receive = receive
        self._send = send

    async def read(self) -> None:
        """Read the body. Raises Refusal when it is too large or too slow, and ClientGone."""
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MOST_BODY:
            raise _too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await self.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > MOST_BODY:
                        raise _too_large()
                    if not message.get("more_body"):
                        break
        except TimeoutError:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, f"The body did not arrive within {BODY_S:.0f} s") from None
        self.body = b"".join(parts)

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
        await self._send({"type": "http.response.start", "status": int(status), "headers": list(headers)})


def _too_large() -> Refusal:
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body has more than {MOST_BODY:,} bytes")
