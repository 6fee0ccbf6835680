"""The server: a listening socket, and an event loop on its own thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from engine.clock import NS_PER_S, now_ns
from engine.errors import EngineError, UsageError, XchatError
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset
from engine.serving.app import App
from engine.serving.guard import Guard
from engine.serving.log import RequestLog
from engine.serving.protocol import Patience, bounded_protocol
from engine.serving.served import Options, Served
from engine.serving.turnstile import Find
from engine.session.journal import Journal, OpenStore
from engine.text import file_name

Result = TypeVar("Result")

HOST: Final = "127.0.0.1"
PORT: Final = 8080
MOST_CONNECTIONS: Final = 2_000
_OWN_FILES: Final = 128
"""File descriptors reserved for the rest of the program."""
_BACKLOG: Final = 1_024
KEEP_ALIVE_S: Final = 30
PING_S: Final = 10.0
"""Idle time after which a stream gets a ping, so that proxies keep it open."""
GRACE_S: Final = 30.0
"""Longest time that answers may continue after the server is stopped."""
LAST_WORDS_S: Final = 1.0
"""Longest time for clients to receive the error that then ends their answers."""


@dataclass(frozen=True, slots=True)
class Address:
    """The listening address of a server."""

    host: str = HOST
    port: int = PORT
    """0 takes any free port."""
    unix: Path | None = None
    """A socket in the file system, in place of the port."""
    certificate: Path | None = None
    """For TLS, with `key`."""
    key: Path | None = None
    passed: socket.socket | None = None
    """A socket that listens already and replaces all others."""


def address_of(passed: socket.socket) -> Address:
    """Return the address of a socket that listens already."""
    name = passed.getsockname()
    if passed.family == socket.AF_UNIX:
        return Address(unix=Path(name), passed=passed)
    return Address(name[0], name[1], passed=passed)


@dataclass(frozen=True, slots=True)
class LogTo:
    """The log of answers."""

    open_store: OpenStore
    texts: bool
    """Whether to log their texts."""
    report: Callable[[bool, XchatError | None], None]
    """Called when writing begins to fail, and when it works again."""


class Server:
    """Serves a model over HTTP until `stop`. Its methods may be called from any thread but its own."""

    def __init__(
        self,
        backend: LlamaBackend,
        preset: Preset,
        guard: Guard,
        address: Address,
        *,
        options: Options = Options(),  # noqa: B008 - immutable
        find: Find | None = None,
        log: LogTo | None = None,
        patience: Patience = Patience(),  # noqa: B008 - immutable
    ) -> None:
        """Listen; report that the model is loading until it is loaded.

        Raises:
            UsageError: The address can't be used.
        """
        self._backend = backend
        self._preset = preset
        self._options = options
        self._find = find
        self._guard = guard
        self._address = address
        self._log = log
        self._patience = patience
        self._socket = _listen(address)
        self.port: int = 0 if address.unix else self._socket.getsockname()[1]
        self._ready: Future[Served] = Future()
        self._uvicorn: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        config = self._config()
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise UsageError("The certificate or its key can't be used", str(error), "Both are files in PEM format.") from error
        self._thread = threading.Thread(target=self._run, args=(config,), name="xchat-serve", daemon=True)
        self._thread.start()
        self.served = self._ready.result()

    @property
    def url(self) -> str:
        """Its address."""
        if self._address.unix is not None:
            return f"unix:{self._address.unix}"
        host = f"[{self._address.host}]" if ":" in self._address.host else self._address.host
        return f"http{'s' if self._address.certificate else ''}://{host}:{self.port}"

    @property
    def ended(self) -> bool:
        """Whether it has stopped serving."""
        return not self._thread.is_alive()

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Accept no more requests, let answers under way finish for `grace_s`, then end them with an error."""
        if self._loop is not None and not self.ended:
            with contextlib.suppress(RuntimeError):  # the loop is closed: it has just ended
                self._loop.call_soon_threadsafe(self._begin_end, grace_s)

    def call(self, job: Callable[[Served], Result]) -> Future[Result]:
        """Run a short job on the server's thread, from any other; it must return immutable data."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(job(self.served))
            except Exception as error:  # noqa: BLE001 - belongs to the one who asked
                future.set_exception(error)

        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(run)
        except RuntimeError as error:  # the loop is closed
            future.set_exception(EngineError("The server has ended", str(error)))
        return future

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)
        if self._address.unix is not None and self._address.passed is None and self.ended:
            self._address.unix.unlink(missing_ok=True)

    def _begin_end(self, grace_s: float) -> None:
        self.served.pause(False)
        self.served.closing = True
        self._uvicorn.should_exit = True
        loop = asyncio.get_running_loop()
        loop.call_later(grace_s, self.served.stop_all)
        loop.call_later(grace_s + LAST_WORDS_S, self._drop_connections)

    def _drop_connections(self) -> None:
        """Drop connections whose clients neither read nor write."""
        for connection in list(self._uvicorn.server_state.connections):
            connection.transport.abort()

    def _config(self) -> Any:
        import uvicorn

        logging.getLogger("uvicorn").addHandler(logging.NullHandler())  # suppresses Python's warnings about bad clients
        files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OWN_FILES, MOST_CONNECTIONS)
        return uvicorn.Config(
            self._app,
            http=bounded_protocol(max(8, files), self._patience),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=round(GRACE_S) + 5,
            ssl_certfile=_path(self._address.certificate),
            ssl_keyfile=_path(self._address.key),
        )

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)

    def _run(self, config: Any) -> None:
        try:
            asyncio.run(self._serve(config))
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _serve(self, config: Any) -> None:
        import uvicorn

        self._loop = asyncio.get_running_loop()
        served = Served(self._backend, self._preset, self._options)
        self._application = App(served, self._guard, self._find)
        self._uvicorn = uvicorn.Server(config)
        pings = asyncio.create_task(_pings(served))
        journal = None
        if self._log is not None:
            journal = Journal(self._log.open_store, self._log.report)
            served.on_finished = RequestLog(journal, texts=self._log.texts).finished
        self._ready.set_result(served)
        try:
            await self._uvicorn.serve(sockets=[self._socket])
        finally:
            pings.cancel()
            self._backend.before_decode = _nothing
            if journal is not None:
                await journal.close()


def _nothing() -> None:
    """Do nothing before a decode call."""


async def _pings(served: Served) -> None:
    """Wake the streams that were idle for long."""
    while True:
        await asyncio.sleep(PING_S / 4)
        now = now_ns()
        for answers in list(served.under_way):
            if now - answers.touched_ns > PING_S * NS_PER_S:
                answers.waited = True
                answers.wake()


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _listen(address: Address) -> socket.socket:
    """Return an open listening socket. Raises UsageError."""
    if address.passed is not None:
        return address.passed
    try:
        if address.unix is not None:
            return _listen_unix(address.unix)
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        where = file_name(address.unix) if address.unix else f"{address.host}:{address.port}"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"xchat can't listen on {where}", reason, "Choose another --port or --host.") from error


def _listen_unix(path: Path) -> socket.socket:
    """Return a socket bound for this user alone; a stale one of an earlier server is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
                if other.connect_ex(str(path)) == 0:
                    raise OSError(None, "another server listens there")
            path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


SWITCH_S: Final = 0.0005
"""`sys.setswitchinterval` while serving: the compute thread regains the GIL sooner."""


def share_the_interpreter() -> None:
    """Set the longest time that a thread keeps the GIL while another waits. For a serving process."""
    sys.setswitchinterval(SWITCH_S)
