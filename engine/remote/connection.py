"""Connections to servers: an event loop on a thread of its own, a keep-alive pool, API keys, and bounded answers."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import socket
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx2
import msgspec

from engine.config import EngineConfig
from engine.errors import ModelError
from engine.numbers import byte_size
from engine.remote.faults import cut_off, refused, server_error, unreachable, unreadable

Result = TypeVar("Result")

MOST_BYTES: Final = 8_000_000
"""Longest answer that is not streamed, in bytes."""
MOST_FAILURE_BYTES: Final = 65_536
"""Longest error response read, in bytes."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Times:
    """Timeouts and retry pauses for servers, in seconds."""

    connect: float = 5.0
    listing: float = 5.0
    """To get the whole list of models."""
    first: float = 600.0
    """From the request to the first token, which includes queueing and a long prefill."""
    silence: float = 120.0
    """Between two chunks of an answer."""
    pause: float = 0.25
    """Before the first retry; doubled for each further one."""
    longest_pause: float = 8.0
    longest_after: float = 30.0
    """Longest wait that a server may request before a retry."""
    attempts: int = 4
    minute: float = 60.0
    """The period of `requests_per_minute`."""


class _Loop(asyncio.SelectorEventLoop):
    """Resolves names on daemon threads, so that a slow lookup does not delay the end of the program."""

    async def getaddrinfo(self, *args: Any, **more: Any) -> Any:
        """Resolve a name; raises socket.gaierror."""
        found: asyncio.Future[Any] = self.create_future()

        def settle(done: Any, error: Exception | None) -> None:
            if not found.done():
                found.set_exception(error) if error is not None else found.set_result(done)

        def resolve() -> None:
            done, error = None, None
            try:
                done = socket.getaddrinfo(*args, **more)
            except Exception as failure:  # noqa: BLE001 - the edge of a worker: raised where it is awaited
                error = failure
            with suppress(RuntimeError):  # the loop is closed
                self.call_soon_threadsafe(settle, done, error)

        threading.Thread(target=resolve, name="xchat-resolve", daemon=True).start()
        return await found


class Network:
    """An event loop on its own thread for all network I/O. Safe to use from any thread."""

    def __init__(self) -> None:
        self.loop = _Loop()
        self._thread = threading.Thread(target=self._run, name="xchat-remote", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        """Start a coroutine on the loop; return its future."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """Cancel the remaining work and end the thread; safe to call twice."""
        if not self.loop.is_closed():
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(5)

    def _run(self) -> None:
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._end())
        finally:
            self.loop.close()

    async def _end(self) -> None:
        left = asyncio.all_tasks(self.loop) - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.loop.shutdown_asyncgens()


def client(times: Times) -> httpx2.AsyncClient:
    """Return a pool of connections kept open between turns: no redirects, no cookies, no proxy for this machine."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(connect=times.connect, read=None, write=30.0, pool=times.connect),
        limits=httpx2.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=30.0),
        headers={"Accept-Encoding": "identity", "User-Agent": "xchat"},
        http2=importlib.util.find_spec("h2") is not None,
        mounts={f"all://{host}": None for host in _LOOPBACK},
        follow_redirects=False,
    )


def key_of(engine: EngineConfig, environ: Mapping[str, str] = os.environ) -> str:
    """Return the API key of an engine: from its variable, else from the keyring, if installed; empty where it needs none.

    Raises ModelError for a missing or malformed key.
    """
    name = engine.api_key_env
    if name is None:
        return ""
    key = environ.get(name, "").strip() or _in_keyring(name)
    if not key:
        hint = f"Set {name}, or store it with `keyring set xchat {name}`."
        raise ModelError(f"The key of {engine.name} is missing", f"Neither the variable {name} nor the keyring has it", hint)
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ModelError(f"The key of {engine.name} can't be a key", f"{name} has characters that a key can't have", "Copy it again.")
    return key


def _in_keyring(name: str) -> str:
    if importlib.util.find_spec("keyring") is None:
        return ""
    try:
        return (importlib.import_module("keyring").get_password("xchat", name) or "").strip()
    except Exception:  # noqa: BLE001 - keyrings raise errors of their own: locked, no service, no bus
        return ""


def bearer(key: str) -> dict[str, str]:
    """Return the header with the key."""
    return {"Authorization": f"Bearer {key}"} if key else {}


async def get_json(http: httpx2.AsyncClient, url: str, host: str, *, key: str, key_from: str, times: Times) -> Any:
    """Return the JSON of the response to GET. Raises ServerError."""
    try:
        async with asyncio.timeout(times.listing), http.stream("GET", url, headers=bearer(key)) as response:
            body = await bounded(response, host, MOST_BYTES if response.status_code == 200 else MOST_FAILURE_BYTES)
            if response.status_code != 200:
                raise refused(host, response, body, key_from=key_from, model="")
    except TimeoutError as error:
        raise server_error(f"{host} does not answer", f"Its list of models did not come within {times.listing:g} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise unreachable(host, error, connect_s=times.connect) from error
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        page = " but a web page, as a login or a proxy shows one" if body.lstrip()[:1] == b"<" else ""
        raise unreadable(host, f"Its answer is not JSON{page}") from error


async def bounded(response: httpx2.Response, host: str, most: int) -> bytes:
    """Return the body of a response; of an error response only its beginning. Raises ServerError when too long, compressed or truncated."""
    refuse_compressed(response, host)
    body = b""
    try:
        async for part in response.aiter_raw():
            body += part
            if len(body) > most:
                if response.status_code != 200:
                    break
                raise unreadable(host, f"Its answer has more than {byte_size(most)}")
    except httpx2.HTTPError as error:
        if response.status_code == 200:
            raise cut_off(host) from error
    return body[:most]


def refuse_compressed(response: httpx2.Response, host: str) -> None:
    """Raise ServerError for a compressed body: a few KiB may unpack to gigabytes."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise unreadable(host, "It sends compressed data although plain bytes were asked for; a proxy may do this")
