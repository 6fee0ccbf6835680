"""Queries of sessions and saved conversations."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from engine.records import Message, SessionInfo, TurnRecord
from engine.store.errors import session_missing
from engine.store.queries.match import fts_query, like_pattern, needs_scan
from engine.store.queries.turns import turns_of
from engine.store.rows import MESSAGE_COLUMNS, SESSION_COLUMNS, message_of, session_of

PAGE = 200
"""Messages per page, and sessions per list."""

_LAST_TURN = "LEFT JOIN turns AS t ON t.id = (SELECT max(id) FROM turns WHERE session_id = s.id)"


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """A filter for sessions; None matches all. Model, quant and preset match any turn of the session."""

    search: str = ""
    """Words that all occur in one of its messages, or in its title."""
    model: str | None = None
    quant: str | None = None
    preset: str | None = None
    since_ms: int | None = None
    """Last changed at this Unix time or later."""
    until_ms: int | None = None
    """Last changed before this Unix time."""
    title: str = ""
    """Words that all occur in its title."""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A saved conversation, whole."""

    info: SessionInfo
    messages: tuple[Message, ...]
    """All branches, oldest first."""
    turns: tuple[TurnRecord, ...]
    """Oldest first."""


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """The values to filter by."""

    models: tuple[str, ...]
    quants: tuple[str, ...]
    presets: tuple[str, ...]


def find_sessions(
    db: sqlite3.Connection, wanted: SessionFilter | None = None, limit: int = PAGE, offset: int = 0
) -> tuple[SessionInfo, ...]:
    """Return the sessions, pinned first, then the last changed."""
    where, values = _wanted(wanted or SessionFilter())
    rows = db.execute(
        f"SELECT {SESSION_COLUMNS} FROM sessions AS s {_LAST_TURN} WHERE {where} "
        "ORDER BY s.pinned DESC, s.updated_ms DESC, s.id DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return tuple(session_of(row) for row in rows)


def count_sessions(db: sqlite3.Connection, wanted: SessionFilter) -> int:
    """Count the sessions that `find_sessions` finds without a limit."""
    where, values = _wanted(wanted)
    return int(db.execute(f"SELECT count(*) FROM sessions AS s WHERE {where}", values).fetchone()[0])


def filter_choices(db: sqlite3.Connection) -> FilterChoices:
    """Return the models, quants and presets of all turns, in alphabetical order."""
    values = (
        tuple(row[0] for row in db.execute(f"SELECT DISTINCT {column} FROM turns ORDER BY 1")) for column in ("model", "quant", "preset")
    )
    return FilterChoices(*values)


def session_info(db: sqlite3.Connection, session_id: int) -> SessionInfo:
    """Return one session. Raises SessionMissingError for an unknown id."""
    for info in sessions_by_id(db, {session_id}):
        return info
    raise session_missing(session_id)


def session_exists(db: sqlite3.Connection, session_id: int) -> bool:
    """Return whether the session exists."""
    return bool(sessions_by_id(db, {session_id}))


def newest_session(db: sqlite3.Connection) -> SessionInfo | None:
    """Return the last changed session, if any."""
    row = db.execute(f"SELECT {SESSION_COLUMNS} FROM sessions AS s {_LAST_TURN} ORDER BY s.updated_ms DESC, s.id DESC LIMIT 1").fetchone()
    return session_of(row) if row else None


def read_session(db: sqlite3.Connection, session_id: int) -> StoredSession:
    """Return a conversation with all its branches and turns; raises the errors of `session_info`."""
    info = session_info(db, session_id)
    rows = db.execute(f"SELECT {', '.join(MESSAGE_COLUMNS)} FROM messages WHERE session_id = ? ORDER BY id", (session_id,))
    return StoredSession(info, tuple(message_of(row) for row in rows), turns_of(db, session_id))


def newest_texts(db: sqlite3.Connection, characters: int) -> str:
    """Return the newest messages of all sessions, about `characters` long, the older ones first."""
    found, size = list[str](), 0
    for (text,) in db.execute("SELECT text FROM messages WHERE text <> '' ORDER BY id DESC"):
        found.append(text)
        size += len(text)
        if size >= characters:
            break
    return "\n\n".join(reversed(found))


def page_of_branch(db: sqlite3.Connection, session_id: int, end_id: int | None = None, limit: int = PAGE) -> tuple[Message, ...]:
    """Return the last `limit` messages of the branch that ends with `end_id` (if None, with the session's head), oldest first.

    The `parent_id` of its first message is the `end_id` of the page before; a message without a parent is the start.
    """
    if end_id is None:
        end_id = session_info(db, session_id).head_id
    # A recursive query would be one statement, but SQLite then reads all messages for a Bloom filter over their ids.
    query = f"SELECT {', '.join(MESSAGE_COLUMNS)} FROM messages WHERE id = ? AND +session_id = ?"
    newest_first: list[Message] = []
    while end_id is not None and len(newest_first) < limit:
        row = db.execute(query, (end_id, session_id)).fetchone()
        if row is None:
            break
        newest_first.append(message_of(row))
        end_id = newest_first[-1].parent_id
    return tuple(reversed(newest_first))


def conditions_of(wanted: SessionFilter) -> tuple[list[str], list[str | int]]:
    """Return the filter without its search words as SQL conditions on `sessions AS s`, and their values."""
    conditions: list[str] = []
    values: list[str | int] = []
    for column in ("model", "quant", "preset"):
        value = getattr(wanted, column)
        if value is not None:
            conditions.append(f"EXISTS (SELECT 1 FROM turns AS x WHERE x.session_id = s.id AND x.{column} = ?)")
            values.append(value)
    if wanted.since_ms is not None:
        conditions.append("s.updated_ms >= ?")
        values.append(wanted.since_ms)
    if wanted.until_ms is not None:
        conditions.append("s.updated_ms < ?")
        values.append(wanted.until_ms)
    for word in wanted.title.split():
        conditions.append("casefold(s.title) LIKE ? ESCAPE '\\'")
        values.append(like_pattern(word.casefold()))
    return conditions, values


def _wanted(wanted: SessionFilter) -> tuple[str, list[str | int]]:
    """Return the whole filter as the condition of a WHERE, and its values."""
    conditions, values = conditions_of(wanted)
    if wanted.search.strip():
        found, found_values = _sessions_with(wanted.search)
        titles, title_values = conditions_of(SessionFilter(title=wanted.search))
        conditions.append(f"(s.id IN ({found}) OR ({' AND '.join(titles)}))")
        values += [*found_values, *title_values]
    return " AND ".join(conditions) or "1", values


def _sessions_with(text: str) -> tuple[str, list[str]]:
    """Return a subquery for the sessions that contain the words, and its values."""
    if needs_scan(text):
        return "SELECT session_id FROM messages WHERE text LIKE ? ESCAPE '\\'", [like_pattern(text.strip())]
    query = fts_query(text)
    if query is None:
        return "SELECT NULL", []
    # By default SQLite would read every matching message only for its session id.
    return (
        "SELECT m.session_id FROM messages_fts AS f JOIN messages AS m INDEXED BY messages_session_of ON m.id = f.rowid "
        "WHERE f.messages_fts MATCH ?",
        [query],
    )


def sessions_by_id(db: sqlite3.Connection, ids: set[int]) -> Sequence[SessionInfo]:
    """Return the existing ones of the sessions, unordered."""
    places = ", ".join("?" * len(ids))
    return [
        session_of(row)
        for row in db.execute(f"SELECT {SESSION_COLUMNS} FROM sessions AS s {_LAST_TURN} WHERE s.id IN ({places})", tuple(ids))
    ]
