"""Maintains the database file: statistics, integrity check, backup and vacuum.

Functions with their own connections, for the command line or a worker thread; other processes may use the file meanwhile.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from engine.atomic_write import replacing
from engine.errors import StoreError
from engine.pictures.stored import remove_unused
from engine.store.erase import empty_log
from engine.store.errors import REFUSED, UNREADABLE, StoreLockedError, TargetExistsError, explain
from engine.store.rows import moment
from engine.store.schema.migrations import version_of
from engine.store.sqlite.connect import open_reader, open_writer, wal_path
from engine.store.sqlite.header import FORMATS_AT, WITHOUT_LOG
from engine.store.sqlite.nameless import nameless
from engine.store.sqlite.pragmas import BALANCED, Profile
from engine.store.upkeep.in_use import refuse_open

BACKUP_PAGES = 256
"""Pages copied between two reports of progress: 1 MB."""

MOST_PROBLEMS = 100
"""Most problems listed by a check."""

TABLES = ("sessions", "messages", "turns", "samples", "events", "captures", "lab_runs", "processes")

Progress = Callable[[int, int], None]
"""Called with the amount done and the total; an exception that it raises ends the work."""


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """Contents and sizes of a database."""

    path: Path
    schema_version: int
    file_bytes: int
    log_bytes: int
    """Write-ahead log."""
    free_bytes: int
    """Free pages inside the file; a vacuum frees them."""
    rows: Mapping[str, int]
    table_bytes: Mapping[str, int] | None
    """Bytes of each table with its indexes; None when this SQLite can't report it."""
    oldest_ms: int | None
    newest_ms: int | None
    """When the first session was created and the last one changed, Unix time."""
    journal_mode: str
    """The file's journal mode: `wal` or `delete`."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of an integrity check."""

    problems: tuple[str, ...]
    """The problems that SQLite reports; empty if none."""

    @property
    def whole(self) -> bool:
        """Whether no problem was found."""
        return not self.problems


def stats(path: Path) -> DatabaseStats:
    """Count sizes and rows. Raises StoreError when the database can't be read."""
    with closing(open_reader(path)) as db:
        try:
            page_size = _number(db, "PRAGMA page_size")
            oldest, newest = db.execute(f"SELECT min({moment('created_ms')}), max({moment('updated_ms')}) FROM sessions").fetchone()
            return DatabaseStats(
                path=path,
                schema_version=version_of(db),
                file_bytes=_size(path),
                log_bytes=_size(wal_path(path)),
                free_bytes=_number(db, "PRAGMA freelist_count") * page_size,
                rows={table: _number(db, f"SELECT count(*) FROM {table}") for table in TABLES},
                table_bytes=_table_bytes(db),
                oldest_ms=oldest,
                newest_ms=newest,
                journal_mode=str(db.execute("PRAGMA journal_mode").fetchone()[0]),
            )
        except UNREADABLE as error:
            raise explain(error, path) from error


def check(path: Path, *, quick: bool = False) -> CheckReport:
    """Check for damage: pages, rows against indexes (not when `quick`), rows without their session, and the search index.

    Raises StoreError when the file can't be opened at all.
    """
    problems: list[str] = []
    with closing(open_reader(path)) as db:
        try:
            pragma = "quick_check" if quick else "integrity_check"
            problems += [text for (text,) in db.execute(f"PRAGMA {pragma} ({MOST_PROBLEMS})") if text != "ok"]
            problems += [f"{table}: row {row} belongs to no {parent}" for table, row, parent, _ in db.execute("PRAGMA foreign_key_check")]
        except sqlite3.DatabaseError as error:
            problems.append(str(error))
    if not problems and not quick and path.exists():
        problems += _check_search_index(path)
    return CheckReport(tuple(problems[:MOST_PROBLEMS]))


def backup(path: Path, target: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Path:
    """Copy a snapshot of the database, while others write to it, and return the absolute path of the copy.

    The copy is private to its owner, and appears only when complete.

    Raises:
        TargetExistsError: `target` exists, and `overwrite` is false.
        StoreError: The database can't be read, or the copy can't be written.
    """
    target = target.expanduser().absolute()
    if target.is_dir():
        raise StoreError(f"{target} is a folder", "A backup is one file.", f"Give the name of a file, such as {target / path.name}.")
    if target.exists() and not target.is_file():
        raise StoreError(f"{target} is not a regular file", "A backup replaces only a regular file.", "Give the name of a file.")
    if not overwrite and target.exists():
        raise TargetExistsError(target)
    if not path.exists():
        raise StoreError(f"{path} can't be copied", "The file does not exist.", "It is made when the first session is saved.")
    try:
        with replacing(target) as temporary, closing(open_reader(path)) as source, nameless(target.parent) as (copy, content):
            # Without a snapshot the copy would restart each time another process writes.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()
            source.backup(copy, pages=BACKUP_PAGES, progress=_pages_done(progress))
            with temporary.open("wb") as file:
                shutil.copyfileobj(content, file)
                # Without a log, so that the backup is a single file.
                file.seek(FORMATS_AT)
                file.write(WITHOUT_LOG)
    except REFUSED as error:
        raise explain(error, target) from error
    return target


def vacuum(path: Path, profile: Profile = BALANCED) -> tuple[int, int]:
    """Rewrite the file without its gaps; returns its size in bytes before and after. Needs the file's size in free disk space.

    Other processes may have it open: the file is not replaced, and their writes wait for the lock.

    Raises:
        StoreLockedError: Another program is writing for too long, or reads a database that has no write-ahead log.
        StoreError: There is not enough disk space.
    """
    with closing(open_writer(path, profile)) as db:
        try:
            empty_log(db)
            before = _size(path)
            db.execute("VACUUM")
            db.execute("PRAGMA optimize")
            empty_log(db)
            remove_unused(text for (text,) in db.execute("SELECT text FROM messages WHERE text LIKE '%[picture %'"))
            return before, _size(path)
        except UNREADABLE as error:
            refused = explain(error, path)
            if isinstance(refused, StoreLockedError):
                refuse_open(path, "vacuum")  # names the process
            raise refused from error


def _check_search_index(path: Path) -> list[str]:
    """Check the search index; that needs write access, so a read-only file is not checked."""
    try:
        with closing(open_writer(path)) as db:
            db.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
    except sqlite3.DatabaseError as error:
        return [f"The search index does not match the messages: {error}"]
    except StoreError:
        return []
    return []


def _table_bytes(db: sqlite3.Connection) -> Mapping[str, int] | None:
    try:
        rows = db.execute(
            "SELECT coalesce(m.tbl_name, d.name), sum(d.pgsize) FROM dbstat AS d LEFT JOIN sqlite_master AS m ON m.name = d.name "
            "WHERE d.aggregate = TRUE GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
    except sqlite3.OperationalError:
        return None
    sizes: dict[str, int] = {}
    for name, size in rows:
        table = "search index" if name.startswith("messages_fts") else name
        sizes[table] = sizes.get(table, 0) + size
    return sizes


def _pages_done(progress: Progress | None) -> Callable[[int, int, int], object] | None:
    return None if progress is None else lambda _, left, total: progress(total - left, total)


def _number(db: sqlite3.Connection, query: str) -> int:
    return int(db.execute(query).fetchone()[0])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
