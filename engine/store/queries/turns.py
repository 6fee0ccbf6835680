"""Queries of turns and their machines."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from engine.records import TurnRecord
from engine.store.host import Host
from engine.store.rows import TURN_COLUMNS, turn_of


@dataclass(frozen=True, slots=True)
class Variant:
    """A quant of a model under a preset with a number of decode threads, and its number of turns."""

    quant: str
    preset: str
    threads: int
    turns: int


def turns_of(db: sqlite3.Connection, session_id: int) -> tuple[TurnRecord, ...]:
    """Return all turns of a session, oldest first."""
    rows = db.execute(f"SELECT {', '.join(TURN_COLUMNS)} FROM turns WHERE session_id = ? ORDER BY id", (session_id,))
    return tuple(turn_of(row) for row in rows)


def turns_between(db: sqlite3.Connection, begin_ms: int, end_ms: int) -> tuple[TurnRecord, ...]:
    """Return all turns that began in this span of Unix time, oldest first."""
    rows = db.execute(
        f"SELECT {', '.join(TURN_COLUMNS)} FROM turns WHERE started_ms >= ? AND started_ms < ? ORDER BY id", (begin_ms, end_ms)
    )
    return tuple(turn_of(row) for row in rows)


def major_faults_of(db: sqlite3.Connection, turn_ids: Sequence[int]) -> dict[int, float]:
    """Return the sampled page faults of each turn that waited for the disk."""
    marks = ", ".join("?" * len(turn_ids))
    rows = db.execute(
        f"SELECT turn_id, sum(major_faults) FROM samples WHERE turn_id IN ({marks}) AND major_faults > 0 GROUP BY turn_id", tuple(turn_ids)
    )
    return dict(rows.fetchall())


def variants_of(db: sqlite3.Connection, model: str) -> tuple[Variant, ...]:
    """Return the quants, presets and threads of a model's turns, most used first."""
    rows = db.execute(
        "SELECT quant, preset, threads, count(*) FROM turns WHERE model = ? GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3", (model,)
    )
    return tuple(Variant(*row) for row in rows)


def turns_of_variant(db: sqlite3.Connection, model: str, variant: Variant, limit: int = 200) -> tuple[TurnRecord, ...]:
    """Return the last `limit` turns of a model with a quant, a preset and a number of threads, in any session, oldest first."""
    rows = db.execute(
        f"SELECT {', '.join(TURN_COLUMNS)} FROM turns WHERE (model, quant, preset, threads) = (?, ?, ?, ?) ORDER BY id DESC LIMIT ?",
        (model, variant.quant, variant.preset, variant.threads, limit),
    )
    return tuple(reversed([turn_of(row) for row in rows]))


def clean_history(db: sqlite3.Connection, turn: TurnRecord, host: str, limit: int) -> tuple[TurnRecord, ...]:
    """Return the last `limit` turns of the same model file, quant and preset on that host before `turn`, newest first.

    Only clean turns, and those with an estimate of their undisturbed speed.
    """
    columns = ", ".join(f"t.{name}" for name in TURN_COLUMNS)
    rows = db.execute(
        f"""
        SELECT {columns} FROM turns AS t JOIN processes AS p ON p.id = t.process_id
        WHERE t.model = ? AND t.quant = ? AND t.preset = ? AND t.model_fingerprint = ? AND p.host = ?
            AND t.id < ? AND t.judged AND (t.noisy IS NULL OR t.quiet_per_second IS NOT NULL) AND t.stop_reason <> 'error'
        ORDER BY t.id DESC LIMIT ?
        """,
        (turn.model, turn.quant, turn.preset, turn.model_fingerprint, host, turn.id, limit),
    )
    return tuple(turn_of(row) for row in rows)


def host_of_turn(db: sqlite3.Connection, turn_id: int) -> Host | None:
    """Return the machine and versions of a turn; None when unknown."""
    row = db.execute(
        "SELECT p.host, p.kernel, p.cpu, p.cpu_flags, p.cores, p.memory_bytes, p.xchat_version, p.llama_cpp_version "
        "FROM turns AS t JOIN processes AS p ON p.id = t.process_id WHERE t.id = ?",
        (turn_id,),
    ).fetchone()
    return Host(*row) if row else None
