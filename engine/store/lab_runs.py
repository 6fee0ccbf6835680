"""Stores runs of the laboratory: functions with their own connections, for a worker thread or the command line."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from engine.errors import StoreError, UsageError
from engine.store.errors import explain
from engine.store.host import Host
from engine.store.sqlite.connect import open_reader, open_writer
from engine.store.sqlite.transaction import transaction
from engine.text import storable

_OWN: Final = ("started_ms", "seconds", "kind", "title", "verdict", "model", "disturbed", "command")
_COLUMNS: Final = f"id, {', '.join(_OWN)}, host, kernel, cpu, cores, memory_bytes, xchat_version, llama_cpp_version, facts"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class LabRun:
    """One measurement of the laboratory."""

    started_ms: int
    seconds: float
    kind: str
    """`bench`, `race`, `tune`, `quality` or `family`."""
    title: str
    verdict: str
    """The result in a sentence; may be empty."""
    model: str
    disturbed: float | None
    """Mean share of the time that other programs took; None where the kernel does not report it."""
    command: str
    """The command line that repeats the run."""
    facts: dict[str, Any]
    """All figures as JSON values; those that are not finite are null."""
    host: Host
    id: int | None = None


def save_run(path: Path, run: LabRun) -> int:
    """Save a run into the database at `path`; returns its id.

    Raises:
        StoreError: The database can't be written.
    """
    host = run.host
    facts = storable(json.dumps(_finite(msgspec.to_builtins(run.facts)), ensure_ascii=False))
    values_of_run = (getattr(run, name) for name in _OWN)
    told = (storable(value) if isinstance(value, str) else value for value in values_of_run)
    machine = (host.name, host.kernel, host.cpu, host.cores, host.memory_bytes, host.xchat_version, host.llama_cpp_version)

    def save(db: sqlite3.Connection) -> int:
        with transaction(db):
            values = (None, *told, *machine, facts)
            saved = db.execute(f"INSERT INTO lab_runs ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values).lastrowid
        assert saved is not None
        return saved

    return _on(open_writer, path, save)


def list_runs(path: Path, limit: int = 200) -> tuple[LabRun, ...]:
    """List the runs, newest first; none where the database is older than the laboratory."""

    def read(db: sqlite3.Connection) -> tuple[LabRun, ...]:
        return tuple(map(_run, db.execute(f"SELECT {_COLUMNS} FROM lab_runs ORDER BY id DESC LIMIT ?", (limit,)))) if _there(db) else ()

    return _on(open_reader, path, read)


def known_runs(path: Path) -> tuple[LabRun, ...]:
    """List the runs, newest first; none where the database is missing or can't be read."""
    try:
        return list_runs(path) if path.exists() else ()
    except StoreError:
        return ()


def load_run(path: Path, run_id: int) -> LabRun:
    """Load a run. Raises UsageError when there is none with this id."""

    def read(db: sqlite3.Connection) -> Any:
        return db.execute(f"SELECT {_COLUMNS} FROM lab_runs WHERE id = ?", (run_id,)).fetchone() if _there(db) else None

    row = _on(open_reader, path, read)
    if row is None:
        raise _missing(run_id)
    return _run(row)


def delete_run(path: Path, run_id: int) -> None:
    """Delete one run; raises UsageError when there is none with this id."""

    def delete(db: sqlite3.Connection) -> int:
        with transaction(db):
            return db.execute("DELETE FROM lab_runs WHERE id = ?", (run_id,)).rowcount

    if not _on(open_writer, path, delete):
        raise _missing(run_id)


def _finite(value: Any) -> Any:
    """Replace numbers that are not finite with null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _there(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lab_runs'").fetchone() is not None


def _on(connect: Callable[[Path], sqlite3.Connection], path: Path, job: Callable[[sqlite3.Connection], Result]) -> Result:
    with closing(connect(path)) as db:
        try:
            return job(db)
        except sqlite3.Error as error:
            raise explain(error, path) from error


def _missing(run_id: int) -> UsageError:
    return UsageError(f"There is no run {run_id}", "", "`xchat runs list` shows them.")


def _run(row: tuple[Any, ...]) -> LabRun:
    run_id, *told, name, kernel, cpu, cores, memory, xchat, llama, facts = row
    try:
        decoded = msgspec.json.decode(facts, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise StoreError(f"Run {run_id} can't be read", str(error), "`xchat db check` looks for damage.") from error
    host = Host(name, kernel, cpu, "", cores, memory, xchat, llama)
    return LabRun(**dict(zip(_OWN, told, strict=True)), facts=decoded, host=host, id=run_id)
