"""A database file without a name."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def nameless(folder: Path) -> Iterator[tuple[sqlite3.Connection, BinaryIO]]:
    """Yield an empty database on the disk of `folder` and its bytes as a file, which vanishes even if the program is killed.

    Raises OSError or sqlite3.Error when writing fails.
    """
    handle, name = tempfile.mkstemp(dir=folder)
    with open(handle, "r+b") as content:
        try:
            db = sqlite3.connect(name, isolation_level=None)
            db.execute("PRAGMA journal_mode = OFF")  # a journal would need a name
        finally:
            os.unlink(name)  # SQLite opens a file by its name only
        with closing(db):
            yield db, content
