"""Full-text search over the messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from engine.records import SessionInfo
from engine.store.queries.match import fts_query, like_pattern, needs_scan
from engine.store.queries.sessions import SessionFilter, conditions_of, sessions_by_id

HIT_START = "\x02"
HIT_END = "\x03"
"""Marks around each hit in a snippet. Control characters, because a message may contain any printable ones; text of the message that
happens to hold them is cleaned, so a mark is always ours."""

RANKED = 2_000
"""Most matches that are ranked, the newest."""

_SNIPPET_WORDS = 24
_LONGEST_SNIPPET = 600
"""Most characters of a snippet; a word may be a whole file without a space."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that contains the search words."""

    session: SessionInfo
    message_id: int
    snippet: str
    """The text around the best match, each hit between `search.HIT_START` and `search.HIT_END`."""


def search_messages(db: sqlite3.Connection, wanted: SessionFilter, limit: int = 50) -> tuple[Hit, ...]:
    """Return the best of the newest messages that match `wanted.search`, with a snippet."""
    conditions, values = conditions_of(wanted)
    query = fts_query(wanted.search)
    if query is None and not needs_scan(wanted.search):
        return ()
    where = "".join(f" AND {condition}" for condition in conditions)
    if needs_scan(wanted.search):
        found = _scan(db, wanted.search.strip(), where, values, limit)
    else:
        found = _best_matches(db, query or "", where, values, limit)
    infos = {info.id: info for info in sessions_by_id(db, {session_id for _, session_id, _ in found})}
    return tuple(Hit(infos[session_id], message_id, snippet) for message_id, session_id, snippet in found if session_id in infos)


def _best_matches(db: sqlite3.Connection, query: str, where: str, values: Sequence[str | int], limit: int) -> list[tuple[int, int, str]]:
    """Return message, session and snippet of the best among the newest RANKED matches.

    Ranking costs time for every match, and a common word matches most messages. Snippets cost more, so they are made only for the shown
    ones.
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
    # The plus prevents SQLite from searching for each id separately.
    shown = db.execute(
        f"SELECT f.rowid, m.session_id, snippet(messages_fts, 0, ?, ?, '…', {_SNIPPET_WORDS}) "
        "FROM messages_fts AS f CROSS JOIN messages AS m ON m.id = f.rowid "
        f"WHERE f.messages_fts MATCH ? AND f.rowid >= ? AND +f.rowid IN ({', '.join('?' * len(order))})",
        (HIT_START, HIT_END, query, min(order), *order),
    )
    return [(message, session, _bounded(snippet)) for message, session, snippet in sorted(shown, key=lambda row: order[row[0]])]


def _bounded(snippet: str) -> str:
    """Cut a snippet around its first hit."""
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
