"""The queue of writes to the store: the conversation never waits for the disk.

Writes happen in order, so a session exists before its messages and a message before its turn. A job that fails because of the disk or a
lock stays at the head of the queue and is retried until it succeeds; meanwhile the chat continues, with a notice. When the file was
replaced or deleted, the current conversation is saved in the file that is there now.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from engine.clock import wall_ms
from engine.errors import StoreError, XchatError
from engine.records import Message, Sample, SessionInfo
from engine.store.errors import SessionMissingError, StoreSwappedError
from engine.store.writer import INVALID_ROW, Store

CLOSE_TIMEOUT_S = 2.0
"""Limit for the last writes at the end of the program: after a hang-up it must end within 3 s."""

RETRY_S = 1.0
"""Interval between retries of a failed write."""

Job = Callable[[Store], Awaitable[object]]


@dataclass(slots=True)
class LoggedSession:
    """The row of a conversation; `id` is None until it is in the database, and stays None when it isn't logged."""

    title: str
    created_ms: int
    id: int | None = None
    stored: SessionInfo | None = None
    """Its row when it was resumed."""
    messages: Callable[[], Sequence[Message]] = tuple
    """Returns all its messages, for a file that lacks it."""
    store: Store | None = None
    """Where its row is."""

    @property
    def info(self) -> SessionInfo | None:
        """The conversation as lists show it; None until its row is there."""
        if self.id is None:
            return None
        return replace(self.stored or SessionInfo(self.id, "", self.created_ms, self.created_ms, None), title=self.title)


class Journal:
    """The queue of writes of one program run."""

    def __init__(self, store: Store | None, on_change: Callable[[XchatError | None], None]) -> None:
        """`on_change` is called with the error when writing begins to fail, and with None when it works again."""
        self._store = store
        self._on_change = on_change
        self.session: LoggedSession | None = None
        """The current conversation; None before its first message."""
        self.unclean_end = store is not None and store.unclean_end
        """An xchat before this one ended without closing the database."""
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()
        self._failing = asyncio.Event()
        """Set while the job at the head of the queue is retried."""
        self._closing = asyncio.Event()
        """Set to retry at once."""
        self._awaited: set[asyncio.Future[None]] = set()
        """Jobs of `run`, which fail instead of being retried."""
        self._worker = asyncio.create_task(self._work(), name="journal") if store is not None else None

    @property
    def on(self) -> bool:
        """Whether writes succeed."""
        return self._store is not None and not self._failing.is_set()

    def begin(self, title: str, created_ms: int, messages: Callable[[], Sequence[Message]] = tuple) -> None:
        """Make a new session with these messages the current one; its row is written before anything else of it."""
        session = self.session = LoggedSession(title, created_ms, messages=messages)

        async def create(store: Store) -> None:
            session.id, session.store = await store.create_session(title, created_ms), store

        self.add(create)

    def resume(self, info: SessionInfo, messages: Callable[[], Sequence[Message]]) -> None:
        """Make a saved session with these messages the current one."""
        self.session = LoggedSession(info.title, info.created_ms, info.id, info, messages, self._store)

    def write(self, statement: Callable[[Store, int], Awaitable[object]]) -> None:
        """Queue a write about the current session; `statement` gets its id. Dropped when that session is not logged."""
        session = self.session

        async def write(store: Store) -> None:
            if session is None or session.id is None:
                return
            if session.store is not store and not await store.has_session(session.id, session.created_ms):
                session.id = await store.import_session(session.title, session.created_ms, session.messages())
            session.store = store
            try:
                await statement(store, session.id)
            except SessionMissingError:
                session.id = None  # deleted by another xchat: it is no longer logged
                raise

        self.add(write)

    def mark(self, turn_id: int | None, kind: str, text: str) -> None:
        """Log an event: a preset change, a decision of the thread governor, a stall, a capture, an alert."""
        session, at_ms = self.session, wall_ms()

        async def put(store: Store) -> None:
            store.put_event(wall_ms=at_ms, session_id=session.id if session else None, turn_id=turn_id, kind=kind, text=text)

        self.add(put)

    def sample(self, sample: Sample) -> None:
        """Log a sample of the machine; never waits."""
        if self._store is not None:
            self._store.put_sample(replace(sample, session_id=self.session.id if self.session else None))

    async def run(self, job: Callable[[Store], Awaitable[None]]) -> None:
        """Run `job` after everything queued before it, and wait for it. Raises its StoreError."""
        if not self.on:
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
        if self._store is not None:
            waits = [asyncio.ensure_future(self._jobs.join()), asyncio.ensure_future(self._failing.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()

    async def saved(self) -> None:
        """Wait until everything queued is in the database, however long it refuses."""
        await self._jobs.join()

    async def close(self) -> None:
        """Write the queued jobs and close the database, each within CLOSE_TIMEOUT_S."""
        if self._worker is None:
            return
        self._closing.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._jobs.join(), CLOSE_TIMEOUT_S)
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        if self._store is not None:
            with contextlib.suppress(TimeoutError, StoreError):
                await asyncio.wait_for(self._store.close(), CLOSE_TIMEOUT_S)
            self._store = None

    def add(self, job: Job) -> None:
        """Queue a write that belongs to no session."""
        if self._store is not None:
            self._jobs.put_nowait(job)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            while not await self._done(job):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), RETRY_S)
                self._closing.clear()
            del job  # it holds a conversation, which may be gone by the time of the next one
            self._jobs.task_done()

    async def _done(self, job: Job) -> bool:
        """Run a job; return whether it is finished, written or lost."""
        assert self._store is not None
        try:
            await job(self._store)
        except StoreSwappedError as error:
            self._fail(error)
            return await self._reopen() and await self._done(job)
        except StoreError as error:
            lost = isinstance(error, SessionMissingError) or isinstance(error.__cause__, INVALID_ROW)
            if lost:
                self._on_change(error)
            else:
                self._fail(error)
            return lost
        if self._failing.is_set():
            self._failing.clear()
            self._on_change(None)
        return True

    async def _reopen(self) -> bool:
        """Open the file that is at the path now; return whether it could be opened."""
        assert self._store is not None
        before = self._store
        try:
            self._store = await Store.open(before.path, before.profile)
        except StoreError as error:
            self._fail(error)
            return False
        with contextlib.suppress(StoreError):
            await before.close()
        return True

    def _fail(self, error: StoreError) -> None:
        if not self._failing.is_set():
            self._failing.set()
            self._on_change(error)
            for done in tuple(self._awaited):
                done.set_exception(_not_logged())


def _not_logged() -> StoreError:
    return StoreError("Sessions are currently not logged", "", "The status line shows why. Writing is retried every second.")
