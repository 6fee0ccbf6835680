"""What the session does, written to the store in order, so that no conversation ever waits for the disk or ends with it.

Every write is a job of one queue, so a session exists before its messages and a message before its turn. The first job that fails
switches logging off for the rest of the program, says why, and drops what is queued behind it: the chat goes on unlogged.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from engine.clock import wall_ms
from engine.errors import StoreError, XchatError
from engine.records import Sample, SessionInfo
from engine.store.writer import Store

CLOSE_TIMEOUT_S = 2.0
"""How long the end of the program waits for the disk: a hung-up terminal must be gone within 3 s."""


@dataclass(slots=True)
class LoggedSession:
    """A conversation on its way into the database; `id` is None until the row is there, and stays None when it isn't logged."""

    title: str
    created_ms: int
    id: int | None = None
    stored: SessionInfo | None = None
    """What the database said of it when it was resumed."""

    @property
    def info(self) -> SessionInfo | None:
        """The conversation as lists show it; None until its row is there."""
        if self.id is None:
            return None
        return replace(self.stored or SessionInfo(self.id, "", self.created_ms, self.created_ms, None), title=self.title)


class Journal:
    """The queue of writes of one program run."""

    def __init__(self, store: Store | None, on_failure: Callable[[XchatError], None]) -> None:
        self._store = store
        self._on_failure = on_failure
        self.session: LoggedSession | None = None
        """The conversation that goes on now; None before its first message."""
        self.unclean_end = store is not None and store.unclean_end
        """An xchat before this one ended without closing the database."""
        self._jobs: asyncio.Queue[Callable[[Store], Awaitable[None]]] = asyncio.Queue()
        self._worker = asyncio.create_task(self._work(), name="journal") if store is not None else None

    @property
    def on(self) -> bool:
        """Whether what happens now will be in the database."""
        return self._store is not None

    def begin(self, title: str, created_ms: int) -> None:
        """Go on with a new session; its row is made before anything that is logged for it."""
        session = self.session = LoggedSession(title, created_ms)

        async def create(store: Store) -> None:
            session.id = await store.create_session(title, created_ms)

        self.add(create)

    def write(self, statement: Callable[[Store, int], Awaitable[object]]) -> None:
        """Queue a write about the session that goes on now, whose number it is called with; dropped when that one is not logged."""
        session = self.session

        async def write(store: Store) -> None:
            if session is not None and session.id is not None:
                await statement(store, session.id)

        self.add(write)

    def mark(self, turn_id: int | None, kind: str, text: str) -> None:
        """A mark on the time line: a preset change, a move of the thread governor, a stall, a capture, an alert."""
        session, at_ms = self.session, wall_ms()

        async def put(store: Store) -> None:
            store.put_event(wall_ms=at_ms, session_id=session.id if session else None, turn_id=turn_id, kind=kind, text=text)

        self.add(put)

    def sample(self, sample: Sample) -> None:
        """The machine at one moment; never waits."""
        if self._store is not None:
            self._store.put_sample(replace(sample, session_id=self.session.id if self.session else None))

    async def run(self, job: Callable[[Store], Awaitable[None]]) -> None:
        """Do `job` after everything queued before it, and wait for it; its StoreError is the caller's."""
        if self._store is None:
            raise StoreError("Sessions are not logged now", "", "The status line says why; mend it and start xchat again.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def relay(store: Store) -> None:
            try:
                await job(store)
            except StoreError as error:
                done.set_exception(error)
            else:
                done.set_result(None)

        self.add(relay)
        await done

    async def drain(self) -> None:
        """Wait until everything queued so far is in the database."""
        if self._store is not None:
            await self._jobs.join()

    async def close(self) -> None:
        """Write what is queued, then close the database; gives up after CLOSE_TIMEOUT_S."""
        if self._worker is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.drain(), CLOSE_TIMEOUT_S)
        self._worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._worker
        if self._store is not None:
            with contextlib.suppress(TimeoutError, StoreError):
                await asyncio.wait_for(self._store.close(), CLOSE_TIMEOUT_S)
            self._store = None

    def add(self, job: Callable[[Store], Awaitable[None]]) -> None:
        """Queue a write that belongs to no session."""
        if self._store is not None:
            self._jobs.put_nowait(job)

    async def _work(self) -> None:
        while True:
            job = await self._jobs.get()
            try:
                if self._store is not None:
                    await job(self._store)
            except StoreError as error:
                await self._give_up(error)
            finally:
                self._jobs.task_done()

    async def _give_up(self, error: StoreError) -> None:
        broken, self._store = self._store, None
        self._on_failure(error)
        if broken is not None:
            with contextlib.suppress(StoreError):
                await broken.close()
