"""KV states outside the engine."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


class StateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Identifies the model, settings and library that a state belongs to. The native library checks none of it."""

    model: str
    """`ModelInfo.fingerprint`."""
    settings: str
    """KV types, the layout of V, adapters and rope settings: all that changes the meaning of the bytes, in a fixed spelling."""
    library: str
    """Version of llama.cpp."""


@dataclass(frozen=True, slots=True)
class HeldState:
    """A KV state as bytes, which only the same library, model and settings can restore."""

    key: StateKey
    tokens: tuple[int, ...]
    state: memoryview
