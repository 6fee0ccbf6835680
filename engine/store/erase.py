"""Secure deletion: rows, search index, free pages, the write-ahead log, and the prompt history."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from engine.drafts import drafts_path, forget_drafts
from engine.errors import StoreError
from engine.pictures.stored import file_of, pictures_in
from engine.prompt_history import forget_prompts, history_path
from engine.store.errors import session_missing
from engine.store.sqlite.transaction import transaction
from engine.text import printable

MERGE_PAGES = 500
"""Pages of the search index rewritten at once; other writers wait a few milliseconds at most."""

_BY_SESSION = ("events", "samples", "turns", "messages")


@dataclass(frozen=True, slots=True)
class Contents:
    """The sizes of the data deleted with a session."""

    messages: int
    """Messages of all branches, with their words in the search index."""
    turns: int
    samples: int
    events: int


def contents_of(db: sqlite3.Connection, session_id: int) -> Contents:
    """Measure the data deleted with a session; all zero if it does not exist."""
    counts = (
        db.execute(f"SELECT count(*) FROM {table} WHERE session_id = ?", (session_id,)).fetchone()[0]
        for table in ("messages", "turns", "samples", "events")
    )
    return Contents(*counts)


def delete_sessions(db: sqlite3.Connection, session_ids: Sequence[int]) -> None:
    """Delete sessions with all their data in one transaction, and their messages from the prompt history.

    Pictures that no other session has are deleted, too.

    Raises:
        SessionMissingError: One of them doesn't exist; none is deleted then.
        StoreError: The prompt history can't be written; none is deleted then.
    """
    _forget_prompts(db, session_ids)
    query = "SELECT text FROM messages WHERE session_id = ? AND text LIKE '%[picture %'"
    texts = [text for session_id in session_ids for (text,) in db.execute(query, (session_id,))]
    with transaction(db):
        for session_id in session_ids:
            for table in _BY_SESSION:
                db.execute(f"DELETE FROM {table} WHERE session_id = ?", (session_id,))
            if not db.execute("DELETE FROM sessions WHERE id = ?", (session_id,)).rowcount:
                raise session_missing(session_id)
    for picture in {found for text in texts for _, _, found in pictures_in(text)}:
        if db.execute("SELECT 1 FROM messages WHERE text LIKE ? LIMIT 1", (f"%{picture.digest}%",)).fetchone() is None:
            file_of(picture.digest).unlink(missing_ok=True)


def _forget_prompts(db: sqlite3.Connection, session_ids: Sequence[int]) -> None:
    query = "SELECT text FROM messages WHERE session_id = ? AND role = 'user'"
    texts = {text for session_id in session_ids for (text,) in db.execute(query, (session_id,))}
    try:
        forget_prompts(history_path(), texts)
        forget_drafts(drafts_path(), session_ids)
    except OSError as error:
        detail = f"{printable(str(history_path()))} also has its messages and can't be written: {printable(str(error))}"
        raise StoreError("The session was not deleted", detail, "Free space on the disk, or make the file writable.") from error


def merge_search_index(db: sqlite3.Connection) -> bool:
    """Rewrite a part of the search index without the deleted messages; return whether there is more to do.

    FTS5 only marks deletions; the words stay in its segments until they are merged. Its own `secure-delete` would make the file unreadable
    to SQLite before 3.42, which another Python on the same machine may have.
    """
    before = db.total_changes
    with transaction(db):
        db.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('merge', ?)", (-MERGE_PAGES,))
    if db.total_changes - before >= 2:
        return True
    # Merging in portions may leave a small segment. This costs nothing when there is none.
    with transaction(db):
        db.execute("INSERT INTO messages_fts (messages_fts) VALUES ('optimize')")
    return False


def empty_log(db: sqlite3.Connection) -> bool:
    """Checkpoint and truncate the write-ahead log; return False when a reader or writer prevented it."""
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
