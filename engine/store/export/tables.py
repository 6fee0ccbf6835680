"""The tables that can be exported, each as named columns and a stream of rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from engine.clock import NS_PER_MS
from engine.store.token_blob import unpack_times
from engine.timings import STALL_FACTOR

Row = Sequence[Any]


class What(StrEnum):
    """The tables."""

    TURNS = "turns"
    """One row per turn, as in the view `v_turns`."""
    SAMPLES = "samples"
    """Samples of the machine, as in the view `v_samples`."""
    TOKENS = "tokens"
    """One row per generated token: its time, and the gap before it."""
    EVENTS = "events"
    """Marks on the time line: preset changes, stalls, captures, alerts."""
    CHAT = "chat"
    """The messages themselves."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The sessions to export, with or without their texts."""

    sessions: tuple[int, ...] | None
    """Their ids; None for all, including data without a session."""
    texts: bool = False
    """Include titles, messages and system prompts. The table of messages has its texts in any case."""
    branches: bool = False
    """In a document, include hidden branches. The table of messages has all of them."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, ready to be streamed."""

    columns: tuple[str, ...]
    count: int
    """The number of rows, for progress."""
    rows: Iterator[Row]

    def without(self, columns: Container[str]) -> Table:
        """Return the same rows with fewer columns."""
        kept = [place for place, column in enumerate(self.columns) if column not in columns]
        rows = ([row[place] for place in kept] for row in self.rows)
        return Table(tuple(self.columns[place] for place in kept), self.count, rows)


TOKEN_COLUMNS = ("turn_id", "session_id", "model", "quant", "preset", "token", "since_first_ms", "itl_ms", "stall")

EVENT_COLUMNS = ("at", "wall_ms", "session_id", "turn_id", "kind", "text")

CHAT_COLUMNS = ("message_id", "session_id", "parent_id", "role", "status", "created", "created_ms", "thinking", "text")

_ISO = "strftime('%Y-%m-%dT%H:%M:%fZ', {} / 1000.0, 'unixepoch')"


def open_table(db: sqlite3.Connection, what: What, selection: Selection) -> Table:
    """Open a table in the order of sessions and time; rows are read lazily."""
    return _TABLES[what](db, selection)


def preset_settings(preset_json: str) -> dict[str, Any]:
    """Return the settings of a stored preset; empty for an invalid text."""
    try:
        preset = json.loads(preset_json)
    except ValueError:
        return {}
    return preset if isinstance(preset, dict) else {}


def without_texts(preset_json: str) -> str:
    """Return the preset as it was used, without its system prompt and the form of answers."""
    return json.dumps(
        preset_settings(preset_json) | dict.fromkeys(("system", "json_schema", "grammar", "regex")),
        ensure_ascii=False,
        separators=(",", ":"),
    )


def where(selection: Selection, column: str = "session_id") -> tuple[str, tuple[int, ...]]:
    """Return the SQL condition for the selected sessions, and its values."""
    if selection.sessions is None:
        return "1", ()
    return f"{column} IN ({', '.join('?' * len(selection.sessions))})", selection.sessions


def _turns(db: sqlite3.Connection, selection: Selection) -> Table:
    condition, values = where(selection)
    texts = ("preset_json", "title")
    columns = (*(name for name in _columns(db, "v_turns") if name not in texts), *texts[: 2 if selection.texts else 1])
    cursor = db.execute(f"SELECT {', '.join(columns)} FROM v_turns WHERE {condition} ORDER BY session_id, turn_id", values)
    rows: Iterator[Row] = cursor if selection.texts else ((*row[:-1], without_texts(row[-1])) for row in cursor)
    return Table(columns, _count(db, "turns", selection), rows)


def _samples(db: sqlite3.Connection, selection: Selection) -> Table:
    condition, values = where(selection)
    # Samples have ids in the order of time; the order of sessions would sort all of them first.
    order = "sample_id" if selection.sessions is None else "session_id, sample_id"
    cursor = db.execute(f"SELECT * FROM v_samples WHERE {condition} ORDER BY {order}", values)
    return Table(_columns(db, "v_samples"), _count(db, "samples", selection), cursor)


def _tokens(db: sqlite3.Connection, selection: Selection) -> Table:
    condition, values = where(selection)
    (count,) = db.execute(f"SELECT coalesce(sum(predicted_n), 0) FROM turns WHERE {condition}", values).fetchone()
    turns = db.execute(
        f"SELECT id, session_id, model, quant, preset, itl_p50_ms, token_times FROM turns WHERE {condition} ORDER BY session_id, id", values
    )
    return Table(TOKEN_COLUMNS, count, (row for turn in turns for row in _tokens_of(turn)))


def _tokens_of(turn: Row) -> Iterator[Row]:
    *head, median, blob = turn
    times = unpack_times(blob)
    if times:
        yield (*head, 1, 0.0, None, None)
    for number, (before, at) in enumerate(pairwise(times), start=2):
        gap = (at - before) / NS_PER_MS
        yield (*head, number, (at - times[0]) / NS_PER_MS, gap, None if median is None else int(gap > STALL_FACTOR * median))


def _events(db: sqlite3.Connection, selection: Selection) -> Table:
    condition, values = where(selection)
    at = _ISO.format("wall_ms")
    cursor = db.execute(
        f"SELECT {at}, wall_ms, session_id, turn_id, kind, text FROM events WHERE {condition} ORDER BY session_id, id", values
    )
    return Table(EVENT_COLUMNS, _count(db, "events", selection), cursor)


def _chat(db: sqlite3.Connection, selection: Selection) -> Table:
    condition, values = where(selection)
    created = _ISO.format("created_ms")
    cursor = db.execute(
        f"SELECT id, session_id, parent_id, role, status, {created}, created_ms, thinking, text FROM messages "
        f"WHERE {condition} ORDER BY session_id, id",
        values,
    )
    return Table(CHAT_COLUMNS, _count(db, "messages", selection), cursor)


def _columns(db: sqlite3.Connection, view: str) -> tuple[str, ...]:
    return tuple(name for name, *_ in db.execute(f"SELECT * FROM {view} LIMIT 0").description)


def _count(db: sqlite3.Connection, table: str, selection: Selection) -> int:
    condition, values = where(selection)
    (count,) = db.execute(f"SELECT count(*) FROM {table} WHERE {condition}", values).fetchone()
    return int(count)


_TABLES: Mapping[What, Callable[[sqlite3.Connection, Selection], Table]] = {
    What.TURNS: _turns,
    What.SAMPLES: _samples,
    What.TOKENS: _tokens,
    What.EVENTS: _events,
    What.CHAT: _chat,
}
