"""Deletes old sessions by a rule. Off by default; every run can be previewed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from engine.records import SessionInfo
from engine.store.erase import delete_sessions, empty_log, merge_search_index
from engine.store.errors import UNREADABLE, explain
from engine.store.queries import sessions
from engine.store.rows import moment
from engine.store.sqlite.connect import open_reader, open_writer
from engine.store.sqlite.pragmas import BALANCED, Profile
from engine.store.upkeep.in_use import refuse_open

MS_PER_DAY = 86_400_000
BYTES_PER_MB = 1_000_000

SESSIONS_AT_ONCE = 20
"""Sessions deleted in one transaction, so that other writers don't wait long."""

_SAMPLE_BYTES = 120
"""Estimated size of a sample with its index entry, since the exact sum would read all of them."""

Progress = Callable[[int, int], None]
"""Called with the number of sessions deleted and to delete."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """The sessions to delete; never pinned ones, or those with an answer in progress."""

    max_age_days: int | None = None
    """Delete sessions that were not changed for longer."""
    max_size_mb: int | None = None
    """Delete the oldest sessions until the others fit; a megabyte is 1,000,000 bytes."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A session that would be deleted."""

    info: SessionInfo
    bytes: int
    """Its approximate size in the file."""
    reason: str


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """The sessions that a rule would delete now."""

    candidates: tuple[Candidate, ...]
    """Oldest first."""
    kept_sessions: int
    used_bytes: int
    """The size of the database without free pages."""

    @property
    def freed_bytes(self) -> int:
        """The approximate number of bytes that would be freed."""
        return sum(candidate.bytes for candidate in self.candidates)


def preview(path: Path, rule: RetentionRule, now_ms: int) -> RetentionPlan:
    """List the sessions that the rule would delete. Raises StoreError when the database can't be read."""
    with closing(open_reader(path)) as db:
        try:
            return _plan(db, rule, now_ms)
        except UNREADABLE as error:
            raise explain(error, path) from error


def apply(path: Path, plan: RetentionPlan, profile: Profile = BALANCED, progress: Progress | None = None) -> int:
    """Delete the planned sessions that still exist unpinned and unchanged, and free the disk space; returns their number.

    Raises:
        StoreLockedError: Another process has the file open; it may show one of the sessions, and could not log its next message.
        StoreError: The database can't be written.
    """
    refuse_open(path, "retain")
    with closing(open_writer(path, profile)) as db:
        try:
            deleted = 0
            for start in range(0, len(plan.candidates), SESSIONS_AT_ONCE):
                portion = [candidate for candidate in plan.candidates[start : start + SESSIONS_AT_ONCE] if _unchanged(db, candidate.info)]
                delete_sessions(db, [candidate.info.id for candidate in portion])
                deleted += len(portion)
                if progress is not None:
                    progress(deleted, len(plan.candidates))
            if deleted:
                while merge_search_index(db):
                    pass
                db.execute("VACUUM")
                empty_log(db)
            return deleted
        except UNREADABLE as error:
            raise explain(error, path) from error


def _plan(db: sqlite3.Connection, rule: RetentionRule, now_ms: int) -> RetentionPlan:
    (count,) = db.execute("SELECT count(*) FROM sessions").fetchone()
    infos = sorted(sessions.find_sessions(db, limit=count), key=lambda info: (info.updated_ms, info.id))
    sizes = _sizes(db)
    busy = {session_id for (session_id,) in db.execute("SELECT id FROM sessions WHERE answering_process IS NOT NULL")}
    removable = [info for info in infos if not info.pinned and info.id not in busy]
    chosen: list[Candidate] = []
    left = used = sum(sizes.values())
    for info in removable:
        size = sizes.get(info.id, 0)
        if rule.max_age_days is not None and info.updated_ms < now_ms - rule.max_age_days * MS_PER_DAY:
            days = (now_ms - info.updated_ms) // MS_PER_DAY
            reason = f"not changed for {days} days" if info.updated_ms else "damaged: no date"
        elif rule.max_size_mb is not None and left > rule.max_size_mb * BYTES_PER_MB:
            reason = f"one of the oldest, over {rule.max_size_mb} MB"
        else:
            continue
        left -= size
        chosen.append(Candidate(info, size, reason))
    return RetentionPlan(tuple(chosen), count - len(chosen), used)


def _sizes(db: sqlite3.Connection) -> dict[int, int]:
    """Estimate the size of each session: its own bytes, and its share of indexes and gaps."""
    raw = dict(
        db.execute(
            f"""
            SELECT session_id, coalesce(sum(bytes), 0) FROM (
                SELECT session_id, sum(length(CAST(text || thinking AS BLOB)) + coalesce(length(tokens), 0) + 100) AS bytes
                    FROM messages GROUP BY session_id
                UNION ALL SELECT session_id, sum(length(preset_json) + length(token_times) + 400) FROM turns GROUP BY session_id
                UNION ALL SELECT session_id, count(*) * {_SAMPLE_BYTES} FROM samples WHERE session_id IS NOT NULL GROUP BY session_id
                UNION ALL SELECT session_id, sum(length(text) + 60) FROM events WHERE session_id IS NOT NULL GROUP BY session_id
            ) GROUP BY session_id
            """
        )
    )
    used = (_pragma(db, "page_count") - _pragma(db, "freelist_count")) * _pragma(db, "page_size")
    whole = max(1, sum(raw.values()))
    return {session_id: int(size * used / whole) for session_id, size in raw.items()}


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _unchanged(db: sqlite3.Connection, info: SessionInfo) -> bool:
    query = f"SELECT 1 FROM sessions WHERE id = ? AND NOT pinned AND {moment('updated_ms')} = ? AND answering_process IS NULL"
    return db.execute(query, (info.id, info.updated_ms)).fetchone() is not None
