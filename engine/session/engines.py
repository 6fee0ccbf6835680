"""The engine for a model, chosen by the kind of its reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.backend import Backend
from engine.config import load_config
from engine.guide import builtin
from engine.model_ref import BuiltInModel, ModelRef, RemoteModel

ANSWERS_AT_ONCE = 4
"""As many as are compared at once; conversations in the background share them, and those before keep their place in the KV cache."""


def _llama(parallel: int) -> Backend:
    """Make the llama.cpp of this process. Importing it takes a tenth of a second, so nothing imports it before it is needed."""
    from engine.llama.backend import LlamaBackend

    return LlamaBackend(parallel=parallel, file_of=builtin.file_of, trusted=builtin.is_ours)


def _remote(_parallel: int) -> Backend:
    """Make the engine for models on servers. It reads the config for each load, so that a changed one counts."""
    from engine.remote.backend import RemoteBackend

    return RemoteBackend(lambda: load_config().engines)


ENGINES: dict[type[ModelRef], Callable[[int], Backend]] = {Path: _llama, BuiltInModel: _llama, RemoteModel: _remote}
"""The engine for each kind of reference, for a number of simultaneous answers where presets leave it open. A new engine is an entry."""


def make_backend(ref: ModelRef, parallel: int = ANSWERS_AT_ONCE) -> Backend:
    """Make the engine for a model, for `parallel` simultaneous answers where presets leave that open."""
    return next(make for kind, make in ENGINES.items() if isinstance(ref, kind))(parallel)
