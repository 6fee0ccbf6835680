"""A session with all it told, on a backend that says a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine.config import Config
from engine.events import (
    Event,
    TurnFinished,
)
from engine.presets.preset import Preset
from engine.session.open import open_session
from engine.session.session import Session
from tests.fake_backend import FakeBackend

MODEL = Path("/models/fake-Q4_K_M.gguf")


class Watched:
    """A session with all it told, and a way to wait for the next thing."""

    def __init__(self, session: Session, backend: FakeBackend) -> None:
        self.session = session
        self.backend = backend
        self.events: list[Event] = []
        self._news = asyncio.Event()
        session.subscribe(self._take)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, holds: Callable[[Event], bool]) -> Event:
        """The first event, old or new, of which `holds` is true."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                if holds(event):
                    return event
            seen = len(self.events)
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)

    async def answered(self, answer_id: int) -> TurnFinished:
        """The end of that turn."""
        event = await self.until(lambda event: isinstance(event, TurnFinished) and event.answer.id == answer_id)
        assert isinstance(event, TurnFinished)
        return event

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


async def reopened(session_id: int) -> Session:
    session = await open_session(Preset(), Config(), backend=FakeBackend())
    await session.load(MODEL)
    await session.resume(session_id)
    return session


async def only_session_id(session: Session) -> int:
    await session.library.logged()
    (info,) = await session.library.sessions()
    return info.id
