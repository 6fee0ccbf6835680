"""The row of a conversation in the log, and the messages that a file lacks of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.errors import StoreError
from engine.records import Message, SessionInfo
from engine.store.writer import Store


@dataclass(slots=True)
class LoggedSession:
    """The row of a conversation; `id` is None until it is in the database, and stays None when it isn't logged."""

    title: str
    created_ms: int
    id: int | None = None
    stored: SessionInfo | None = None
    """Its row when it was resumed."""
    messages: Callable[[], Sequence[Message]] = tuple
    """Returns all its messages, for a file that lacks it."""
    store: Store | None = None
    """The store of its row."""
    incomplete: bool = False
    """Whether writes of it were dropped; the next one saves all its messages."""
    deleted: bool = False
    """Whether another xchat deleted it; it is no longer logged then."""

    @property
    def info(self) -> SessionInfo | None:
        """The conversation for lists; None until its row exists."""
        if self.id is None:
            return None
        return replace(self.stored or SessionInfo(self.id, "", self.created_ms, self.created_ms, None), title=self.title)


def id_in(store: Store, session: LoggedSession | None) -> int | None:
    """Return the id of a session in a file; None while it is not there."""
    return session.id if session is not None and session.store is store else None


async def complete(session: LoggedSession, store: Store) -> None:
    """Save all messages of a logged session in a file that lacks some of them."""
    if session.deleted or (session.store is store and not session.incomplete) or (session.id is None and not session.incomplete):
        return
    # Cleared before the messages are read: what is dropped during the write sets it again.
    incomplete, session.incomplete = session.incomplete, False
    try:
        if session.id is None or not await store.has_session(session.id, session.created_ms):
            session.id = await store.import_session(session.title, session.created_ms, session.messages())
        else:
            for message in session.messages():
                await store.save_message(session.id, message)
        session.store = store
    except StoreError:
        session.incomplete |= incomplete
        raise
