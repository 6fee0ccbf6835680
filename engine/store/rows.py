"""Converts records to rows and back. Only this file knows the order of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from msgspec import convert

from engine.backend import StopReason
from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import logged_figures
from engine.records import Message, Sample, SessionInfo, TurnRecord
from engine.store.errors import damaged_row
from engine.store.token_blob import pack_ids, pack_times, unpack_ids, unpack_times
from engine.text import storable
from engine.timings import Timings

Row = Sequence[Any]

MESSAGE_COLUMNS = ("id", "session_id", "parent_id", "role", "text", "thinking", "status", "created_ms", "tokens", "tokens_of")

_TURN_FIELDS = tuple(field.name for field in fields(TurnRecord) if field.name not in {"timings", "token_ns"})
_TIMING_FIELDS = tuple(field.name for field in fields(Timings))
TURN_COLUMNS = (*_TURN_FIELDS, *_TIMING_FIELDS, "token_times")

SAMPLE_COLUMNS = ("wall_ms", "session_id", "turn_id", *(figure.column_name for figure in logged_figures(FIGURES)))
EVENT_COLUMNS = ("wall_ms", "session_id", "turn_id", "kind", "text")


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event on the time line: a preset change, a stall, a capture, an alert."""

    wall_ms: int
    session_id: int | None
    turn_id: int | None
    kind: str
    text: str


def message_row(session_id: int, message: Message) -> Row:
    """Convert a message to a row, in the order of MESSAGE_COLUMNS."""
    return (
        message.id,
        session_id,
        message.parent_id,
        message.role.value,
        storable(message.text),
        storable(message.thinking),
        message.status.value,
        message.created_ms,
        None if message.tokens is None else pack_ids(message.tokens),
        message.tokens_of,
    )


def message_of(row: Row) -> Message:
    """Convert a row in the order of MESSAGE_COLUMNS to a message. Raises StoreDamagedError when a value has the wrong type."""
    values = dict(zip(MESSAGE_COLUMNS, row, strict=True))
    tokens = values.pop("tokens")
    try:
        return replace(convert(values, Message), tokens=None if tokens is None else unpack_ids(tokens))
    except (TypeError, ValueError) as error:
        raise damaged_row("Message", row[0], error) from error


def turn_row(turn: TurnRecord) -> Row:
    """Convert a turn to a row, in the order of TURN_COLUMNS."""
    return (
        *(_plain(getattr(turn, name)) for name in _TURN_FIELDS),
        *(getattr(turn.timings, name) for name in _TIMING_FIELDS),
        pack_times(turn.token_ns),
    )


def turn_of(row: Row) -> TurnRecord:
    """Convert a row in the order of TURN_COLUMNS to a turn. Raises StoreDamagedError when a value has the wrong type."""
    values = dict(zip(TURN_COLUMNS, row, strict=True))
    values["timings"] = {name: values.pop(name) for name in _TIMING_FIELDS}
    values["judged"] = bool(values["judged"])
    times, values["token_ns"] = values.pop("token_times"), ()
    try:
        return replace(convert(values, TurnRecord), token_ns=unpack_times(times))
    except (TypeError, ValueError) as error:
        raise damaged_row("Turn", row[0], error) from error


def sample_row(sample: Sample, columns: Sequence[str] = SAMPLE_COLUMNS) -> Row:
    """Convert a sample to a row, in the order of `columns`, which begin with SAMPLE_COLUMNS."""
    return (sample.wall_ms, sample.session_id, sample.turn_id, *(sample.figures.get(name) for name in columns[3:]))


def event_row(event: LoggedEvent) -> Row:
    """Convert an event to a row, in the order of EVENT_COLUMNS."""
    return (event.wall_ms, event.session_id, event.turn_id, storable(event.kind), storable(event.text))


LATEST_MS = 253_402_214_400_000
"""The last day of the year 9999: `datetime` can't show a later one in every time zone."""


def moment(column: str) -> str:
    """Return SQL for a Unix time in milliseconds that is 0 where a damaged row has none."""
    return f"CASE WHEN typeof({column}) = 'integer' AND {column} BETWEEN 0 AND {LATEST_MS} THEN {column} ELSE 0 END"


def _text(column: str, default: str = "NULL") -> str:
    return f"CASE WHEN typeof({column}) = 'text' THEN {column} ELSE {default} END"


SESSION_COLUMNS = f"""
    s.id, {_text("s.title", "'damaged'")}, {moment("s.created_ms")}, {moment("s.updated_ms")}, s.head_id,
    {_text("t.model")}, {_text("t.quant")}, {_text("t.preset")},
    (SELECT count(*) FROM messages AS m WHERE m.session_id = s.id),
    (SELECT count(*) FROM turns AS n WHERE n.session_id = s.id),
    s.pinned, s.interrupted
"""
"""The fields of SessionInfo in their order, from `sessions AS s` and the last turn as `turns AS t`.

A damaged row is listed as the oldest.
"""

_SESSION_FIELDS = tuple(field.name for field in fields(SessionInfo))


def session_of(row: Row) -> SessionInfo:
    """Convert a row in the order of SESSION_COLUMNS to a session."""
    values = dict(zip(_SESSION_FIELDS, row, strict=True))
    return SessionInfo(**values | {"pinned": bool(values["pinned"]), "interrupted": bool(values["interrupted"])})


def _plain(value: object) -> object:
    if isinstance(value, StopReason):
        return value.value
    return storable(value) if isinstance(value, str) else value


def insert(table: str, columns: Sequence[str], suffix: str = "") -> str:
    """Return an INSERT statement with a placeholder for each column."""
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) {suffix}"


def upsert(table: str, columns: Sequence[str]) -> str:
    """Return an INSERT that overwrites the row with the same id, so that saving is idempotent.

    A row of another session is never overwritten; then no row changes.
    """
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name != "id")
    return insert(table, columns, f"ON CONFLICT (id) DO UPDATE SET {changes} WHERE session_id = excluded.session_id")
