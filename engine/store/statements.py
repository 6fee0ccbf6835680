"""Write statements as functions on a connection; the caller's transaction commits."""

from __future__ import annotations

import sqlite3
from dataclasses import astuple

from engine.clock import wall_ms
from engine.errors import StoreError
from engine.records import Message, TurnRecord
from engine.store.batch import Batch
from engine.store.errors import session_missing
from engine.store.host import Host, ProcessIdentity
from engine.store.rows import (
    EVENT_COLUMNS,
    MESSAGE_COLUMNS,
    SAMPLE_COLUMNS,
    TURN_COLUMNS,
    event_row,
    insert,
    message_row,
    sample_row,
    turn_row,
    upsert,
)
from engine.text import clean_title

_PROCESS_COLUMNS = (
    "pid, boot_id, process_started, started_ms, host, kernel, cpu, cpu_flags, cores, memory_bytes, xchat_version, llama_cpp_version"
)

_SAVE_MESSAGE = upsert("messages", MESSAGE_COLUMNS)
_ADD_MESSAGE = insert("messages", MESSAGE_COLUMNS)
_SAVE_TURN = upsert("turns", (*TURN_COLUMNS, "process_id"))


def _insert_if_session(table: str, columns: tuple[str, ...]) -> str:
    """Return an INSERT that skips rows of a session that another xchat has deleted."""
    places = ", ".join(f"?{index + 1}" for index in range(len(columns)))
    session = f"?{columns.index('session_id') + 1}"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {places} "
        f"WHERE {session} IS NULL OR EXISTS (SELECT 1 FROM sessions WHERE id = {session})"
    )


_SAVE_SAMPLE = _insert_if_session("samples", SAMPLE_COLUMNS)
_SAVE_EVENT = _insert_if_session("events", EVENT_COLUMNS)


def register_process(db: sqlite3.Connection, identity: ProcessIdentity, host: Host) -> int:
    """Register this process as a writer; return its row id."""
    values = (identity.pid, identity.boot_id, identity.started, wall_ms(), *astuple(host))
    cursor = db.execute(f"INSERT INTO processes ({_PROCESS_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)
    return int(cursor.lastrowid or 0)


def settle_dead_processes(db: sqlite3.Connection) -> tuple[bool, tuple[int, ...]]:
    """Find processes that ended without a clean exit, and mark the sessions they were answering in as interrupted.

    Returns whether there were any, and those sessions.
    """
    open_rows = db.execute("SELECT id, pid, boot_id, process_started FROM processes WHERE ended_ms IS NULL").fetchall()
    dead = [row_id for row_id, *identity in open_rows if not ProcessIdentity(*identity).alive()]
    interrupted: list[int] = []
    for row_id in dead:
        interrupted += [
            session_id
            for (session_id,) in db.execute(
                "UPDATE sessions SET interrupted = 1, answering_process = NULL WHERE answering_process = ? RETURNING id", (row_id,)
            ).fetchall()
        ]
        _end_process(db, row_id)
    return bool(dead), tuple(sorted(interrupted))


def leave_process(db: sqlite3.Connection, process_id: int) -> None:
    """Record the clean end of this process."""
    db.execute("UPDATE sessions SET answering_process = NULL WHERE answering_process = ?", (process_id,))
    _end_process(db, process_id)


def count_commit(db: sqlite3.Connection, process_id: int) -> None:
    """Count a commit of this process."""
    db.execute("UPDATE processes SET commits = commits + 1 WHERE id = ?", (process_id,))


def _end_process(db: sqlite3.Connection, process_id: int) -> None:
    db.execute("UPDATE processes SET ended_ms = ? WHERE id = ?", (wall_ms(), process_id))


def describe_engine(db: sqlite3.Connection, process_id: int, llama_cpp_version: str) -> None:
    """Set the version of the native library."""
    db.execute("UPDATE processes SET llama_cpp_version = ? WHERE id = ?", (llama_cpp_version, process_id))


def insert_session(db: sqlite3.Connection, title: str, created_ms: int) -> int:
    """Insert an empty session; return its id."""
    values = (clean_title(title), created_ms, created_ms)
    return int(db.execute("INSERT INTO sessions (title, created_ms, updated_ms) VALUES (?, ?, ?)", values).lastrowid or 0)


def upsert_message(db: sqlite3.Connection, session_id: int, message: Message) -> None:
    """Insert or update a message."""
    _touch(db, session_id, message)
    if not db.execute(_SAVE_MESSAGE, message_row(session_id, message)).rowcount:
        detail = "A message of another session has the same id."
        taken = StoreError(f"Message {message.id} can't be saved", detail, "Send the message again.")
        raise taken from sqlite3.IntegrityError("messages.id")  # a retry would not help


def insert_message(db: sqlite3.Connection, session_id: int, message: Message) -> None:
    """Insert a message."""
    _touch(db, session_id, message)
    db.execute(_ADD_MESSAGE, message_row(session_id, message))


def upsert_turn(db: sqlite3.Connection, turn: TurnRecord, answer: Message, process_id: int | None) -> None:
    """Save a finished turn with its answer; clear the marks that the session is being answered or was interrupted."""
    if turn.session_id is None:
        raise session_missing(None)
    upsert_message(db, turn.session_id, answer)
    db.execute(_SAVE_TURN, (*turn_row(turn), process_id))
    db.execute("UPDATE sessions SET answering_process = NULL, interrupted = 0 WHERE id = ?", (turn.session_id,))


def mark_answering(db: sqlite3.Connection, session_id: int, process_id: int | None) -> None:
    """Set the process that is answering in a session; None when none is."""
    update_session(db, session_id, "answering_process", process_id)


def update_session(db: sqlite3.Connection, session_id: int, column: str, value: str | int | None) -> None:
    """Change one column of a session's row. Raises SessionMissingError when there is no such session."""
    if not db.execute(f"UPDATE sessions SET {column} = ? WHERE id = ?", (value, session_id)).rowcount:
        raise session_missing(session_id)


def insert_batch(db: sqlite3.Connection, batch: Batch) -> None:
    """Insert samples and events, without those of deleted sessions."""
    db.executemany(_SAVE_SAMPLE, [sample_row(sample) for sample in batch.samples])
    db.executemany(_SAVE_EVENT, [event_row(event) for event in batch.events])


def _touch(db: sqlite3.Connection, session_id: int, message: Message) -> None:
    changed = db.execute(
        "UPDATE sessions SET updated_ms = max(updated_ms, ?), head_id = ? WHERE id = ?", (message.created_ms, message.id, session_id)
    )
    if not changed.rowcount:
        raise session_missing(session_id)
