"""The reader: a read-only connection of its own, so that lists and searches never wait for the writer, nor it for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from engine.records import Message, SessionInfo, TurnRecord
from engine.store import queries
from engine.store.connect import open_reader
from engine.store.connection import Connection
from engine.store.erase import Contents, contents_of
from engine.store.errors import SessionMissingError
from engine.store.export.charts import charts_of
from engine.store.export.run_card import RunCard, run_cards
from engine.store.export.tables import Selection
from engine.store.queries import PAGE, FilterChoices, Hit, SessionFilter, StoredSession, Variant
from engine.store.regression import Regression, find_regressions
from engine.store.series import Chart

__all__ = ["Contents", "FilterChoices", "Hit", "Reader", "SessionFilter", "StoredSession", "Variant"]


class Reader:
    """Answers questions about what is stored. Call it on the event loop it was opened on; every method raises StoreError."""

    def __init__(self, path: Path, connection: Connection) -> None:
        """Use `open`."""
        self.path = path
        self._connection = connection

    @classmethod
    async def open(cls, path: Path) -> Reader:
        """Open the database for reading only, one of a newer xchat too; a missing file reads as an empty database.

        Raises:
            StoreLockedError, StoreReadOnlyError, StoreDamagedError, StoreUnusableError: It can't be read.
        """
        return cls(path, await Connection.open(path, partial(open_reader, path)))

    async def sessions(
        self, wanted: SessionFilter | None = None, *, search: str = "", limit: int = PAGE, offset: int = 0
    ) -> tuple[SessionInfo, ...]:
        """Sessions, pinned ones first, then the one changed last; `search` is short for a filter by words."""
        chosen = wanted or SessionFilter(search=search)
        return await self._connection.run(lambda db: queries.list_sessions(db, chosen, limit, offset))

    async def count(self, wanted: SessionFilter) -> int:
        """How many sessions a list of them has."""
        return await self._connection.run(lambda db: queries.count_sessions(db, wanted))

    async def search(self, wanted: SessionFilter, limit: int = 50) -> tuple[Hit, ...]:
        """The messages that match best, with the words around the hit."""
        return await self._connection.run(lambda db: queries.search_messages(db, wanted, limit))

    async def choices(self) -> FilterChoices:
        """What there is to filter by."""
        return await self._connection.run(queries.filter_choices)

    async def info(self, session_id: int) -> SessionInfo:
        """One session as the list shows it; raises SessionMissingError."""
        return await self._connection.run(lambda db: queries.session_info(db, session_id))

    async def exists(self, session_id: int) -> bool:
        """Whether there is such a session."""
        try:
            await self.info(session_id)
        except SessionMissingError:
            return False
        return True

    async def last(self) -> SessionInfo | None:
        """The session changed last, if there is any."""
        return await self._connection.run(queries.last_session)

    async def session(self, session_id: int) -> StoredSession:
        """A conversation with all its branches and turns; raises SessionMissingError."""
        return await self._connection.run(lambda db: queries.read_session(db, session_id))

    async def page(self, session_id: int, end_id: int | None = None, limit: int = PAGE) -> tuple[Message, ...]:
        """The end of a branch, oldest message first; the page before is asked for with the `parent_id` of its first message."""
        return await self._connection.run(lambda db: queries.page_of_branch(db, session_id, end_id, limit))

    async def turns(self, session_id: int) -> tuple[TurnRecord, ...]:
        """The turns of a session, oldest first."""
        return await self._connection.run(lambda db: tuple(queries.iter_turns(db, session_id)))

    async def contents(self, session_id: int) -> Contents:
        """How much goes when this session is deleted."""
        return await self._connection.run(lambda db: contents_of(db, session_id))

    async def variants(self, model: str) -> tuple[Variant, ...]:
        """The quants and presets that a model was used with, most used first."""
        return await self._connection.run(lambda db: queries.variants_of(db, model))

    async def variant_turns(self, model: str, quant: str, preset: str) -> tuple[TurnRecord, ...]:
        """The newest turns of a model with a quant and a preset, in any session, oldest first."""
        return await self._connection.run(lambda db: queries.turns_of_variant(db, model, quant, preset))

    async def regressions(self, turn: TurnRecord) -> tuple[Regression, ...]:
        """What was clearly slower in a clean turn than in its host's own clean turns before it; nothing for other turns."""
        return await self._connection.run(lambda db: find_regressions(db, turn))

    async def run_cards(self, session_ids: tuple[int, ...]) -> tuple[RunCard, ...]:
        """A run card for each set of circumstances that the turns of these sessions were measured under, without system prompts."""
        return await self._connection.run(lambda db: run_cards(db, Selection(session_ids)))

    async def charts(self, session_ids: tuple[int, ...]) -> tuple[Chart, ...]:
        """The charts of these sessions, folded to at most 400 points, for a view of one or several side by side."""
        return await self._connection.run(lambda db: charts_of(db, Selection(session_ids)))

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        await self._connection.close()
