"""The queue of writes to the store: the conversation never waits for the disk.

Writes happen in order, so a session exists before its messages and a message before its turn. A job that fails because of the disk or a
lock stays at the head of the queue and is retried until it succeeds; meanwhile the chat continues, with a notice. When the file was
replaced or deleted, the current conversation is saved in the new one. The queue is bounded: dropped writes are counted, and the messages of
the current conversation are saved when writing works again. A row that no retry can save is lost, and reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from engine.clock import wall_ms
from engine.errors import StoreError, XchatError
from engine.records import Message, Sample, SessionInfo, TurnRecord
from engine.session.logged import LoggedSession, complete, id_in
from engine.store.errors import SessionMissingError, StoreSwappedError
from engine.store.writer import INVALID_ROW, Store

CLOSE_TIMEOUT_S = 2.0
"""Time limit of the last writes at the end: after a hang-up the program must end within 3 s."""

RETRY_S = 1.0
"""Interval between retries of a failed write."""

QUEUE_BYTES = 64 * 2**20
"""Most memory of the queued writes, enough for about a hundred long turns."""

_JOB_BYTES = 1_000
_NUMBER_BYTES = 40
"""A Python integer with its place in a tuple."""

Job = Callable[[Store], Awaitable[object]]
OpenStore = Callable[[], Awaitable[Store]]


class Journal:
    """The queue of writes of one program run."""

    def __init__(
        self,
        store: Store | OpenStore | None,
        on_change: Callable[[bool, XchatError | None], None],
    ) -> None:
        """`store` is the log, or opens it as soon as it can; without one nothing is logged.

        `on_change` is called when writing begins to fail and when it works again, with whether it works, and the loss or the error.
        """
        self._store = store if isinstance(store, Store) else None
        self._open_store = None if isinstance(store, Store) else store
        self._on_change = on_change
        self.session: LoggedSession | None = None
        """The current conversation; None before its first message."""
        self._jobs: asyncio.Queue[tuple[Job, int]] = asyncio.Queue()
        self._queued_bytes = 0
        self._dropped = 0
        """Writes that did not fit into the queue since writing began to fail."""
        self._lost = 0
        """Writes that no retry can save."""
        self._error: StoreError | None = None
        """Error of the last attempt."""
        self._refused = asyncio.Event()
        """Set by each attempt that fails."""
        self._failing = asyncio.Event()
        """Set while the job at the head of the queue is retried."""
        self._at_once = asyncio.Event()
        """Set to retry at once."""
        self._awaited: set[asyncio.Future[None]] = set()
        """Jobs of `run`, which fail instead of being retried."""
        self._worker: asyncio.Task[None] | None = None
        if self._open_store is not None:
            self._failing.set()
            self.add(_nothing)
        if store is not None:
            self._worker = asyncio.create_task(self._work(), name="journal")

    @property
    def on(self) -> bool:
        """Whether writes succeed."""
        return self._worker is not None and not self._failing.is_set() and not (self.session is not None and self.session.deleted)

    @property
    def unclean_end(self) -> bool:
        """Whether an xchat before this one ended without closing the database."""
        return self._store is not None and self._store.unclean_end

    def begin(self, title: str, created_ms: int, messages: Callable[[], Sequence[Message]] = tuple) -> None:
        """Make a new session with these messages the current one; its row is written before anything else of it."""
        session = self.session = LoggedSession(title, created_ms, messages=messages)

        async def create(store: Store) -> None:
            session.id, session.store = await store.create_session(title, created_ms), store

        session.incomplete = not self.add(create)

    def resume(self, info: SessionInfo, messages: Callable[[], Sequence[Message]]) -> None:
        """Make a saved session with these messages the current one."""
        self.session = LoggedSession(info.title, info.created_ms, info.id, info, messages, self._store)

    def leave(self, session: LoggedSession | None = None) -> None:
        """Make no session the current one, or one that is still written."""
        before, self.session = self.session, session
        if before is not None and before.deleted and self.on:
            self._on_change(True, None)

    def write(
        self,
        statement: Callable[[Store, int], Awaitable[object]],
        *records: Message | TurnRecord,
        of: LoggedSession | None = None,
    ) -> None:
        """Queue a write of `records` about a session, the current one by default; `statement` gets its id.

        Dropped when that session is not logged.
        """
        session = of or self.session

        async def write(store: Store) -> None:
            if session is None or (session.id is None and not session.incomplete):
                return
            await complete(session, store)
            try:
                await statement(store, session.id or 0)
            except SessionMissingError:
                session.id, session.deleted = None, True
                raise

        if not self.add(write, sum(map(_bytes_of, records))) and session is not None:
            session.incomplete = True

    def mark(self, turn_id: int | None, kind: str, text: str) -> None:
        """Log an event: a preset change, a decision of the thread governor, a stall, a capture, an alert."""
        session, at_ms = self.session, wall_ms()

        async def put(store: Store) -> None:
            store.put_event(wall_ms=at_ms, session_id=id_in(store, session), turn_id=turn_id, kind=kind, text=text)

        self.add(put, sys.getsizeof(text))

    def sample(self, sample: Sample) -> None:
        """Log a sample of the machine; never waits."""
        session = self.session

        async def put(store: Store) -> None:
            store.put_sample(replace(sample, session_id=id_in(store, session)))

        if self._store is None:
            self.add(put)
            return
        self._store.put_sample(replace(sample, session_id=id_in(self._store, session)))
        if isinstance(self._store.batch_error, StoreSwappedError) and not self._failing.is_set():
            self.add(Store.flush)  # fails, and opens the new file

    async def run(self, job: Callable[[Store], Awaitable[None]]) -> None:
        """Run `job` after everything queued before it, and wait for it. Raises its StoreError."""
        if self._worker is None or self._failing.is_set():
            raise _not_logged()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.add(done)
        done.add_done_callback(self._awaited.discard)

        async def relay(store: Store) -> None:
            if done.done():
                return
            try:
                await job(store)
            except StoreError as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self.add(relay)
        await done

    async def drain(self) -> None:
        """Wait until everything queued so far is in the database, or can't be written now."""
        if self._worker is not None:
            await self._written_or(self._failing)

    async def save_now(self) -> None:
        """Try to write everything queued at once. Raises the StoreError of the attempt, or when nothing is logged."""
        if self._worker is None:
            raise StoreError("Sessions are not logged", "", "Start xchat without --no-log, with a database that can be written.")
        self._refused.clear()
        if self._failing.is_set():
            self._at_once.set()
        await self._written_or(self._refused)
        if self._failing.is_set() and self._error is not None:
            raise self._error
        if self._store is not None:
            await self._store.flush()

    async def _written_or(self, event: asyncio.Event) -> None:
        """Wait until everything queued so far is in the database, or `event` is set."""
        waits = [asyncio.ensure_future(self._jobs.join()), asyncio.ensure_future(event.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def saved(self) -> None:
        """Wait until everything queued is in the database, retrying without a limit."""
        await self._jobs.join()

    async def close(self) -> None:
        """Write the queued jobs and close the database, each within CLOSE_TIMEOUT_S."""
        if self._worker is None:
            return
        self._at_once.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._jobs.join(), CLOSE_TIMEOUT_S)
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        if self._store is not None:
            with contextlib.suppress(TimeoutError, StoreError):
                await asyncio.wait_for(self._store.close(), CLOSE_TIMEOUT_S)
            self._store = None
        self._worker = None

    def add(self, job: Job, n_bytes: int = 0) -> bool:
        """Queue a write of `n_bytes` in memory; return False when the queue is full."""
        if self._store is None and self._open_store is None:
            return True
        n_bytes += _JOB_BYTES
        if self._failing.is_set() and self._queued_bytes + n_bytes > QUEUE_BYTES:
            self._dropped += 1
            if self._dropped == 1:
                self._on_change(False, _queue_full())
            return False
        self._queued_bytes += n_bytes
        self._jobs.put_nowait((job, n_bytes))
        return True

    async def _work(self) -> None:
        while True:
            job, n_bytes = await self._jobs.get()
            while not await self._done(job):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._at_once.wait(), RETRY_S)
                self._at_once.clear()
            del job  # it refers to a conversation, which may be gone by the time of the next one
            self._queued_bytes -= n_bytes
            self._jobs.task_done()

    async def _done(self, job: Job) -> bool:
        """Run a job; return whether it is finished, written or lost."""
        if self._store is None and not await self._open():
            return False
        assert self._store is not None
        try:
            await job(self._store)
        except StoreSwappedError as error:
            self._fail(error)
            return await self._open() and await self._done(job)
        except SessionMissingError as error:
            self._recovered()
            self._on_change(self.on, error)
        except StoreError as error:
            if not isinstance(error.__cause__, INVALID_ROW):
                self._fail(error)
                return False
            self._lose(error)
        except Exception as error:  # noqa: BLE001 - the edge of the worker: one write must not end the log
            self._lose(StoreError(f"Internal error: {type(error).__name__}", str(error)))
        else:
            self._recovered()
        return True

    async def _open(self) -> bool:
        """Open the file now at the path, and move the queued writes of the former one to it; return whether it could be opened."""
        before, session = self._store, self.session
        session_id = session.id if session is not None else None
        try:
            if before is not None:
                store = await Store.open(before.path, before.profile)
            else:
                assert self._open_store is not None
                store = await self._open_store()
        except StoreError as error:
            self._fail(error)
            return False
        self._store = store
        if before is None:
            return True
        try:
            if session is not None:
                await complete(session, store)
        except StoreError as error:
            self._fail(error)
            return False
        finally:
            store.put_batch(before.take_batch().moved(session_id, id_in(store, session)))
            with contextlib.suppress(StoreError):
                await before.close()
        return True

    def _recovered(self) -> None:
        """Report that writing works again, if it failed."""
        if not self._failing.is_set():
            return
        self._failing.clear()
        self._on_change(self.on, _not_all_logged(self._dropped) if self._dropped else None)
        if self._dropped:
            self._dropped = 0
            self.write(_nothing_of)  # saves the messages of the current conversation

    def _lose(self, error: StoreError) -> None:
        """Report a write that no retry can save."""
        self._recovered()
        self._lost += 1
        writes = "1 write is" if self._lost == 1 else f"{self._lost:,} writes are"
        self._on_change(self.on, StoreError(f"{writes} not logged: {error.title}", error.detail, error.hint))

    def _fail(self, error: StoreError) -> None:
        self._error = error
        self._refused.set()
        if not self._failing.is_set():
            self._failing.set()
            self._on_change(False, error)
            for done in self._awaited:
                if not done.done():
                    done.set_exception(_not_logged())


def _not_logged() -> StoreError:
    return StoreError("Sessions are currently not logged", "", "The status line shows why. Writing is retried every second.")


def _queue_full() -> StoreError:
    return StoreError(
        "The queue of the log is full",
        f"{QUEUE_BYTES // 2**20} MB wait for the database. Figures of the next turns are lost.",
        "The status line shows why; `/save` tries again.",
    )


def _not_all_logged(dropped: int) -> StoreError:
    detail = "They did not fit into memory while the database could not be written. The messages of this conversation are saved."
    return StoreError(f"Logging works again, without {dropped:,} dropped writes", detail)


async def _nothing(_: Store) -> None:
    pass


async def _nothing_of(_: Store, __: int) -> None:
    pass


def _bytes_of(record: Message | TurnRecord) -> int:
    """Estimate the memory of a record."""
    if isinstance(record, TurnRecord):
        return sys.getsizeof(record.preset_json) + _NUMBER_BYTES * len(record.token_ns)
    return sys.getsizeof(record.text) + sys.getsizeof(record.thinking) + _NUMBER_BYTES * len(record.tokens or ())
