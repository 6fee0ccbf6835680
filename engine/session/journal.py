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
from engine.records import Message, Sample, TurnRecord
from engine.store.writer import Store

CLOSE_TIMEOUT_S = 2.0
"""How long the end of the program waits for the disk: a hung-up terminal must be gone within 3 s."""


@dataclass(slots=True)
class LoggedSession:
    """A conversation on its way into the database; `id` is None until the row is there, and stays None when it isn't logged."""

    title: str
    created_ms: int
    id: int | None = None


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

    def engine(self, library: str) -> None:
        """Which native library computes, for the run cards of what this process measures."""

        async def describe(store: Store) -> None:
            await store.describe_engine(library)

        self._add(describe)

    def begin(self, title: str, created_ms: int) -> LoggedSession:
        """A new session; its row is made before anything that is logged for it."""
        session = LoggedSession(title, created_ms)

        async def create(store: Store) -> None:
            session.id = await store.create_session(title, created_ms)

        self._add(create)
        return session

    def message(self, session: LoggedSession, message: Message) -> None:
        """A message that is whole: what the person said."""

        async def save(store: Store) -> None:
            if session.id is not None:
                await store.save_message(session.id, message)

        self._add(save)

    def answering(self, session: LoggedSession, on: bool) -> None:
        """Mark a session as being answered, so that the next start notices when the program ended in the middle."""

        async def mark(store: Store) -> None:
            if session.id is not None:
                await store.mark_answering(session.id, on)

        self._add(mark)

    def turn(self, session: LoggedSession, turn: TurnRecord, answer: Message) -> None:
        """A finished turn with its answer, durable once the job is done."""

        async def save(store: Store) -> None:
            if session.id is not None:
                await store.save_turn(replace(turn, session_id=session.id), answer)

        self._add(save)

    def head(self, session: LoggedSession, message_id: int | None) -> None:
        """Which branch was looked at last."""

        async def save(store: Store) -> None:
            if session.id is not None:
                await store.set_head(session.id, message_id)

        self._add(save)

    def mark(self, turn_id: int | None, kind: str, text: str) -> None:
        """A mark on the time line: a preset change, a move of the thread governor, a stall, a capture, an alert."""
        session, at_ms = self.session, wall_ms()

        async def put(store: Store) -> None:
            store.put_event(wall_ms=at_ms, session_id=session.id if session else None, turn_id=turn_id, kind=kind, text=text)

        self._add(put)

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

        self._add(relay)
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

    def _add(self, job: Callable[[Store], Awaitable[None]]) -> None:
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
