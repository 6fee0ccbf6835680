"""The engine for a model, chosen by the kind of its reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.backend import Backend
from engine.errors import ModelError
from engine.guide import builtin
from engine.model_ref import BuiltInModel, ModelRef
from engine.text import printable


def _llama() -> Backend:
    """Make the llama.cpp of this process. Importing it takes a tenth of a second, so nothing imports it before it is needed."""
    from engine.llama.backend import LlamaBackend

    return LlamaBackend(file_of=builtin.file_of, trusted=builtin.is_ours)


ENGINES: dict[type[ModelRef], Callable[[], Backend]] = {Path: _llama, BuiltInModel: _llama}
"""Makes the engine for each kind of reference. A new engine is an entry here."""


def make_backend(ref: ModelRef) -> Backend:
    """Make the engine for a model; raises ModelError when there is none for references of this kind."""
    make = next((make for kind, make in ENGINES.items() if isinstance(ref, kind)), None)
    if make is None:
        raise ModelError(f"There is no engine for {printable(str(ref))}", "Only models on this machine can be used", "Choose one of them.")
    return make()
