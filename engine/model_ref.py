"""What a model is called, wherever it runs: a file by its path, the built-in one by its quant, a remote one by its engine and name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BUILTIN = "builtin"
"""How the model that xchat carries is named on the command line and in presets."""
_REMOTE = "remote:"


@dataclass(frozen=True, slots=True)
class BuiltInModel:
    """The model that xchat carries."""

    quant: str

    def __str__(self) -> str:
        """The stable form: logged, remembered, named in presets."""
        return f"{BUILTIN}:{self.quant}"


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that another engine serves."""

    engine: str
    """What the engine is called in the configuration; without a slash."""
    name: str
    """What it calls the model."""

    def __str__(self) -> str:
        """The stable form: logged, remembered, named in presets."""
        return f"{_REMOTE}{self.engine}/{self.name}"


ModelRef = Path | BuiltInModel | RemoteModel
"""Whatever `str` makes of one, `parse_ref` makes one of again."""


def parse_ref(text: str) -> ModelRef:
    """The model that a stable form names; whatever is none of the other forms is the path of a file."""
    kind, colon, quant = text.partition(":")
    if kind == BUILTIN and colon:
        return BuiltInModel(quant)
    engine, slash, name = text.removeprefix(_REMOTE).partition("/")
    return RemoteModel(engine, name) if text.startswith(_REMOTE) and slash else Path(text)


def short_name(ref: ModelRef) -> str:
    """The name of its file without the folder, or the stable form; as it is, so make it harmless before it is shown."""
    return ref.name if isinstance(ref, Path) else str(ref)


def file_of(ref: ModelRef) -> Path | None:
    """The path of a model that is named by its file."""
    return ref if isinstance(ref, Path) else None
