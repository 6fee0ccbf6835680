"""KV states outside the engine."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class StateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model, settings and library of a state, which the native library does not check."""

    model: str
    """`ModelInfo.fingerprint`."""
    settings: str
    """KV types, the layout of V, adapters and rope settings, all that affects the format of the bytes, in a canonical form."""
    library: str
    """Version of llama.cpp."""


@dataclass(frozen=True, slots=True)
class HeldState:
    """A KV state as bytes, which only the same library, model and settings can restore."""

    key: StateKey
    tokens: tuple[int, ...]
    state: memoryview
