"""A row of the session browser, and the result of the library's screens."""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.records import SessionInfo
from engine.store.queries.search import Hit
from engine.store.queries.sessions import SessionFilter


@dataclass(frozen=True, slots=True)
class Chosen:
    """The session to resume."""

    session_id: int
    message_id: int | None = None
    """The message to show, on any branch; None shows the last open branch."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the session browser."""

    info: SessionInfo
    hit: Hit | None = None

    @property
    def row_id(self) -> str:
        """Id of the row."""
        return f"{self.info.id}:{self.hit.message_id if self.hit is not None else ''}"


def with_value(wanted: SessionFilter, name: str, value: str | None) -> SessionFilter:
    """Return the filter with another model, quant or preset."""
    match name:
        case "model":
            return replace(wanted, model=value)
        case "quant":
            return replace(wanted, quant=value)
        case _:
            return replace(wanted, preset=value)
