"""The writer: the one long-lived connection that writes to the database.

Messages and finished turns are committed when the awaited call returns. Samples and events wait in a bounded queue for a batch.
Rows are saved by id, so saving twice equals saving once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from engine.clock import NS_PER_MS, now_ns
from engine.errors import StoreError
from engine.records import Message, Sample, TurnRecord
from engine.store import erase, statements
from engine.store.batch import BATCH_INTERVAL_S, BATCH_ROWS, QUEUE_ROWS, Batch, Waiting
from engine.store.host import Host, ProcessIdentity
from engine.store.rows import LoggedEvent
from engine.store.sqlite.connect import open_writer, wal_path
from engine.store.sqlite.connection import Connection
from engine.store.sqlite.pragmas import BALANCED, Profile, Value, in_force
from engine.store.sqlite.transaction import transaction
from engine.text import clean_title
from engine.timings import percentile

LOG_BOUND_BYTES = 64 * 2**20
"""Size from which the write-ahead log is emptied after a batch, since a long-lived reader prevents automatic checkpoints."""

REMEMBERED_COMMITS = 512
"""Number of latest commits in the latency figures."""

INVALID_ROW = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.DataError, sqlite3.ProgrammingError, OverflowError, UnicodeError)
"""Errors caused by the rows themselves; a retry would block all later rows."""

Written = ParamSpec("Written")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class WriterFigures:
    """The cost of logging. Latencies run from taking the write lock to the end of the commit, over the last 512 commits."""

    commits: int
    commit_p50_ms: float | None
    commit_p99_ms: float | None
    commit_max_ms: float | None
    rows: int
    """Samples and events written."""
    waiting: int
    """Samples and events not written yet."""
    dropped: int
    """Samples and events lost because the disk failed for too long."""
    failures: int
    """Commits that failed."""


class Store:
    """Writes everything, in order, on its own thread. Call it on the event loop it was opened on."""

    def __init__(self, path: Path, profile: Profile, connection: Connection, *, interval_s: float, queue_rows: int) -> None:
        """Use `open`."""
        self.path = path
        self.profile = profile
        self.pragmas: Mapping[str, Value] = {}
        """The values in use; they differ from the profile where SQLite or the file system refused."""
        self.unclean_end = False
        """Whether an earlier xchat ended without closing the database."""
        self.interrupted: tuple[int, ...] = ()
        """The sessions that it was answering in."""
        self.batch_error: StoreError | None = None
        """The error of the last batch; its rows are retried, unless they are invalid."""
        self._connection = connection
        self._interval_s = interval_s
        self._process_id: int | None = None
        self._waiting = Waiting(queue_rows)
        self._arrived = asyncio.Event()
        self._due = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._latencies: deque[int] = deque(maxlen=REMEMBERED_COMMITS)
        self._commits = 0
        self._rows = 0
        self._failures = 0
        self._closed = False
        self._batches: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        profile: Profile = BALANCED,
        *,
        host: Host | None = None,
        interval_s: float = BATCH_INTERVAL_S,
        queue_rows: int = QUEUE_ROWS,
    ) -> Store:
        """Open the database, create or migrate it first, and register this process as a writer.

        Raises:
        StoreError: It can't be written to; the subclass (`engine.store.errors`) says why.
        """
        store = cls(
            path,
            profile,
            await Connection.open(path, partial(open_writer, path, profile)),
            interval_s=interval_s,
            queue_rows=queue_rows,
        )
        try:
            await store._begin(host)
        except BaseException:
            await store._connection.close()
            raise
        return store

    # Sessions

    async def create_session(self, title: str, created_ms: int) -> int:
        """Create a session and return its id; the title becomes one line of at most 200 characters."""
        return await self._commit(statements.insert_session, title, created_ms)

    async def import_session(self, title: str, created_ms: int, messages: Sequence[Message]) -> int:
        """Create a session of imported messages in one transaction, and return its id; the last message is its head."""

        def write(db: sqlite3.Connection) -> int:
            session_id = statements.insert_session(db, title, created_ms)
            for message in messages:
                statements.insert_message(db, session_id, message)
            return session_id

        return await self._commit(write)

    async def has_session(self, session_id: int, created_ms: int) -> bool:
        """Return whether the file has this session, and not another one with its id."""
        query = "SELECT 1 FROM sessions WHERE id = ? AND created_ms = ?"
        return await self._run(lambda db: db.execute(query, (session_id, created_ms)).fetchone() is not None)

    async def rename(self, session_id: int, title: str) -> None:
        """Rename a session."""
        await self._update(session_id, "title", clean_title(title))

    async def pin(self, session_id: int, pinned: bool) -> None:
        """Pin a session to the top of the list and exclude it from retention, or unpin it."""
        await self._update(session_id, "pinned", int(pinned))

    async def set_head(self, session_id: int, message_id: int | None) -> None:
        """Set the last shown branch, by its last message."""
        await self._update(session_id, "head_id", message_id)

    async def mark_answering(self, session_id: int, on: bool) -> None:
        """Set whether an answer is in progress; after a crash the next start marks the session as interrupted."""
        process_id = self._process_id if on else None
        await self._commit(statements.mark_answering, session_id, process_id)

    async def mark_interrupted(self, session_id: int, on: bool) -> None:
        """Set whether the last answer of a session was cut off by the end of the program or of its terminal."""
        await self._update(session_id, "interrupted", int(on))

    async def delete_session(self, session_id: int) -> None:
        """Delete a session from rows, search index, free pages and log; other writes may run in between."""
        await self._run(lambda db: erase.delete_sessions(db, [session_id]))
        while await self._run(erase.merge_search_index):
            pass
        await self._run(erase.empty_log)

    # Messages and measurements

    async def save_message(self, session_id: int, message: Message) -> None:
        """Save a message, or its longer version, and update the session's head and date.

        Raises:
            SessionMissingError: Another xchat has deleted the session.
            StoreError: Writing failed; nothing was written.
        """
        await self._commit(statements.upsert_message, session_id, message)

    async def save_turn(self, turn: TurnRecord, answer: Message) -> None:
        """Save a finished turn and its answer in one transaction; the session is no longer marked as being answered.

        Raises the errors of `save_message`.
        """
        process_id = self._process_id
        await self._commit(statements.upsert_turn, turn, answer, process_id)

    def put_sample(self, sample: Sample) -> None:
        """Queue a sample for the next batch; never waits. A full queue drops and counts the oldest."""
        self._waiting.add_sample(sample)
        self._on_queued()

    def put_event(self, *, wall_ms: int, session_id: int | None, turn_id: int | None, kind: str, text: str) -> None:
        """Queue an event (a preset change, a stall, a capture, an alert) for the next batch; never waits."""
        self._waiting.add_event(LoggedEvent(wall_ms, session_id, turn_id, kind, text))
        self._on_queued()

    def take_batch(self) -> Batch:
        """Remove and return the queued samples and events."""
        return self._waiting.take()

    def put_batch(self, batch: Batch) -> None:
        """Queue samples and events that another store did not write."""
        self._waiting.put_back(batch)
        self._on_queued()

    async def describe_engine(self, llama_cpp_version: str) -> None:
        """Save the version of the native library, for the run cards of this process's turns."""
        process_id = self._process_id
        if process_id is not None:
            await self._commit(statements.describe_engine, process_id, llama_cpp_version)

    # Maintenance

    async def flush(self) -> None:
        """Write the queued samples and events now.

        Raises StoreError when writing failed (the rows return to the queue), or rows are invalid (they count as dropped).
        """
        async with self._flushing:
            # Shielded: the rows must be counted or returned even if the calling task is cancelled.
            await asyncio.shield(asyncio.ensure_future(self._write_batch(self._waiting.take())))

    def figures(self) -> WriterFigures:
        """Return the cost of logging."""
        ordered = sorted(latency / NS_PER_MS for latency in self._latencies)
        return WriterFigures(
            commits=self._commits,
            commit_p50_ms=percentile(ordered, 0.50),
            commit_p99_ms=percentile(ordered, 0.99),
            commit_max_ms=ordered[-1] if ordered else None,
            rows=self._rows,
            waiting=len(self._waiting),
            dropped=self._waiting.dropped,
            failures=self._failures,
        )

    async def close(self) -> None:
        """Write the queue, record the clean end, empty the log and close the file. Safe to call twice.

        Raises StoreError when the last rows could not be written; the file is closed all the same.
        """
        if self._closed:
            return
        self._closed = True
        if self._batches is not None:
            self._batches.cancel()
            await asyncio.wait([self._batches])
        try:
            await self.flush()
            await self._run(partial(_leave, self._process_id))
        finally:
            await self._connection.close()

    async def _begin(self, host: Host | None) -> None:
        def begin(db: sqlite3.Connection) -> tuple[Mapping[str, Value], tuple[bool, tuple[int, ...]], int]:
            with transaction(db):
                settled = statements.settle_dead_processes(db)
                return in_force(db), settled, statements.register_process(db, ProcessIdentity.own(), host or Host.here())

        self.pragmas, (self.unclean_end, self.interrupted), self._process_id = await self._run(begin)
        if not self._connection.marked:
            await self._run(erase.empty_log)
        self._batches = asyncio.create_task(self._write_batches(), name="store batches")

    def _on_queued(self) -> None:
        self._arrived.set()
        if len(self._waiting) >= BATCH_ROWS:
            self._due.set()

    async def _write_batches(self) -> None:
        while True:
            await self._arrived.wait()
            # After a failure the queue may be full already: wait before the next try.
            if self.batch_error is not None:
                await asyncio.sleep(self._interval_s)
            else:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), self._interval_s)
            self._arrived.clear()
            self._due.clear()
            with contextlib.suppress(StoreError):
                await self.flush()
                await self._run(partial(_bound_log, wal_path(self.path)))

    async def _write_batch(self, batch: Batch) -> None:
        if not batch:
            return
        try:
            await self._commit(statements.insert_batch, batch)
        except StoreError as error:
            self.batch_error = error
            if isinstance(error.__cause__, INVALID_ROW):
                self._waiting.dropped += len(batch)
            else:
                self._waiting.put_back(batch)
                self._arrived.set()
            raise
        self.batch_error = None
        self._rows += len(batch)

    async def _update(self, session_id: int, column: str, value: str | int | None) -> None:
        await self._commit(statements.update_session, session_id, column, value)

    async def _commit(
        self, write: Callable[Concatenate[sqlite3.Connection, Written], Result], *args: Written.args, **kwargs: Written.kwargs
    ) -> Result:
        def commit(db: sqlite3.Connection) -> tuple[Result, int]:
            began = now_ns()
            with transaction(db):
                result = write(db, *args, **kwargs)
                if self._process_id is not None:
                    statements.count_commit(db, self._process_id)
            return result, now_ns() - began

        result, took = await self._run(commit)
        self._latencies.append(took)
        self._commits += 1
        return result

    async def _run(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        try:
            return await self._connection.run(job)
        except StoreError:
            self._failures += 1
            raise


def _leave(process_id: int | None, db: sqlite3.Connection) -> None:
    with transaction(db):
        if process_id is not None:
            statements.leave_process(db, process_id)
    db.execute("PRAGMA optimize")
    # Don't delay the end of the program; a process that uses the log empties it later.
    db.execute("PRAGMA busy_timeout = 0")
    erase.empty_log(db)


def _bound_log(log: Path, db: sqlite3.Connection) -> None:
    try:
        size = log.stat().st_size
    except OSError:
        return
    if size > LOG_BOUND_BYTES:
        # Without waiting for readers: the next batch tries again.
        timeout = db.execute("PRAGMA busy_timeout").fetchone()[0]
        db.execute("PRAGMA busy_timeout = 0")
        erase.empty_log(db)
        db.execute(f"PRAGMA busy_timeout = {timeout}")
