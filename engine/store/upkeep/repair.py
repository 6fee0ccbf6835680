"""Repairs a damaged file: saves its readable parts into a new one, and reports the rest."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from engine.errors import StoreError, UsageError
from engine.store.errors import REFUSED, UNREADABLE, explain
from engine.store.schema.migrations import VERSION
from engine.store.sqlite.connect import has_log, open_writer, wal_path
from engine.store.sqlite.header import PAGE_SIZE, is_sound, looks_like_ours, made_anew
from engine.store.sqlite.nameless import nameless
from engine.store.sqlite.transaction import transaction
from engine.store.upkeep.in_use import refuse_open

ORDER = ("processes", "sessions", "messages", "turns", "samples", "events", "captures", "capture_stacks", "lab_runs")
"""Tables in the order of copying: referenced ones first."""

MOST_ATTEMPTS = 2_000
"""Most ranges tried in a table; damage is a few pages, or everything."""

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class TableReport:
    """The result for one table."""

    name: str
    saved: int
    refused: int
    """Readable rows with invalid values."""
    unreadable: tuple[str, ...]
    """The unreadable places, in sentences."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The result of a repair."""

    target: Path
    tables: tuple[TableReport, ...]
    adopted_sessions: int
    """Sessions recreated for messages whose session was lost."""

    @property
    def complete(self) -> bool:
        """Whether everything could be read."""
        return not self.adopted_sessions and not any(table.refused or table.unreadable for table in self.tables)


def repair(path: Path, target: Path) -> RepairReport:
    """Save the readable parts of the database at `path` into a new one at `target`. The damaged file is only read.

    Raises:
        UsageError: `target` exists.
        StoreError: Nothing can be read, or the new file can't be written.
    """
    target = target.expanduser().absolute()
    if target.exists():
        raise UsageError(f"{target} exists already", "", "Give another name.")
    with _open_damaged(path, target.parent) as (source, without_log):
        try:
            with closing(open_writer(target)) as db:
                db.execute("PRAGMA foreign_keys = OFF")
                tables = tuple(_salvage(source, db, name) for name in ORDER)
                if without_log:
                    tables += (TableReport("the last writes", 0, 0, ("The write-ahead log does not match the new header.",)),)
                adopted = _adopt_orphans(db)
        except UNREADABLE as error:
            raise explain(error, target) from error
    return RepairReport(target, tables, adopted)


def put_in_place(path: Path, repaired: Path) -> Path:
    """Rename the damaged file and put the repaired one in its place; returns the new path of the damaged one.

    Raises:
        StoreLockedError: A program has the file open.
        StoreError: A file can't be renamed.
    """
    refuse_open(path, "repair")
    aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    try:
        os.replace(path, aside)
        # The old log would be replayed into the new file if it kept its place.
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        os.replace(repaired, path)
        with suppress(FileNotFoundError):
            os.replace(wal_path(repaired), wal_path(path))
    except OSError as error:
        raise explain(error, path) from error
    return aside


@contextmanager
def _open_damaged(path: Path, folder: Path) -> Iterator[tuple[sqlite3.Connection, bool]]:
    """Open the database at `path` for reading; when its header is damaged, a copy in `folder` with a new one.

    Also yields whether a write-ahead log is left out.
    """
    if not path.is_file():
        raise StoreError(f"{path} can't be repaired", "The file does not exist.", "`xchat locate db` shows where the database is.")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("rb"))
            sound = is_sound(file.read(PAGE_SIZE)) or not looks_like_ours(path)
            if sound:
                uri = f"{path.absolute().as_uri()}?mode=ro"
                db = opened.enter_context(closing(sqlite3.connect(uri, uri=True, isolation_level=None)))
            else:
                db, copy = opened.enter_context(nameless(folder))
                file.seek(0)
                shutil.copyfileobj(file, copy)
                size = copy.tell()
                copy.seek(0)
                copy.write(made_anew(size, VERSION))
                copy.flush()
            _check_pages(db)
        except REFUSED as error:
            raise explain(error, path) from error
        yield db, not sound and has_log(path)


def _check_pages(db: sqlite3.Connection) -> None:
    # Otherwise SQLite refuses a file that is shorter than its header says.
    db.execute("PRAGMA writable_schema = ON")
    # Check the cells of each page, so that a broken page is an error and never a wrong row.
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")


def _salvage(source: sqlite3.Connection, db: sqlite3.Connection, name: str) -> TableReport:
    columns = [column for column in _columns(db, name) if column in _columns(source, name)]
    if not columns:
        return TableReport(name, 0, 0, ("The table is missing.",))
    insert = f"INSERT OR IGNORE INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    unreadable: list[str] = []
    saved = refused = 0
    with transaction(db):
        for row in _readable(source, name, columns, unreadable):
            try:
                taken = db.execute(insert, row).rowcount > 0
            except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError):
                taken = False
            saved += taken
            refused += not taken
    return TableReport(name, saved, refused, tuple(unreadable))


def _readable(source: sqlite3.Connection, name: str, columns: Sequence[str], unreadable: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield every readable row.

    A range of ids is read from both ends until reading fails; the range between the failures is halved, the widest first, because the
    damage may be two pages with good ones between them.
    """
    query = f"SELECT rowid, {', '.join(columns)} FROM {name} WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
    stretches = [(0, _LOWEST, _HIGHEST)]
    holes: list[tuple[int, int, str]] = []
    for _ in range(MOST_ATTEMPTS):
        if not stretches:
            break
        _, low, high = heappop(stretches)
        try:
            for rowid, *row in source.execute(query, (low, high)):
                yield tuple(row)
                low = rowid + 1
            continue
        except sqlite3.DatabaseError as error:
            reason = str(error)
        with suppress(sqlite3.DatabaseError):
            for rowid, *row in source.execute(f"{query} DESC", (low, high)):
                yield tuple(row)
                high = rowid - 1
        if low >= high:
            # Reading from both ends may have covered every row; the damaged page was then at the boundary.
            holes += [(low, high, reason)] * (low == high)
            continue
        middle = (low + high) // 2
        for start, end in ((low, middle), (middle + 1, high)):
            heappush(stretches, (start - end, start, end))
    unreadable += _described([*holes, *((low, high, "too damaged") for _, low, high in stretches)])


def _described(holes: list[tuple[int, int, str]]) -> list[str]:
    """Describe unreadable ranges, neighbouring ones joined."""
    merged: list[tuple[int, int, str]] = []
    for low, high, reason in sorted(holes):
        if merged and merged[-1][1] + 1 >= low:
            merged[-1] = (merged[-1][0], high, merged[-1][2])
        else:
            merged.append((low, high, reason))
    return [f"Rows with ids from {low} to {high}: {reason}." for low, high, reason in merged]


def _columns(db: sqlite3.Connection, name: str) -> list[str]:
    try:
        return [row[1] for row in db.execute(f"PRAGMA table_info ({name})")]
    except sqlite3.DatabaseError:
        return []


def _adopt_orphans(db: sqlite3.Connection) -> int:
    """Recreate lost sessions of messages with their old ids, and drop figures without a session."""
    with transaction(db):
        adopted = db.execute(
            "INSERT INTO sessions (id, title, created_ms, updated_ms, head_id) "
            "SELECT session_id, 'Recovered session ' || session_id, min(created_ms), max(created_ms), max(id) FROM messages "
            "WHERE session_id NOT IN (SELECT id FROM sessions) GROUP BY session_id"
        ).rowcount
        for table in ("turns", "samples", "events"):
            db.execute(f"DELETE FROM {table} WHERE session_id IS NOT NULL AND session_id NOT IN (SELECT id FROM sessions)")
        db.execute("UPDATE turns SET process_id = NULL WHERE process_id NOT IN (SELECT id FROM processes)")
        db.execute("UPDATE sessions SET answering_process = NULL")
    return adopted
