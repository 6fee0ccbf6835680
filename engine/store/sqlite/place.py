"""Detects that the file at a path is no longer the opened one: it was replaced, or its content was overwritten.

SQLite does not detect overwriting. With a write-ahead log it assumes that only checkpoints change the file, and would write pages of the
old content over the new one. Checkpoints never remove rows of `processes`, and never lower its counts of commits.
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
"""Seconds without a change after which overwritten content counts as complete."""

NEAR = 50
"""Number of processes before the newest one that may still run and whose commits count."""


@dataclass(frozen=True, slots=True)
class _State:
    """The state of a file, to detect changes of its content."""

    device: int
    inode: int
    modified_ns: int
    size: int


@dataclass(frozen=True, slots=True)
class _Marker:
    """The marks that later contents of the same database have."""

    process_id: int
    process_started: float
    started_ms: int
    commits: int
    """Commits of this process, the NEAR ones before it, and all after it."""


class Place:
    """A database file at its path. Use it on the thread of its connection."""

    def __init__(self, path: Path) -> None:
        """Store the identity of the file at the path, which the connection has opened."""
        self._path = path
        self._state = _state_of(path)
        self._marker = _newest_marker(path)
        self._strange: tuple[_State, float] | None = None
        """The content that overwrote the file, and the time of its detection (monotonic seconds)."""

    @property
    def marked(self) -> bool:
        """Whether overwriting can be detected; not while the rows of a new database are only in its log."""
        return self._marker is not None or self._state is None

    def check(self) -> None:
        """Raise StoreSwappedError when the connection's file is no longer at the path, and StoreError while it is being overwritten.

        The new content gets its own file, without the old log, so that it can be opened as another database.
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
            return False  # not known to be another database
        self._discard_log()
        # The objects of a daemon thread are never freed.
        threading.Thread(target=_keep, args=(db,), daemon=True).start()
        return True

    def _discard_log(self) -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _is_moved(self, now: _State) -> bool:
        """Return whether the file at the path is another one."""
        return self._state is None or (now.device, now.inode) != (self._state.device, self._state.inode)

    def _is_ours(self) -> bool:
        """Return whether the changed content is a later one of the same database."""
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

    Uses SQLite, since closing a file opened in another way would drop this process's locks on it.
    """
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _state_of(path: Path) -> _State | None:
    """Return the state of the file at a path; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _State(status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _keep(db: sqlite3.Connection) -> None:
    threading.Event().wait()
    del db
