"""Putting a running program together: the log, the database, the backend, the session, and which model comes first."""

from __future__ import annotations

from pathlib import Path

from engine.backend import Backend
from engine.config import Config
from engine.errors import StoreError
from engine.paths import database_path
from engine.presets.preset import Preset
from engine.remembered import recall
from engine.session import Session
from engine.store.profile import Profile
from engine.store.queries import Reader
from engine.store.store import Store

BUILTIN = "builtin"
"""How the model that xchat carries is named on the command line and in presets."""


def first_model(asked: str | None, config: Config) -> Path:
    """The model to start with: what was asked for, else what the config names, else the last one used, else the built-in one.

    Raises:
        ModelError: The file asked for isn't there, or the built-in one is missing from the installation.
    """
    from engine.demo import builtin

    named = asked or config.model
    if named is not None:
        return builtin.path() if named == BUILTIN else Path(named).expanduser()
    last = recall().model
    if last is not None and Path(last).is_file():
        return Path(last)
    return builtin.path()


def make_backend() -> Backend:
    """The llama.cpp of this process. Importing it takes a tenth of a second, so nothing imports it before it is needed."""
    from engine.demo import builtin
    from engine.llama.engine import LlamaBackend

    return LlamaBackend(trusted=builtin.is_ours)


async def open_session(preset: Preset, config: Config, *, backend: Backend | None = None, log: bool = True) -> Session:
    """A session on the database of this person, or an unlogged one when the database can't be used (`logging_error` says why)."""
    backend = backend or make_backend()
    if not log:
        return Session(backend, preset=preset)
    path = database_path()
    try:
        store = await Store.open(path, Profile.of(config.database.profile, config.database.pragmas))
    except StoreError as error:
        return Session(backend, preset=preset, reader=await _reader_or_none(path), logging_error=error)
    return Session(backend, preset=preset, store=store, reader=await Reader.open(path))


async def _reader_or_none(path: Path) -> Reader | None:
    """Old sessions can often be read where new ones can't be written."""
    try:
        return await Reader.open(path)
    except StoreError:
        return None
