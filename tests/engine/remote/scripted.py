"""A server that does what a script says: the bytes to send, pauses, resets. The model of the request names the script."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Do(Enum):
    """What a script does beside sending bytes and sleeping (a number of seconds)."""

    CLOSE = "end the connection"
    RESET = "end it without the other side's leave"


Step = bytes | float | Do
Script = Sequence[Step]
"""Steps; the connection stays open after the last one unless that ends it."""


def chunked(*parts: bytes, end: bool = True) -> bytes:
    """Parts in the chunked encoding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if end else b"")


def response(status: str, body: bytes = b"", kind: str = "application/json", more: str = "") -> bytes:
    """A whole response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def head(kind: str = "text/event-stream", more: str = "") -> bytes:
    """The beginning of a streamed response."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n{more}\r\n".encode()


def event(value: object) -> bytes:
    """A server-sent event."""
    return b"data: %b\n\n" % (value if isinstance(value, bytes) else json.dumps(value).encode())


def delta(finish: str | None = None, **values: Any) -> dict[str, Any]:
    """A chunk of an answer."""
    return {"choices": [{"index": 0, "delta": values, "finish_reason": finish}]}


def says(*texts: str) -> bytes:
    """Events of text, as one chunk of the body each."""
    return chunked(*(event(delta(content=text)) for text in texts), end=False)


DONE = chunked(event(delta("stop")), event(b"[DONE]"))
"""The usual end of a stream."""


@dataclass(slots=True)
class Seen:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when the client has closed the connection of a script that has ended."""


class ScriptedServer:
    """Serves scripts on a free port of the loopback interface, on a thread of its own."""

    def __init__(
        self,
        scripts: Mapping[str, Script | Sequence[Script]],
        *,
        models: object = None,
        raw: bytes | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """`scripts` by model; of several the first one serves the first request. `models` answers `GET /v1/models`, `raw` everything.

        `tls` is a certificate and its key.
        """
        secure = None
        if tls is not None:
            secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            secure.load_cert_chain(*tls)
        self.scripts = dict(scripts)
        self.models: object = {"data": []} if models is None else models
        self.seen: list[Seen] = []
        self.connections = 0
        self._raw = raw
        self._served: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=secure))
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if secure else ''}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._call(self._server.close)
        self._call(self._loop.stop)
        self._thread.join(5)

    def _call(self, what: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(what)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self._raw is not None:
                writer.write(self._raw)
                await writer.drain()
                writer.close()
                return
            first = b""
            while (seen := await _request(reader, first)) is not None:
                self.seen.append(seen)
                if not await self._play(self._script_for(seen), writer):
                    return
                try:
                    first = await reader.read(1)
                except ConnectionError:
                    first = b""
                if not first:
                    seen.gone.set()
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return

    def _script_for(self, seen: Seen) -> Script:
        if seen.path.endswith("/models"):
            return (self.models,) if isinstance(self.models, bytes) else (response("200 OK", json.dumps(self.models).encode()),)
        if seen.body is None:
            return (response("404 Not Found"),)
        name = seen.body["model"]
        script = self.scripts[name]
        if script and isinstance(script[0], list | tuple):
            turn = self._served[name]
            self._served[name] += 1
            return script[min(turn, len(script) - 1)]  # type: ignore[return-value]
        return script  # type: ignore[return-value]

    async def _play(self, script: Script, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        for step in script:
            if isinstance(step, bytes):
                writer.write(step)
                await writer.drain()
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                if step is Do.RESET:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.close()
                return False
        return True


async def _request(reader: asyncio.StreamReader, first: bytes) -> Seen | None:
    try:
        lines = (first + await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:]) if name}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(lines[0].split(" ")[1], headers, json.loads(body) if body else None)
