"""A conversation that is logged, with the events of its log."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from engine.events import Event, LoggingChanged
from engine.records import Sample
from engine.session.session import Session


class Chat:
    def __init__(self, session: Session, path: Path) -> None:
        self.session = session
        self.path = path
        self.events: list[Event] = []
        self._news = asyncio.Event()
        session.subscribe(self._take)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for the event after which this holds."""
        while not holds():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)

    async def say(self, text: str) -> None:
        self.session.send(text)
        await self.session.wait_idle()

    def sample(self, wall_ms: int) -> None:
        """Log a sample of this time."""
        self.session.instruments._journal.sample(Sample(wall_ms, None, None, {}))

    @property
    def changes(self) -> list[LoggingChanged]:
        return [event for event in self.events if isinstance(event, LoggingChanged)]

    async def logged_again(self) -> None:
        await self.until(lambda: bool(self.changes) and self.changes[-1].on)

    def saved(self) -> list[str]:
        """What people said, by the file that is there now."""
        with sqlite3.connect(self.path) as db:
            return [text for (text,) in db.execute("SELECT text FROM messages WHERE role = 'user' ORDER BY id")]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()
