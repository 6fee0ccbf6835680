"""Opens a session: database, engine, settings, and the first model."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from engine.backend import Backend
from engine.config import Config
from engine.errors import ModelError, StoreError
from engine.guide import builtin
from engine.host.sampler import HostSampler
from engine.last_used import recall
from engine.model_ref import BUILTIN, BuiltInModel, ModelRef, RemoteModel, parse_ref
from engine.models.catalog import list_models
from engine.paths import database_path
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset
from engine.session.engines import ANSWERS_AT_ONCE, make_backend
from engine.session.model_finder import ModelFinder
from engine.session.session import Session
from engine.store.errors import StoreFullError, StoreLockedError
from engine.store.reader import Reader
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store


def first_model(asked: str | None, config: Config, preset: Preset | None = None) -> ModelRef:
    """Find the model to start with: `asked`, else that of the preset, of the config, the last one used, or the built-in one.

    `asked` is a file, a family or `builtin`. Reads files; call it on a thread.

    Raises ModelError when what was asked for isn't here, or the built-in model is missing from the installation.
    """
    preset = preset or Preset()
    named = asked or preset.model or config.model
    last = recall().model
    used = None if last is None else builtin.ref_of(parse_ref(last))
    if used is not None and not _is_here(used, config):
        used = None
    meant = msgspec.structs.replace(preset, model=named if named is not None or used is not None else BUILTIN)
    try:
        ref = model_finder(config).find(meant, used)
    except ModelError as error:
        own = PresetFolder().load().presets.get(preset.name) if asked is None else None
        if own is None or named is None or own.model != named:
            raise
        hint = f"{error.hint} `--preset NAME` takes another preset.".strip()
        raise ModelError(error.title, f"Preset {preset.name!r} names it", hint, error.action) from error
    assert ref is not None, "something is named when nothing was used before"
    return ref


def _is_here(ref: ModelRef, config: Config) -> bool:
    """Return whether the last model can still be loaded, as far as that is known without asking another engine."""
    if isinstance(ref, RemoteModel):
        return any(engine.name == ref.engine for engine in config.engines)
    return ref.is_file() if isinstance(ref, Path) else builtin.offers(ref.quant)


def model_finder(config: Config) -> ModelFinder:
    """Make a finder of the models on this machine, those in the config's folders included, and of its engines."""
    return ModelFinder(partial(list_models, config.models.folders), config.engines)


async def open_session(
    preset: Preset,
    config: Config,
    *,
    model: ModelRef | None = None,
    backend: Backend | None = None,
    log: bool = True,
    sampler: HostSampler | None = None,
    parallel: int = ANSWERS_AT_ONCE,
) -> Session:
    """Open a session on the user's database, or an unlogged one when that can't be used (`logging_error` has the reason).

    While another program locks the database, or the disk is full, writes wait until it can be opened.

    Its engine is `backend`, else the one for `model`, else llama.cpp, which makes `parallel` answers at once where presets leave that open.

    Raises:
        UsageError: The config sets a limit for an alert that does not exist.
    """
    backend = backend or make_backend(model or BuiltInModel(builtin.SHIPPED_QUANT), parallel)
    session = partial(Session, backend, preset=preset, finder=model_finder(config), alerts=config.alerts, sampler=sampler)
    if not log:
        return session()
    path = database_path()
    open_store = partial(Store.open, path, Profile.of(config.database.profile, config.database.pragmas))
    try:
        store = await open_store()
    except (StoreLockedError, StoreFullError) as error:
        return session(reader=await _reader_or_none(path) or Reader(path), logging_error=error, store=open_store)
    except StoreError as error:
        return session(reader=await _reader_or_none(path), logging_error=error)
    return session(store=store, reader=await Reader.open(path))


async def _reader_or_none(path: Path) -> Reader | None:
    """Open the reader alone: old sessions can often be read where new ones can't be written."""
    try:
        return await Reader.open(path)
    except StoreError:
        return None
