"""What the models screen offers, and what choosing an entry means."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.model_ref import ModelRef


@dataclass(frozen=True, slots=True)
class BuiltInQuant:
    """A quant of the built-in model, made when it is first loaded."""

    quant: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """A model elsewhere."""

    reference: str
    """As `xchat models pull` takes it."""


@dataclass(frozen=True, slots=True)
class OtherQuant:
    """A quant of a model that is yet to be picked, and made."""

    source: Path
    there: frozenset[str]
    """Quants of the model that are here already."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Look at the model that is on its way."""


Choice = ModelRef | BuiltInQuant | Fetch | OtherQuant | Watch
"""What can be chosen in the models screen."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that the models screen offers."""

    ref: ModelRef | None
    """None when there is nothing to load."""
    name: str
    detail: str = ""
    """Quant, size, memory: one short line."""
    fits: bool = True
    """Whether the memory that is free holds it."""
    problem: str = ""
    """Why it can't be used."""
    instead: BuiltInQuant | Fetch | OtherQuant | Watch | None = None
    """What choosing it does when there is no file yet."""

    @property
    def choice(self) -> Choice | None:
        """What choosing it means; None when it can't be used."""
        return self.ref if self.ref is not None else self.instead
