"""Stores captures of the profiler: rows of measurements, and their packed stacks.

Blocking functions, each with its own connection, for a worker thread or the command line, since a capture of some hundred kilobytes must
not delay the writer of turns.
"""

from __future__ import annotations

import sqlite3
import sys
import zlib
from array import array
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from engine.errors import CaptureError, StoreError, UsageError
from engine.profiling.records import CaptureMode, CaptureRecord, Overhead, ThreadLane
from engine.profiling.stacks import MAX_BYTES, FoldedStacks, parse_folded
from engine.store.errors import UNREADABLE, explain
from engine.store.rows import insert
from engine.store.sqlite.connect import open_reader, open_writer
from engine.store.sqlite.transaction import transaction

NOISE = "capture"
"""`TurnRecord.noisy` of a turn during which a capture ran."""

_PLAIN = ("started_ms", "seconds", "rate", "samples", "failures", "behind_s", "turn_id", "model", "quant", "preset", "tokens", "looks")
_OVERHEAD = ("sampler_cpu_pct", "speed_outside", "speed_during")
_JSON: dict[str, Any] = {"notes": tuple[str, ...], "lanes": tuple[ThreadLane, ...]}
_COLUMNS = (*_PLAIN, "mode", *_OVERHEAD, *_JSON)
_SELECT = f"SELECT id, {', '.join(_COLUMNS)}"
_NO_STACKS = FoldedStacks((), ())

Result = TypeVar("Result")


def save_capture(path: Path, capture: CaptureRecord) -> int:
    """Save a capture into the database at `path`, mark its turn as noisy, and return its id.

    Raises StoreError when the database can't be written; nothing of it was saved.
    """
    values = (
        *(getattr(capture, name) for name in _PLAIN),
        capture.mode,
        *(getattr(capture.overhead, name) for name in _OVERHEAD),
        *(msgspec.json.encode(getattr(capture, name)).decode() for name in _JSON),
    )
    folded, runs = zlib.compress(capture.stacks.text().encode()), zlib.compress(_pack_runs(capture.stacks.runs))

    def save(db: sqlite3.Connection) -> int:
        with transaction(db):
            capture_id = db.execute(insert("captures", _COLUMNS), values).lastrowid
            db.execute("INSERT INTO capture_stacks (capture_id, folded, runs) VALUES (?, ?, ?)", (capture_id, folded, runs))
            _flag(db, capture.turn_id)
        assert capture_id is not None
        return capture_id

    return _on(open_writer, path, save)


def flag_turn(path: Path, turn_id: int) -> None:
    """Mark a turn as noisy because a capture ran, although the capture was not saved.

    Raises StoreError when the database can't be written.
    """

    def flag(db: sqlite3.Connection) -> None:
        with transaction(db):
            _flag(db, turn_id)

    _on(open_writer, path, flag)


def _flag(db: sqlite3.Connection, turn_id: int | None) -> None:
    db.execute("UPDATE turns SET judged = 1, noisy = ? || coalesce('; ' || noisy, '') WHERE id = ?", (NOISE, turn_id))


def list_captures(path: Path, limit: int = 200) -> tuple[CaptureRecord, ...]:
    """List the captures, newest first, without their stacks."""

    def read(db: sqlite3.Connection) -> tuple[CaptureRecord, ...]:
        rows = db.execute(f"{_SELECT} FROM captures ORDER BY id DESC LIMIT ?", (limit,))
        return tuple(_record(row, _NO_STACKS) for row in rows)

    return _on(open_reader, path, read)


def load_capture(path: Path, capture_id: int) -> CaptureRecord:
    """Load a capture with its stacks.

    Raises:
        UsageError: There is none with this id.
        CaptureError: Its stacks are damaged.
        StoreError: The database can't be read.
    """

    def read(db: sqlite3.Connection) -> tuple[Any, ...] | None:
        query = f"{_SELECT}, folded, runs FROM captures JOIN capture_stacks ON capture_id = id WHERE id = ?"
        return db.execute(query, (capture_id,)).fetchone()  # type: ignore[no-any-return]

    row = _on(open_reader, path, read)
    if row is None:
        raise _missing(capture_id)
    return _record(row[:-2], _stacks(capture_id, row[-2], row[-1]))


def delete_capture(path: Path, capture_id: int) -> None:
    """Delete a capture with its stacks; raises UsageError when there is none with this id."""

    def delete(db: sqlite3.Connection) -> int:
        with transaction(db):
            db.execute("DELETE FROM capture_stacks WHERE capture_id = ?", (capture_id,))
            return db.execute("DELETE FROM captures WHERE id = ?", (capture_id,)).rowcount

    if not _on(open_writer, path, delete):
        raise _missing(capture_id)


def _on(connect: Callable[[Path], sqlite3.Connection], path: Path, job: Callable[[sqlite3.Connection], Result]) -> Result:
    with closing(connect(path)) as db:
        try:
            return job(db)
        except UNREADABLE as error:
            raise explain(error, path) from error


def _missing(capture_id: int) -> UsageError:
    return UsageError(f"There is no capture {capture_id}", "", "`xchat profile list` shows them.")


def _record(row: tuple[Any, ...], stacks: FoldedStacks) -> CaptureRecord:
    values = dict(zip(("id", *_COLUMNS), row, strict=True))
    try:
        mode, overhead = CaptureMode(values.pop("mode")), Overhead(*(values.pop(name) for name in _OVERHEAD))
        decoded = {name: msgspec.json.decode(values.pop(name), type=kind) for name, kind in _JSON.items()}
        return CaptureRecord(**values, **decoded, mode=mode, overhead=overhead, stacks=stacks)
    except (ValueError, msgspec.MsgspecError) as error:
        raise StoreError(f"Capture {row[0]} can't be read", str(error), "`xchat db check` looks for damage.") from error


def _stacks(capture_id: int, folded: bytes, runs: bytes) -> FoldedStacks:
    try:
        # Parsed as untrusted, since databases are copied between machines.
        stacks = parse_folded(_unpack(folded).splitlines())
        order = _unpack_runs(_unpack(runs))
    except zlib.error as error:
        raise CaptureError(f"The stacks of capture {capture_id} are damaged", str(error)) from error
    if order and max(index for index, _ in order) >= len(stacks.stacks):
        order = ()
    return FoldedStacks(stacks.stacks, stacks.counts, order, stacks.malformed)


def _unpack(blob: bytes) -> bytes:
    """Unpack at most MAX_BYTES, since a few kilobytes may unpack to gigabytes."""
    return zlib.decompressobj().decompress(blob, MAX_BYTES)


def _pack_runs(runs: tuple[tuple[int, int], ...]) -> bytes:
    """Pack pairs of 32-bit numbers, least significant byte first."""
    values = array("I", (value for run in runs for value in run))
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _unpack_runs(packed: bytes) -> tuple[tuple[int, int], ...]:
    values = array("I")
    values.frombytes(packed[: len(packed) // 8 * 8])
    if sys.byteorder == "big":
        values.byteswap()
    return tuple(zip(values[::2], values[1::2], strict=True))
