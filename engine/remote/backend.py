"""The backend for remote models: sends conversations to OpenAI-compatible servers and streams their answers.

Runs on its own event loop. A turn goes to the least busy server of its engine. A failure before the first token is retried, on another
server or after a pause on the same one. Later failures are not: the partial answer is kept.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import httpx2
import msgspec

from engine.backend import (
    Backend,
    BackendEvent,
    Capabilities,
    EngineInfo,
    GenerateRequest,
    LoadProgressed,
    MemoryKind,
    ModelInfo,
    StopReason,
)
from engine.clock import NS_PER_MS, now_ns
from engine.config import EngineConfig
from engine.errors import EngineError, ModelError, XchatError
from engine.messages import ChatPrompt, Role
from engine.model_ref import ModelRef, RemoteModel
from engine.presets.preset import Preset
from engine.remote.answer import Arriving
from engine.remote.connection import MOST_BYTES, MOST_FAILURE_BYTES, Network, Times, bearer, bounded, client, key_of, refuse_compressed
from engine.remote.events import EventParser, EventTooLongError
from engine.remote.faults import ServerError, cut_off, refused, server_error, unreachable, unreadable
from engine.remote.listing import probe
from engine.remote.server import CONTINUES, Server, body_of, not_sent
from engine.text import printable

DRAIN_S = 0.2
"""Longest wait for the end of a stream after its last event, to reuse its connection."""


class RemoteBackend(Backend):
    """Runs the models of the configured engines."""

    def __init__(self, engines: Callable[[], Sequence[EngineConfig]], times: Times = Times()) -> None:  # noqa: B008 - immutable
        """Start the event loop; `engines` returns the configured engines and is called on the backend's thread for each load."""
        self._engines = engines
        self._times = times
        self._network = Network()
        self._http: httpx2.AsyncClient | None = None
        self._loaded: EngineInfo | None = None
        self._engine: EngineConfig | None = None
        self._key = ""
        self._servers: tuple[Server, ...] = ()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._load: Future[EngineInfo] | None = None
        self._sent: dict[str, deque[float]] = {}
        """When requests were sent to each engine with a limit, the newest ones."""
        self._closed = False

    @property
    def capabilities(self) -> Capabilities:
        """No capability beyond answering messages."""
        return Capabilities()

    def runs(self, ref: ModelRef) -> bool:
        """Return whether the model belongs to a configured engine."""
        return isinstance(ref, RemoteModel)

    @property
    def dead(self) -> XchatError | None:
        """Always None: an unreachable server may come back."""
        return None

    @property
    def loaded(self) -> EngineInfo | None:
        """The model in use."""
        return self._loaded

    def load(self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool = False) -> Future[EngineInfo]:  # noqa: ARG002
        """Query the engine's servers for their models and use the first one that has the model. See `Backend.load`."""
        self._load = self._network.run(self._open(ref, preset, on_event))
        return self._load

    def cancel_load(self) -> None:
        """Cancel the running load."""
        if self._load is not None:
            self._load.cancel()

    def submit(self, request: GenerateRequest) -> None:
        """Send a turn."""
        self._network.loop.call_soon_threadsafe(self._begin, request)

    def stop(self, turn: int | None = None) -> None:
        """Close the connection of a turn (all, without a number); servers then stop generating."""
        self._network.loop.call_soon_threadsafe(self._cancel, turn)

    def apply_hot(self, preset: Preset) -> None:
        """Do nothing: sampling settings travel with each request."""

    def close(self) -> None:
        """Stop everything, close all connections and end the thread; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._network.run(self._shut()).result()
            self._network.close()

    # On the loop's thread

    async def _shut(self) -> None:
        self._cancel(None)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        if self._http is not None:
            await self._http.aclose()

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            self._http = client(self._times)
        return self._http

    async def _open(self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None]) -> EngineInfo:
        assert isinstance(ref, RemoteModel)
        began = now_ns()
        engines = await asyncio.to_thread(self._engines)
        engine = next((engine for engine in engines if engine.name == ref.engine), None)
        if engine is None:
            known = ", ".join(engine.name for engine in engines)
            here = f"Configured are: {known}" if known else "config.toml has no [[engines]]"
            raise ModelError(f"There is no engine {printable(ref.engine)!r}", here, "`xchat config edit` adds it.")
        key = await asyncio.to_thread(key_of, engine)
        on_event(LoadProgressed(ref, 0.0))
        servers = tuple(Server(url) for url in engine.urls)
        name = await self._first_with(servers, engine, key, ref.name or engine.model or "")
        self._engine, self._key, self._servers = engine, key, servers
        self._loaded = _info(RemoteModel(engine.name, name), servers, preset, (now_ns() - began) / NS_PER_MS)
        return self._loaded

    async def _first_with(self, servers: Sequence[Server], engine: EngineConfig, key: str, name: str) -> str:
        """Query all servers until one has the model; return its name there. The other queries continue."""
        asked = {asyncio.ensure_future(probe(self._client(), server, engine, key, self._times)) for server in servers}
        for each in asked:
            each.add_done_callback(lambda done: done.cancelled() or done.exception())  # failures of further servers don't matter
        failure: XchatError | None = None
        while asked:
            done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                try:
                    server = each.result()
                except ServerError as error:
                    if error.missing and name:
                        return name  # no list: the name is trusted
                    failure = failure or error.without(key)
                    continue
                if not name and server.models:
                    return server.models[0].name
                if (model := server.model(name)) is not None:
                    return model.name
                if name and not server.models:
                    return name
                there = ", ".join(printable(model.name, 60) for model in (server.models or ())[:8])
                title = f"{engine.name} has no model {printable(name)!r}" if name else f"{engine.name} has no models"
                failure = ModelError(title, f"There are: {there}" if there else "", "`xchat models list` shows all.", "models")
        assert failure is not None
        raise failure

    def _begin(self, request: GenerateRequest) -> None:
        arriving = Arriving(request)

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.pop(request.turn, None)
            if task.cancelled():  # also before its first step, when the coroutine could not report it
                arriving.finish(StopReason.CANCELLED)

        self._tasks[request.turn] = task = self._network.loop.create_task(self._turn(request, arriving))
        task.add_done_callback(ended)

    def _cancel(self, turn: int | None) -> None:
        for number, task in list(self._tasks.items()):
            if turn in (None, number):
                task.cancel()

    async def _turn(self, request: GenerateRequest, arriving: Arriving) -> None:
        try:
            await self._attempts(request, arriving)
        except ServerError as failure:
            arriving.finish(StopReason.ERROR, failure.without(self._key))
        except XchatError as error:
            arriving.finish(StopReason.ERROR, error)
        except Exception as error:  # noqa: BLE001 - the edge of a worker: the last event must come, whatever a server sends
            arriving.finish(StopReason.ERROR, EngineError("The answer can't be read", f"{type(error).__name__}: {printable(str(error))}"))
        else:
            arriving.finish(None)

    async def _attempts(self, request: GenerateRequest, arriving: Arriving) -> None:
        prompt, loaded = request.prompt, self._loaded
        if loaded is None or not isinstance(loaded.model.ref, RemoteModel):
            raise EngineError("No model is loaded", "", "Pick one.", "models")
        if not isinstance(prompt, ChatPrompt):
            raise EngineError("This engine answers messages only", "It takes no bare text and no token ids")
        tried: set[Server] = set()
        moved: tuple[str, ...] = ()
        for attempt in range(1, self._times.attempts + 1):
            await self._pace()
            server = self._least_busy(tried, loaded.model.ref.name)
            server.busy += 1
            try:
                await self._stream(server, loaded.model.ref.name, request, prompt, arriving, moved)
            except ServerError as failure:
                server.failures += 1
                tried.add(server)
                pause = self._pause(failure, attempt)
                server.cold_until_s = self._network.loop.time() + pause
                if arriving.begun or not failure.again or attempt == self._times.attempts or pause > self._times.longest_after:
                    raise
                moved = (f"Asked again: {failure.error.title}",)
                if all(each in tried for each in self._servers):
                    tried.clear()
                    await asyncio.sleep(pause)
            else:
                server.failures = 0
                return
            finally:
                server.busy -= 1

    async def _pace(self) -> None:
        """Wait until the engine's rate limit, if any, allows a request."""
        most = self._engine.requests_per_minute if self._engine is not None else None
        if self._engine is None or most is None:
            return
        clock, sent = self._network.loop.time, self._sent.setdefault(self._engine.name, deque())
        while len(sent) >= most:
            if (left := sent[0] + self._times.minute - clock()) > 0:
                await asyncio.sleep(left)
            else:
                sent.popleft()
        sent.append(clock())

    def _least_busy(self, tried: set[Server], model: str) -> Server:
        now = self._network.loop.time()

        def order(server: Server) -> tuple[bool, bool, bool, int, int, float]:
            lacks = bool(server.models) and server.model(model) is None
            return lacks, server in tried, server.cold_until_s > now, server.busy, server.failures, random.random()

        return min(self._servers, key=order)

    def _pause(self, failure: ServerError, attempt: int) -> float:
        if failure.after_s is not None:
            return failure.after_s
        return min(self._times.longest_pause, self._times.pause * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)

    async def _stream(
        self, server: Server, model: str, request: GenerateRequest, prompt: ChatPrompt, arriving: Arriving, moved: tuple[str, ...]
    ) -> None:
        """Send the request to a server and read its answer to the end. Raises ServerError."""
        kind, host, times = server.kind_of(model), server.host, self._times
        if prompt.continue_answer:
            _refuse_to_continue(server, kind in CONTINUES, prompt)
        body = body_of(kind, model, prompt, request.sampling, max_tokens=request.max_tokens, stop=request.stop)
        arriving.begin(host, model, (*moved, *not_sent(kind, prompt, request.sampling)))
        headers = {**bearer(self._key), "Content-Type": "application/json", "Accept": "text/event-stream"}
        content = msgspec.json.encode(body)
        try:
            async with (
                asyncio.timeout(times.first) as deadline,
                self._client().stream("POST", f"{server.base}/chat/completions", content=content, headers=headers) as response,
            ):
                if response.status_code != 200:
                    said = await bounded(response, host, MOST_FAILURE_BYTES)
                    raise refused(host, response, said, key_from=self._key_from, model=model)
                await self._read(response, host, arriving, deadline)
        except TimeoutError as error:
            raise self._silent(host, arriving) from error
        except httpx2.HTTPError as error:
            raise (cut_off(host) if arriving.begun else unreachable(host, error, connect_s=times.connect)) from error

    async def _read(self, response: httpx2.Response, host: str, arriving: Arriving, deadline: asyncio.Timeout) -> None:
        refuse_compressed(response, host)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            arriving.take(await bounded(response, host, MOST_BYTES))
        elif kind not in {"text/event-stream", "", "text/plain", "application/octet-stream"}:
            page = " It may be the page of a login or a proxy." if "html" in kind else ""
            raise unreadable(host, f"It answers with {printable(kind, 60)} instead of a stream.{page}")
        else:
            await self._read_events(response, arriving, deadline)
        if not arriving.ended and not arriving.begun:
            raise server_error(f"{host} sent no answer", "The stream ended without one", again=True)
        if not arriving.ended:
            raise cut_off(host)

    async def _read_events(self, response: httpx2.Response, arriving: Arriving, deadline: asyncio.Timeout) -> None:
        events, silence, clock = EventParser(), self._times.silence, self._network.loop.time
        parts, renewed = response.aiter_raw(), 0.0
        try:
            async for part in parts:
                grown = len(arriving.token_ns)
                for data in events.feed(part):
                    if data == b"[DONE]":
                        arriving.ended = arriving.ended or arriving.begun
                        deadline.reschedule(None)
                        await _drain(parts)
                        return
                    arriving.take(data)
                if len(arriving.token_ns) > grown and (now := clock()) - renewed > silence / 20:
                    deadline.reschedule(now + silence)  # a timer for each part would cost more than reading it
                    renewed = now
            for data in events.finish():
                if data != b"[DONE]":
                    arriving.take(data)
        except EventTooLongError as error:
            raise unreadable(printable(response.url.host), str(error)) from error
        except httpx2.HTTPError:
            if not arriving.ended:  # a reset after the end loses nothing
                raise

    def _silent(self, host: str, arriving: Arriving) -> ServerError:
        if arriving.begun:
            return cut_off(host, f"Nothing came for {self._times.silence:g} s")
        return server_error(f"{host} does not answer", f"No token came within {self._times.first:g} s")

    @property
    def _key_from(self) -> str:
        return (self._engine.api_key_env or "") if self._engine is not None and self._key else ""


async def _drain(parts: object) -> None:
    """Read to the end of the stream, to reuse the connection; it is closed if the server keeps the stream open."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in parts:  # type: ignore[attr-defined]
                pass
    except (TimeoutError, httpx2.HTTPError):
        return


def _refuse_to_continue(server: Server, offered: bool, prompt: ChatPrompt) -> None:
    """Raise ServerError where an answer can't be continued."""
    last = prompt.messages[-1]
    if not offered:
        raise server_error(f"{server.host} can't continue an answer", "Its API has no way to ask for it", "Regenerate the answer instead.")
    if last.role is not Role.ASSISTANT or not last.text:
        raise server_error("An answer can't be continued in its thinking on this engine", "", "Regenerate the answer instead.")


def _info(ref: RemoteModel, servers: Sequence[Server], preset: Preset, load_ms: float) -> EngineInfo:
    """Return the facts of the engine and its model that a server reported."""
    server = next((server for server in servers if server.model(ref.name) is not None), servers[0])
    facts = server.model(ref.name)
    kind = server.kind_of(ref.name)
    model = ModelInfo(
        ref=ref,
        path=None,
        name=f"{ref.engine}/{printable(ref.name, 80)}",
        architecture="",
        quant=facts.quant if facts is not None else "",
        n_params=facts.n_params if facts is not None else 0,
        size_bytes=facts.size_bytes if facts is not None else 0,
        n_ctx_train=facts.n_ctx_train if facts is not None else 0,
        n_vocab=facts.n_vocab if facts is not None else 0,
        memory_kind=MemoryKind.ATTENTION,
        chat_template=None,
        fingerprint=str(ref),
        metadata={"server": kind.value, "address": server.base},
    )
    n_ctx = server.n_ctx or (facts.n_ctx if facts is not None else 0)
    parallel = sum(each.parallel for each in servers if each.models)
    return EngineInfo(model, preset, n_ctx=n_ctx, load_ms=load_ms, parallel=max(1, parallel))
