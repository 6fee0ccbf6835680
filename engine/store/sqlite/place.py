"""Notices that the file at a path is no longer the one that was opened: another one has its name, or its content was overwritten.

SQLite does not notice the second. With a write-ahead log it takes for granted that only checkpoints change the file, and would write pages
of the old content over the new one. Checkpoints never take a row away from `processes`, and never lower its counts of commits.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from engine.atomic_write import replacing
from engine.store.errors import overwritten, swapped
from engine.store.sqlite.header import looks_like_ours

SETTLED_S = 1.0
"""Overwritten content counts as complete when it has not changed for so long."""

NEAR = 50
"""Processes before the newest one whose commits are counted too: those that may still be running."""


@dataclass(frozen=True, slots=True)
class _State:
    """Tells one content of a file from another."""

    device: int
    inode: int
    modified_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class _Marker:
    """What a later content of the same database must have."""

    process_id: int
    process_started: float
    started_ms: int
    commits: int
    """Of this process and the NEAR ones before it and all after it."""


class Place:
    """A database file at its path. Use it on the thread of its connection."""

    def __init__(self, path: Path) -> None:
        """Remember the file that is there now, which the connection has opened."""
        self._path = path
        self._state = _state_of(path)
        self._marker = _newest_marker(path)
        self._strange: tuple[_State, float] | None = None
        """The content that overwrote the file, and since when it is there (monotonic seconds)."""

    @property
    def marked(self) -> bool:
        """Whether overwriting is noticed; not while the rows of a new database are only in its log."""
        return self._marker is not None or self._state is None

    def check(self) -> None:
        """Raise StoreSwappedError when the connection's file is not at the path any more, and StoreError while it is being overwritten.

        What overwrote it gets a file of its own, without the old log, so that it can be opened as another database.
        """
        now = _state_of(self._path)
        if self._state == now:
            return
        if now is None or self._is_moved(now):
            raise swapped(self._path)
        if self._is_ours():
            self._state, self._strange = now, None
            return
        if self._strange is None or self._strange[0] != now:
            self._strange = now, time.monotonic()
        if time.monotonic() - self._strange[1] < SETTLED_S:
            raise overwritten(self._path)
        with replacing(self._path) as own:
            shutil.copyfile(self._path, own)
            if _state_of(self._path) != now:
                raise overwritten(self._path)
            self._discard_log()
        raise swapped(self._path)

    def abandon(self, db: sqlite3.Connection) -> bool:
        """Keep a connection to an overwritten file open until the process ends, since closing it would write its log into the new content.

        Returns False when the file is not overwritten, and the connection can be closed.
        """
        now = _state_of(self._path)
        if now is None or now == self._state or self._is_moved(now):
            return False
        try:
            if self._is_ours():
                return False
        except sqlite3.Error:
            return False  # not known to be another's
        self._discard_log()
        # The objects of a daemon thread are never freed.
        threading.Thread(target=_keep, args=(db,), daemon=True).start()
        return True

    def _discard_log(self) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _is_moved(self, now: _State) -> bool:
        """Whether the connection's file is not the one at the path."""
        return self._state is None or (now.device, now.inode) != (self._state.device, self._state.inode)

    def _is_ours(self) -> bool:
        """Whether the changed content is a later one of the same database."""
        if self._marker is None:
            self._marker = _newest_marker(self._path)
            return True
        with closing(_open_content(self._path)) as db:
            try:
                query = f"SELECT process_started, started_ms, ({_COMMITS}) FROM processes WHERE id = ?1"
                found = db.execute(query, (self._marker.process_id,)).fetchone()
            except sqlite3.DatabaseError as error:
                no_table = error.sqlite_errorcode == sqlite3.SQLITE_ERROR
                no_database = error.sqlite_errorcode == sqlite3.SQLITE_NOTADB and not looks_like_ours(self._path)
                if not no_table and not no_database:
                    raise
                return False
        if found is None or found[:2] != (self._marker.process_started, self._marker.started_ms) or found[2] < self._marker.commits:
            return False
        self._marker = _newest_marker(self._path) or self._marker
        return True


_COMMITS = f"SELECT sum(commits) FROM processes WHERE id > ?1 - {NEAR}"


def _newest_marker(path: Path) -> _Marker | None:
    with suppress(sqlite3.Error), closing(_open_content(path)) as db:
        row = db.execute("SELECT id, process_started, started_ms FROM processes ORDER BY id DESC LIMIT 1").fetchone()
        if row is not None:
            return _Marker(*row, *db.execute(_COMMITS, row[:1]).fetchone())
    return None


def _open_content(path: Path) -> sqlite3.Connection:
    """Open the file as it is, without its log and without locks.

    Through SQLite: closing a file opened in another way would drop the locks that this process has on it.
    """
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _state_of(path: Path) -> _State | None:
    """The state of the file at a path; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _State(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _keep(db: sqlite3.Connection) -> None:
    threading.Event().wait()
    del db
