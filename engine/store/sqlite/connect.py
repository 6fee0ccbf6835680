"""Opens the database file: makes it private, checks that it is xchat's, sets the pragmas, migrates. Blocking functions."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from engine.errors import StoreError
from engine.store.errors import REFUSED, StoreUnusableError, explain
from engine.store.schema.migrations import VERSION, check_ours, migrate, refuse_newer
from engine.store.sqlite.pragmas import BALANCED, Profile

MINIMUM_SQLITE = (3, 37, 0)
"""The first version with STRICT tables."""

_WAIT_S = 5.0
"""Longest wait for a lock of readers, and of the writer before its profile is applied."""


def open_writer(path: Path, profile: Profile = BALANCED) -> sqlite3.Connection:
    """Open a tuned read-write connection; creates or migrates the database.

    Raises StoreError when it can't be opened; the class says why.
    """
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old", "xchat needs 3.37.", "Use a Python with a newer SQLite.")
    try:
        _make_private(path)
        timeout = int(profile.values.get("busy_timeout", _WAIT_S * 1e3)) / 1e3
        db = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            refuse_newer(check_ours(db, path), path)
            profile.apply(db)
            # Deleted data is overwritten, so that it can't be read from the file's free pages.
            db.execute("PRAGMA secure_delete = ON")
            migrate(db, path)
        except BaseException:
            db.close()
            raise
    except REFUSED as error:
        raise explain(error, path) from error
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection, also to a database of a newer xchat. A missing file reads as an empty database.

    Raises StoreError when it can't be read; the class says why.
    """
    try:
        if not path.exists():
            db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            migrate(db, path)
        else:
            _refuse_special(path)
            db = _connect_read_only(path)
        for name in ("cache_size", "mmap_size", "temp_store"):
            db.execute(f"PRAGMA {name}={BALANCED.values[name]}")
        db.execute("PRAGMA query_only=ON")
        db.create_function("casefold", 1, str.casefold, deterministic=True)
    except REFUSED as error:
        raise explain(error, path) from error
    return db


def _connect_read_only(path: Path) -> sqlite3.Connection:
    db = _connect_uri(path, "mode=ro")
    try:
        version = check_ours(db, path)
    except sqlite3.OperationalError as error:
        db.close()
        # Reading a database in WAL mode needs its shared memory, which can't be made in a read-only folder. Without a log,
        # the file is complete and can be read as it is.
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY} or has_log(path):
            raise
        db = _connect_uri(path, "immutable=1")
        version = check_ours(db, path)
    except BaseException:
        db.close()
        raise
    if version >= VERSION:
        return db
    db.close()
    open_writer(path).close()
    return _connect_uri(path, "mode=ro")


def _connect_uri(path: Path, query: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{query}", uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
    )


def _refuse_special(path: Path) -> int:
    """The mode of a file; a folder, a pipe or a device raises before it is opened, since a pipe would never answer."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError
    if not stat.S_ISREG(mode):
        raise StoreUnusableError(f"{path} is not a file", "The database is one regular file.", "Move it away, and xchat makes a new one.")
    return mode


def wal_path(path: Path) -> Path:
    """Return the path of a database's write-ahead log."""
    return path.with_name(path.name + "-wal")


def has_log(path: Path) -> bool:
    """Return whether a database's write-ahead log has contents."""
    try:
        return wal_path(path).stat().st_size > 0
    except OSError:
        return False


def _make_private(path: Path) -> None:
    """Create the file for its owner only, or remove the permissions of others; the log and the shared memory inherit its mode.

    A file that exists must not be opened here: closing it would drop the locks of every other connection of this process.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        mode = _refuse_special(path)
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError from None
        if mode & 0o077:
            # Unchanged when the file belongs to another user.
            with suppress(PermissionError):
                path.chmod(0o600)
