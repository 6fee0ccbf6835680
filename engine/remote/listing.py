"""Queries of the configured engines for their models."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final

import httpx2

from engine.config import EngineConfig
from engine.errors import XchatError
from engine.remote.connection import Network, Times, client, get_json, key_of
from engine.remote.faults import ServerError, unreadable
from engine.remote.known import Listing, keep, known
from engine.remote.server import Kind, ServedModel, Server, models_in, number

_PROPS: Final = frozenset({Kind.LLAMA, Kind.XCHAT})
"""The kinds that describe themselves at `/props`."""


async def probe(http: httpx2.AsyncClient, server: Server, engine: EngineConfig, key: str, times: Times) -> Server:
    """Query a server for its models, and where supported for its n_ctx; return it. Raises ServerError."""
    key_from = (engine.api_key_env or "") if key else ""
    try:
        listing = await get_json(http, f"{server.base}/models", server.host, key=key, key_from=key_from, times=times)
    except ServerError:
        server.cold_until_s = asyncio.get_running_loop().time() + times.connect
        raise
    try:
        server.models = models_in(listing)
    except ValueError as error:
        raise unreadable(server.host, str(error)) from error
    if any(model.kind in _PROPS for model in server.models):
        with suppress(ServerError):
            props = await get_json(http, f"{server.root}/props", server.host, key=key, key_from=key_from, times=times)
            if isinstance(props, dict):
                settings = props.get("default_generation_settings")
                server.n_ctx = number(settings, "n_ctx") if isinstance(settings, dict) else 0
                server.parallel = max(1, min(number(props, "total_slots"), 4096))
    return server


def refresh(engines: Sequence[EngineConfig], times: Times = Times()) -> Future[tuple[Listing, ...]]:  # noqa: B008 - immutable
    """Query all engines at once, on a thread, and save their lists; done soon after `times.listing` seconds.

    An engine that can't be reached keeps its previous list, with the reason.
    """
    network = Network()
    asked = network.run(_ask_all(engines, times))
    asked.add_done_callback(lambda _: network.loop.call_soon_threadsafe(network.loop.stop))
    return asked


async def _ask_all(engines: Sequence[EngineConfig], times: Times) -> tuple[Listing, ...]:
    before = {listing.engine: listing for listing in known(engines)}
    async with client(times) as http:
        found = await asyncio.gather(*(_ask(http, engine, before[engine.name], times) for engine in engines))
    with suppress(OSError):
        keep(found)
    return tuple(found)


async def _ask(http: httpx2.AsyncClient, engine: EngineConfig, before: Listing, times: Times) -> Listing:
    try:
        key = await asyncio.to_thread(key_of, engine)
    except XchatError as error:
        return Listing(engine.name, before.models, str(error))
    asked = [asyncio.ensure_future(probe(http, Server(url), engine, key, times)) for url in engine.urls]
    _, late = await asyncio.wait(asked, timeout=times.listing)
    for each in late:
        each.cancel()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    servers = [answer for answer in answers if isinstance(answer, Server)]
    if not servers:
        failure = next(answer for answer in answers if isinstance(answer, BaseException))
        if isinstance(failure, ServerError) and failure.missing and engine.model:
            return Listing(engine.name, (ServedModel(engine.model),))  # no list: the model is trusted
        problem = str(failure.without(key)) if isinstance(failure, ServerError) else f"No answer within {times.listing:g} s"
        return Listing(engine.name, before.models, problem)
    models: dict[str, ServedModel] = {}
    for server in servers:
        models |= {model.name: model for model in server.models or ()}
    return Listing(engine.name, tuple(models.values()), "" if models else "It lists no models")
