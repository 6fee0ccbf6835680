"""What the library's screens need of a session, a row of theirs, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from engine.records import SessionInfo
from engine.store.reader import Hit, Reader, SessionFilter


class Library(Protocol):
    """What the browser needs of the session."""

    @property
    def reader(self) -> Reader:
        """Answers questions about what is saved; raises StoreError without a database."""

    async def logged(self) -> None:
        """Wait until everything so far is there to be read."""

    async def rename(self, session_id: int, title: str) -> None:
        """Give a saved conversation another title."""

    async def pin(self, session_id: int, pinned: bool) -> None:
        """Keep one on top of the list, or no longer."""

    async def delete(self, session_id: int) -> None:
        """Delete one for good."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the person wants to go on with."""

    session_id: int
    message_id: int | None = None
    """The message to show, on whichever branch it is; None for where the session was left."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the list."""

    info: SessionInfo
    hit: Hit | None = None

    @property
    def row_id(self) -> str:
        """Its name in the list."""
        return f"{self.info.id}:{self.hit.message_id if self.hit is not None else ''}"


def with_value(wanted: SessionFilter, name: str, value: str | None) -> SessionFilter:
    """The filter with another model, quant or preset."""
    match name:
        case "model":
            return replace(wanted, model=value)
        case "quant":
            return replace(wanted, quant=value)
        case _:
            return replace(wanted, preset=value)
