"""The saved conversations: listed, searched, renamed, pinned and deleted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from engine.errors import StoreError
from engine.records import SessionInfo, TurnRecord
from engine.session.journal import Journal
from engine.session.kv_states import KvStates
from engine.store.queries.regression import Regression, find_regressions
from engine.store.queries.sessions import SessionFilter, find_sessions, session_exists
from engine.store.reader import Reader


class Library:
    """The saved conversations of a session. Reading raises StoreError when there is no database to read."""

    def __init__(self, reader: Reader | None, journal: Journal, states: KvStates, before_delete: Callable[[int], Awaitable[None]]) -> None:
        """`before_delete` is called with the number of a conversation before it is deleted."""
        self._reader = reader
        self._journal = journal
        self._states = states
        self._before_delete = before_delete

    @property
    def reader(self) -> Reader:
        """The reader of the database. Raises StoreError when there is none."""
        if self._reader is None:
            raise StoreError("There is no database to read", "", "The chat continues, but is not logged; saved sessions can't be listed.")
        return self._reader

    @property
    def unclean_end(self) -> bool:
        """Whether an xchat before this one ended without closing the database."""
        return self._journal.unclean_end

    async def sessions(self, *, search: str = "", limit: int = 200) -> Sequence[SessionInfo]:
        """List saved conversations, pinned and newest first; with `search`, those that contain the words."""
        return await self.reader.read(find_sessions, SessionFilter(search=search), limit)

    async def interrupted(self) -> SessionInfo | None:
        """Return the newest conversation whose answer was cut by the end of the program."""
        return next((info for info in await self.sessions(limit=20) if info.interrupted), None)

    async def logged(self) -> None:
        """Wait until everything so far is in the database."""
        await self._journal.drain()

    async def save_now(self) -> None:
        """Write everything so far now. Raises the StoreError of the attempt."""
        await self._journal.save_now()

    async def saved(self) -> None:
        """Wait until everything so far is in the database, retrying without a limit."""
        await self._journal.saved()

    async def regressions(self, turn: TurnRecord) -> tuple[Regression, ...]:
        """Return the figures in which a finished turn was clearly slower than earlier clean turns on this host."""
        await self.logged()
        return await self.reader.read(find_regressions, turn)

    async def rename(self, session_id: int, title: str) -> None:
        """Rename a saved conversation."""
        await self._journal.run(lambda store: store.rename(session_id, title))
        current = self._journal.session
        if current is not None and current.id == session_id:
            current.title = title

    async def pin(self, session_id: int, pinned: bool) -> None:
        """Pin a saved conversation to the top of the list, or unpin it."""
        await self._journal.run(lambda store: store.pin(session_id, pinned))

    async def delete(self, session_id: int) -> None:
        """Delete a saved conversation; if it is the current one, a new one begins."""
        await self._before_delete(session_id)
        await self._journal.run(lambda store: store.delete_session(session_id))
        await self._states.forget(session_id)

    async def close(self, *, forget_missing: bool) -> None:
        """Close the database; with `forget_missing`, also delete KV states of deleted conversations."""
        if self._reader is not None:
            reader = self._reader
            if forget_missing:
                await self._states.forget_missing(lambda session_id: reader.read(session_exists, session_id))
            await reader.close()
