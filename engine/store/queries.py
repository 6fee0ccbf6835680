"""What the program reads, as plain functions on a connection: lists, conversations, search, and what was measured."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.records import Message, SessionInfo, TurnRecord
from engine.store.errors import session_missing
from engine.store.host import Host
from engine.store.rows import (
    MESSAGE_COLUMNS,
    SESSION_COLUMNS,
    TURN_COLUMNS,
    message_of,
    session_of,
    turn_of,
)
from engine.store.search import HIT_END, HIT_START, fts_query, like_pattern, needs_scan

PAGE = 200
"""Messages of a page, sessions of a list."""

RANKED = 2_000
"""Newest matches among which a search looks for the best."""

_SNIPPET_WORDS = 24
_LONGEST_SNIPPET = 600
"""Characters; a word may be a whole file without a space in it."""

_LAST_TURN = "LEFT JOIN turns AS t ON t.id = (SELECT max(id) FROM turns WHERE session_id = s.id)"


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions a list shows; what is None doesn't matter. Model, quant and preset match any turn of the session."""

    search: str = ""
    """Words that occur in one of its messages, or in its title."""
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
class Hit:
    """A message in which the words that were searched for occur."""

    session: SessionInfo
    message_id: int
    snippet: str
    """The words around the best place, each hit between `search.HIT_START` and `search.HIT_END`."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A quant of a model under a preset, and how many turns there are of it."""

    quant: str
    preset: str
    turns: int


@dataclass(frozen=True, slots=True)
class FilterChoices:
    """What there is to filter by."""

    models: tuple[str, ...]
    quants: tuple[str, ...]
    presets: tuple[str, ...]


def list_sessions(db: sqlite3.Connection, wanted: SessionFilter, limit: int = PAGE, offset: int = 0) -> tuple[SessionInfo, ...]:
    """Sessions, pinned ones first, then the one changed last."""
    where, values = _wanted(wanted)
    rows = db.execute(
        f"SELECT {SESSION_COLUMNS} FROM sessions AS s {_LAST_TURN} WHERE {where} "
        "ORDER BY s.pinned DESC, s.updated_ms DESC, s.id DESC LIMIT ? OFFSET ?",
        (*values, limit, offset),
    )
    return tuple(session_of(row) for row in rows)


def count_sessions(db: sqlite3.Connection, wanted: SessionFilter) -> int:
    """How many sessions `list_sessions` has."""
    where, values = _wanted(wanted)
    return int(db.execute(f"SELECT count(*) FROM sessions AS s WHERE {where}", values).fetchone()[0])


def search_messages(db: sqlite3.Connection, wanted: SessionFilter, limit: int = 50) -> tuple[Hit, ...]:
    """The messages that match `wanted.search` best among the newest that do, with the words around the hit."""
    conditions, values = _conditions(wanted)
    query = fts_query(wanted.search)
    if query is None and not needs_scan(wanted.search):
        return ()
    where = "".join(f" AND {condition}" for condition in conditions)
    if needs_scan(wanted.search):
        found = _scan(db, wanted.search.strip(), where, values, limit)
    else:
        found = _best_matches(db, query or "", where, values, limit)
    infos = {info.id: info for info in _sessions_by_id(db, {session_id for _, session_id, _ in found})}
    return tuple(Hit(infos[session_id], message_id, snippet) for message_id, session_id, snippet in found)


def filter_choices(db: sqlite3.Connection) -> FilterChoices:
    """The models, quants and presets of all turns, in alphabetical order."""
    values = (
        tuple(row[0] for row in db.execute(f"SELECT DISTINCT {column} FROM turns ORDER BY 1")) for column in ("model", "quant", "preset")
    )
    return FilterChoices(*values)


def session_info(db: sqlite3.Connection, session_id: int) -> SessionInfo:
    """One session.

    Raises:
        SessionMissingError: There is no such session.
    """
    for info in _sessions_by_id(db, {session_id}):
        return info
    raise session_missing(session_id)


def last_session(db: sqlite3.Connection) -> SessionInfo | None:
    """The session changed last, if there is any."""
    row = db.execute(f"SELECT {SESSION_COLUMNS} FROM sessions AS s {_LAST_TURN} ORDER BY s.updated_ms DESC, s.id DESC LIMIT 1").fetchone()
    return session_of(row) if row else None


def read_session(db: sqlite3.Connection, session_id: int) -> StoredSession:
    """A conversation with all its branches and turns; raises as `session_info` does."""
    return StoredSession(session_info(db, session_id), tuple(iter_messages(db, session_id)), tuple(iter_turns(db, session_id)))


def iter_messages(db: sqlite3.Connection, session_id: int) -> Iterator[Message]:
    """All messages of a session, oldest first."""
    for row in db.execute(f"SELECT {', '.join(MESSAGE_COLUMNS)} FROM messages WHERE session_id = ? ORDER BY id", (session_id,)):
        yield message_of(row)


def page_of_branch(db: sqlite3.Connection, session_id: int, end_id: int | None = None, limit: int = PAGE) -> tuple[Message, ...]:
    """The last `limit` messages of the branch that ends with `end_id` (with the session's head, if None), oldest first.

    The page before it is asked for with the `parent_id` of its first message; that message without a parent is the start.
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


def iter_turns(db: sqlite3.Connection, session_id: int) -> Iterator[TurnRecord]:
    """All turns of a session, oldest first."""
    for row in db.execute(f"SELECT {', '.join(TURN_COLUMNS)} FROM turns WHERE session_id = ? ORDER BY id", (session_id,)):
        yield turn_of(row)


def variants_of(db: sqlite3.Connection, model: str) -> tuple[Variant, ...]:
    """The quants and presets that a model was used with, most used first."""
    rows = db.execute("SELECT quant, preset, count(*) FROM turns WHERE model = ? GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2", (model,))
    return tuple(Variant(*row) for row in rows)


def turns_of_variant(db: sqlite3.Connection, model: str, quant: str, preset: str, limit: int = PAGE) -> tuple[TurnRecord, ...]:
    """The last `limit` turns of a model with a quant and a preset, in any session, oldest first."""
    rows = db.execute(
        f"SELECT {', '.join(TURN_COLUMNS)} FROM turns WHERE model = ? AND quant = ? AND preset = ? ORDER BY id DESC LIMIT ?",
        (model, quant, preset, limit),
    )
    return tuple(reversed([turn_of(row) for row in rows]))


def clean_history(db: sqlite3.Connection, turn: TurnRecord, host: str, limit: int) -> tuple[TurnRecord, ...]:
    """The last `limit` clean turns of the same model file, quant and preset on that host before `turn`, newest first."""
    columns = ", ".join(f"t.{name}" for name in TURN_COLUMNS)
    rows = db.execute(
        f"""
        SELECT {columns} FROM turns AS t JOIN processes AS p ON p.id = t.process_id
        WHERE t.model = ? AND t.quant = ? AND t.preset = ? AND t.model_fingerprint = ? AND p.host = ?
            AND t.id < ? AND t.judged AND t.noisy IS NULL AND t.stop_reason <> 'error'
        ORDER BY t.id DESC LIMIT ?
        """,
        (turn.model, turn.quant, turn.preset, turn.model_fingerprint, host, turn.id, limit),
    )
    return tuple(turn_of(row) for row in rows)


def host_of_turn(db: sqlite3.Connection, turn_id: int) -> Host | None:
    """The machine and versions a turn was measured with; None when it isn't known."""
    row = db.execute(
        "SELECT p.host, p.kernel, p.cpu, p.cpu_flags, p.cores, p.memory_bytes, p.xchat_version, p.llama_cpp_version "
        "FROM turns AS t JOIN processes AS p ON p.id = t.process_id WHERE t.id = ?",
        (turn_id,),
    ).fetchone()
    return Host(*row) if row else None


def _conditions(wanted: SessionFilter) -> tuple[list[str], list[str | int]]:
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
    """What stands after WHERE for the sessions that are wanted, and its values."""
    conditions, values = _conditions(wanted)
    if wanted.search.strip():
        found, found_values = _sessions_with(wanted.search)
        titles, title_values = _conditions(SessionFilter(title=wanted.search))
        conditions.append(f"(s.id IN ({found}) OR ({' AND '.join(titles)}))")
        values += [*found_values, *title_values]
    return " AND ".join(conditions) or "1", values


def _sessions_with(text: str) -> tuple[str, list[str]]:
    """A subquery for the sessions in which the words occur, and its values."""
    if needs_scan(text):
        return "SELECT session_id FROM messages WHERE text LIKE ? ESCAPE '\\'", [like_pattern(text.strip())]
    query = fts_query(text)
    if query is None:
        return "SELECT NULL", []
    # Left to itself SQLite would read every message that matches, for nothing but the number of its session.
    return (
        "SELECT m.session_id FROM messages_fts AS f JOIN messages AS m INDEXED BY messages_session_of ON m.id = f.rowid "
        "WHERE f.messages_fts MATCH ?",
        [query],
    )


def _sessions_by_id(db: sqlite3.Connection, ids: set[int]) -> Sequence[SessionInfo]:
    places = ", ".join("?" * len(ids))
    return [
        session_of(row)
        for row in db.execute(f"SELECT {SESSION_COLUMNS} FROM sessions AS s {_LAST_TURN} WHERE s.id IN ({places})", tuple(ids))
    ]


def _best_matches(db: sqlite3.Connection, query: str, where: str, values: Sequence[str | int], limit: int) -> list[tuple[int, int, str]]:
    """Message, session and snippet of the best among the newest RANKED matches.

    Ranking costs time for every match, and a common word has most messages of the database. Snippets cost more still, so they are
    made only for the few that are shown.
    """
    matches = "FROM messages_fts AS f"
    if where:
        matches += " JOIN messages AS m ON m.id = f.rowid JOIN sessions AS s ON s.id = m.session_id"
    oldest = db.execute(
        f"SELECT min(id) FROM (SELECT f.rowid AS id {matches} WHERE f.messages_fts MATCH ?{where} ORDER BY f.rowid DESC LIMIT ?)",
        (query, *values, RANKED),
    ).fetchone()[0]
    if oldest is None:
        return []
    best = db.execute(
        f"SELECT f.rowid {matches} WHERE f.messages_fts MATCH ? AND f.rowid >= ?{where} ORDER BY f.rank LIMIT ?",
        (query, oldest, *values, limit),
    ).fetchall()
    if not best:
        return []
    order = {message_id: place for place, (message_id,) in enumerate(best)}
    # The plus keeps the ids from being looked up one by one, each with a search of its own.
    shown = db.execute(
        f"SELECT f.rowid, m.session_id, snippet(messages_fts, 0, ?, ?, '…', {_SNIPPET_WORDS}) "
        "FROM messages_fts AS f CROSS JOIN messages AS m ON m.id = f.rowid "
        f"WHERE f.messages_fts MATCH ? AND f.rowid >= ? AND +f.rowid IN ({', '.join('?' * len(order))})",
        (HIT_START, HIT_END, query, min(order), *order),
    )
    return [(message, session, _bounded(snippet)) for message, session, snippet in sorted(shown, key=lambda row: order[row[0]])]


def _bounded(snippet: str) -> str:
    """The snippet around its first hit."""
    if len(snippet) <= _LONGEST_SNIPPET:
        return snippet
    begin = max(0, snippet.find(HIT_START) - _LONGEST_SNIPPET // 4)
    piece = snippet[begin : begin + _LONGEST_SNIPPET]
    open_hit = piece.count(HIT_START) > piece.count(HIT_END)
    return f"{'…' if begin else ''}{piece}{HIT_END if open_hit else ''}…"


def _scan(db: sqlite3.Connection, text: str, where: str, values: Sequence[str | int], limit: int) -> list[tuple[int, int, str]]:
    rows = db.execute(
        "SELECT m.id, m.session_id, m.text FROM messages AS m JOIN sessions AS s ON s.id = m.session_id "
        f"WHERE m.text LIKE ? ESCAPE '\\'{where} ORDER BY m.id DESC LIMIT ?",
        (like_pattern(text), *values, limit),
    )
    return [(message_id, session_id, _excerpt(message, text)) for message_id, session_id, message in rows]


def _excerpt(message: str, text: str, around: int = 60) -> str:
    at = max(message.lower().find(text.lower()), 0)
    end = at + len(text)
    head = ("…" if at > around else "") + message[max(at - around, 0) : at]
    tail = message[end : end + around] + ("…" if len(message) > end + around else "")
    return f"{head}{HIT_START}{message[at:end]}{HIT_END}{tail}"
