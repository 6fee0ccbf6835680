"""References to models: a file by its path, the built-in one by its quant, a remote one by its engine and name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BUILTIN = "builtin"
"""Name of the built-in model on the command line and in presets."""
REMOTE = "remote:"
"""Prefix of the stable form of a remote model."""


@dataclass(frozen=True, slots=True)
class BuiltInModel:
    """The built-in model."""

    quant: str

    def __str__(self) -> str:
        """Return the stable form for logs, saved choices and presets."""
        return f"{BUILTIN}:{self.quant}"


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that another engine serves."""

    engine: str
    """The engine's name in the configuration; without a slash."""
    name: str
    """The model's name there."""

    def __str__(self) -> str:
        """Return the stable form for logs, saved choices and presets."""
        return f"{REMOTE}{self.engine}/{self.name}"


ModelRef = Path | BuiltInModel | RemoteModel
"""`parse_ref` is the inverse of `str`."""


def parse_ref(text: str) -> ModelRef:
    """Parse a stable form; any other text is the path of a file."""
    kind, colon, quant = text.partition(":")
    if kind == BUILTIN and colon:
        return BuiltInModel(quant)
    engine, slash, name = text.removeprefix(REMOTE).partition("/")
    return RemoteModel(engine, name) if text.startswith(REMOTE) and slash else Path(text)


def short_name(ref: ModelRef) -> str:
    """Return the name of its file without the folder, or the stable form. Untrusted text."""
    return ref.name if isinstance(ref, Path) else str(ref)


def file_of(ref: ModelRef) -> Path | None:
    """Return the path of a model file; None for other references."""
    return ref if isinstance(ref, Path) else None
