"""A conversation that is logged, with the events of its log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from engine.events import LoggingChanged
from engine.records import Sample
from engine.session.session import Session
from tests.engine.session.watched import Watched
from tests.fake_backend import FakeBackend


class Chat(Watched):
    def __init__(self, session: Session, backend: FakeBackend, path: Path) -> None:
        super().__init__(session, backend)
        self.path = path

    async def say(self, text: str) -> None:
        self.session.send(text)
        await self.session.wait_idle()

    def sample(self, wall_ms: int) -> None:
        """Log a sample of this time."""
        self.session.instruments._journal.sample(Sample(wall_ms, None, None, {}))

    @property
    def changes(self) -> list[LoggingChanged]:
        return [event for event in self.events if isinstance(event, LoggingChanged)]

    async def log_changed(self) -> None:
        await self.until(lambda event: isinstance(event, LoggingChanged))

    async def logged_again(self) -> None:
        await self.until(lambda event: isinstance(event, LoggingChanged) and event.on and event is self.changes[-1])

    def saved(self) -> list[str]:
        """What people said, by the file that is there now."""
        with sqlite3.connect(self.path) as db:
            return [text for (text,) in db.execute("SELECT text FROM messages WHERE role = 'user' ORDER BY id")]


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()
