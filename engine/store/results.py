"""The result cache: answers by model, prompt and settings, in a SQLite file of its own. Blocking; for one thread at a time.

Answers older than the limit of age are not used. When the file exceeds its limit, the least recently used answers are deleted. A damaged
file is not used, and never prevents an answer.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engine.backend import StopReason
from engine.clock import wall_ms
from engine.errors import StoreError
from engine.paths import cache_dir

_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS results (
        key BLOB PRIMARY KEY, created_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL, size INTEGER NOT NULL, answer BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS results_used ON results (used_ms);
    CREATE TABLE IF NOT EXISTS lookups (found INTEGER PRIMARY KEY, number INTEGER NOT NULL);
"""
_PRAGMAS: Final = ("busy_timeout = 50", "journal_mode = WAL", "synchronous = OFF", "auto_vacuum = INCREMENTAL")
_HOUR_MS: Final = 3_600_000
_ROW_BYTES: Final = 128
"""Bytes of a row without its answer."""


def results_path() -> Path:
    """Return the path of the result cache."""
    return cache_dir() / "results.db"


class Stored(msgspec.Struct, frozen=True):
    """An answer: its tokens, without the end token."""

    tokens: list[int]
    reason: StopReason


@dataclass(frozen=True, slots=True)
class ResultStats:
    """Contents and hits of the result cache."""

    answers: int = 0
    bytes: int = 0
    hits: int = 0
    lookups: int = 0
    oldest_ms: int | None = None

    @property
    def hit_rate(self) -> float | None:
        """Hits per lookup; None before the first lookup."""
        return self.hits / self.lookups if self.lookups else None


class ResultCache:
    """Answers by a digest of everything they depend on."""

    def __init__(self, path: Path, *, most_bytes: int, most_hours: float) -> None:
        """Open or create the file, readable by this user only. Raises StoreError when it is damaged or can't be used."""
        self._path = path
        self._most_bytes = most_bytes
        self._most_ms = int(most_hours * _HOUR_MS)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
            path.chmod(0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in _PRAGMAS:
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_SCHEMA)
            self._db.execute("SELECT key, created_ms, used_ms, size, answer FROM results LIMIT 1")
        except (OSError, sqlite3.Error) as error:
            raise StoreError("The result cache is not used", f"{path.name}: {error}", "`xchat cache clear` makes it anew.") from error

    def get(self, key: bytes) -> Stored | None:
        """Return the answer with this key; None when it is missing, too old, or can't be read."""
        now, found = wall_ms(), None
        with suppress(sqlite3.Error, msgspec.MsgspecError):
            row = self._db.execute("SELECT answer FROM results WHERE key = ? AND created_ms >= ?", (key, now - self._most_ms)).fetchone()
            found = msgspec.msgpack.decode(row[0], type=Stored) if row is not None else None
            if found is not None:
                self._db.execute("UPDATE results SET used_ms = ? WHERE key = ?", (now, key))
        with suppress(sqlite3.Error):
            self._db.execute(
                "INSERT INTO lookups VALUES (?, 1) ON CONFLICT (found) DO UPDATE SET number = number + 1", (int(found is not None),)
            )
        return found

    def put(self, key: bytes, tokens: Sequence[int], reason: StopReason) -> None:
        """Store an answer; delete answers over the limit of age, and the least recently used ones over the limit of size."""
        answer, now = msgspec.msgpack.encode(Stored(list(tokens), reason)), wall_ms()
        size = len(answer) + len(key) + _ROW_BYTES
        if size > self._most_bytes:
            return
        with suppress(sqlite3.Error):
            self._db.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)", (key, now, now, size, answer))
            self._db.execute("DELETE FROM results WHERE created_ms < ?", (now - self._most_ms,))
            over = self._db.execute("SELECT total(size) FROM results").fetchone()[0] - self._most_bytes
            while over > 0 and (oldest := self._db.execute("SELECT key, size FROM results ORDER BY used_ms LIMIT 1").fetchone()):
                self._db.execute("DELETE FROM results WHERE key = ?", oldest[:1])
                over -= oldest[1]
            self._db.execute("PRAGMA incremental_vacuum")

    def stats(self) -> ResultStats:
        """Return the numbers of answers and lookups. Raises StoreError for a damaged file."""
        try:
            answers, size, oldest = self._db.execute("SELECT count(*), total(size), min(created_ms) FROM results").fetchone()
            lookups = dict(self._db.execute("SELECT found, number FROM lookups").fetchall())
        except sqlite3.Error as error:
            raise StoreError("The result cache is damaged", str(error), "`xchat cache clear` makes it anew.") from error
        return ResultStats(answers, int(size), lookups.get(1, 0), sum(lookups.values()), oldest)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error), closing(self._db):
            pass


def clear_results(path: Path) -> int:
    """Delete the file, whatever its content; return the bytes freed."""
    freed = 0
    for part in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with suppress(FileNotFoundError):
            freed += part.lstat().st_size
            part.unlink()
    return freed
