"""Entries of the models screen and the results of choosing one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.model_ref import ModelRef


@dataclass(frozen=True, slots=True)
class BuiltInQuant:
    """A quant of the built-in model, made on first use."""

    quant: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """A model to download."""

    reference: str
    """A reference for `xchat models pull`."""


@dataclass(frozen=True, slots=True)
class OtherQuant:
    """Another quant of a model, to choose and make."""

    source: Path
    there: frozenset[str]
    """Existing quants of the model."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Show the running download or quantization."""


Choice = ModelRef | BuiltInQuant | Fetch | OtherQuant | Watch
"""Result of the models screen."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """An entry of the models screen."""

    ref: ModelRef | None
    """The model to load; None when there is no file yet."""
    name: str
    detail: str = ""
    """A short note in place of figures."""
    quant: str = ""
    size_bytes: int | None = None
    """Size of its file."""
    needed_bytes: int | None = None
    """Memory that it needs; None where there is no file to predict it from."""
    fits: bool = True
    """Whether that fits into the available memory."""
    speed: float | None = None
    """Decode speed measured on this machine, in tokens/s."""
    disturbed: bool = False
    """Whether every turn behind the speed was disturbed."""
    kld: float | None = None
    """Mean KL divergence from the family's largest quant, measured on this machine."""
    place: str = ""
    """The program that it comes from."""
    problem: str = ""
    """Why it can't be used."""
    instead: BuiltInQuant | Fetch | OtherQuant | Watch | None = None
    """The result of choosing it when there is no file yet."""

    @property
    def choice(self) -> Choice | None:
        """The result of choosing it; None when it can't be used."""
        return self.ref if self.ref is not None else self.instead
