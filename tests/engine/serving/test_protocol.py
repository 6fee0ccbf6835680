"""The bounds of a connection, under uvicorn itself with an application that answers without an engine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from engine.serving.protocol import Patience, bounded_protocol

PATIENCE = Patience(header_s=0.3, rest_s=0.3, unread_s=0.3)
LONG_S = 20.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[bytes], Awaitable[Connection]]
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"


class Application:
    """Sends what its path says: never the end, 8 MB, or a word without having read the body."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        """An answer that never ends was ended by the connection."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        endless, size = scope["path"] == "/endless", {"/large": 8 << 20}.get(scope["path"], 2)
        await send({"type": "http.response.start", "status": 200, "headers": [] if endless else [(b"content-length", b"%d" % size)]})
        if not endless:
            await send({"type": "http.response.body", "body": b"o" * size})
            return
        gone = asyncio.create_task(self._until_gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
        self.gone.set()

    async def _until_gone(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


@asynccontextmanager
async def serving(patience: Patience = PATIENCE) -> AsyncIterator[tuple[Connect, Application, uvicorn.Server]]:
    application = Application()
    config = uvicorn.Config(application, http=bounded_protocol(10, patience), ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server._serve([listener]))
        opened: list[asyncio.StreamWriter] = []

        async def connect(data: bytes) -> Connection:
            reader, writer = await asyncio.open_connection(*listener.getsockname(), limit=1024)
            opened.append(writer)
            writer.write(data)
            return reader, writer

        try:
            yield connect, application, server
        finally:
            for writer in opened:
                writer.transport.abort()
            server.should_exit = True
            await running


async def dropped(server: uvicorn.Server) -> None:
    """Wait until the server has no connection."""
    async with asyncio.timeout(LONG_S):
        while server.server_state.connections:
            await asyncio.sleep(0.01)


async def test_an_answer_ends_when_its_client_does_not_read_it() -> None:
    async with serving() as (connect, application, server):
        await connect(GET % b"/endless")
        await asyncio.wait_for(application.gone.wait(), LONG_S)
        await dropped(server)


async def test_a_connection_is_dropped_when_the_client_does_not_read_the_end_of_an_answer() -> None:
    async with serving() as (connect, _, server):
        await connect(POST % (b"/large", b"Connection: close\r\n"))
        await connect(GET % b"/large")
        while len(server.server_state.connections) < 2:
            await asyncio.sleep(0.01)
        await dropped(server)


async def test_a_client_that_reads_slowly_gets_all_of_it() -> None:
    async with serving() as (connect, _, _server):
        reader, _ = await connect(POST % (b"/large", b"Connection: close\r\n"))
        size = 0
        while part := await reader.read(1 << 20):
            size += len(part)
            if size % (1 << 20) < 2048:
                await asyncio.sleep(0.05)
        assert size > 8 << 20


async def test_a_connection_ends_when_the_body_of_a_request_that_is_answered_already_never_does() -> None:
    async with serving() as (connect, _, server):
        reader, writer = await connect(POST % (b"/word", b"Content-Length: 1000\r\n"))
        assert (await reader.readuntil(b"oo")).startswith(b"HTTP/1.1 200")
        writer.write(b"x")
        await dropped(server)


async def test_a_connection_ends_on_which_no_request_follows_a_blank_line() -> None:
    async with serving() as (connect, _, server):
        reader, writer = await connect(GET % b"/word")
        await reader.readuntil(b"oo")
        writer.write(b"\r\n")
        await dropped(server)


async def test_trailers_that_never_end_are_refused() -> None:
    async with serving(Patience()) as (connect, _, server):
        _, writer = await connect(POST % (b"/word", b"Transfer-Encoding: chunked\r\n") + b"0\r\nX-Long: ")
        try:
            async with asyncio.timeout(LONG_S):
                while True:
                    writer.write(b"x" * (1 << 20))
                    await writer.drain()
        except ConnectionError:
            pass
        await dropped(server)
