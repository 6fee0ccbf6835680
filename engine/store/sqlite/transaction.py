"""A write transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Take the write lock, commit at the end, and roll back when the body or the commit fails.

    The connection must be in autocommit mode (`isolation_level=None`).
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # SQLite has already rolled back after some errors (such as a full disk), and the first error is the one to report.
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
