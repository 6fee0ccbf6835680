"""Serving the model of a session: its engine gives the person at the screen priority over requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from engine.config import load_config
from engine.errors import UsageError, XchatError
from engine.llama.backend import LlamaBackend
from engine.paths import database_path
from engine.serving.guard import Guard
from engine.serving.served import Options
from engine.serving.server import Address, LogTo, Server, share_the_interpreter
from engine.session.session import Session
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store


@dataclass(frozen=True, slots=True)
class ServePlan:
    """The settings of a server beside a session."""

    address: Address
    guard: Guard
    options: Options = field(default_factory=Options)
    log: bool = True
    log_texts: bool = False


def serve_beside(session: Session, plan: ServePlan, report: Callable[[bool, XchatError | None], None]) -> Server:
    """Start serving. Reads files, so call it on a thread; `report` is called on the server's thread when logging fails or works again.

    Raises:
        UsageError: The address can't be used, or the engine can't serve.
    """
    backend = session.slot.backend
    if not isinstance(backend, LlamaBackend):
        raise UsageError("This engine can't be served", "Only llama.cpp in this process can")
    database = load_config().database
    open_store = partial(Store.open, database_path(), Profile.of(database.profile, database.pragmas))
    log = LogTo(open_store, plan.log_texts, report) if plan.log else None
    server = Server(backend, session.preset, plan.guard, plan.address, options=plan.options, log=log)
    share_the_interpreter()
    return server
