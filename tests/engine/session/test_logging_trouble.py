"""A disk that refuses for a while, a lock, a database that is deleted or replaced under a running chat: nothing said is lost."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from engine.errors import StoreError
from engine.events import Event, LoggingChanged
from engine.presets.preset import Preset
from engine.session import journal
from engine.session.session import Session
from engine.store.errors import StoreFullError, StoreLockedError, StoreSwappedError
from engine.store.reader import Reader
from engine.store.sqlite.pragmas import Profile
from engine.store.upkeep.repair import put_in_place
from engine.store.writer import Store
from tests.fake_backend import FakeBackend


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

    @property
    def changes(self) -> list[LoggingChanged]:
        return [event for event in self.events if isinstance(event, LoggingChanged)]

    async def logged_again(self) -> None:
        await self.until(lambda: bool(self.changes) and self.changes[-1].on)

    def saved(self) -> list[str]:
        """What people said, by the file that is there now."""
        with sqlite3.connect(self.path) as db:
            return [text for (text,) in db.execute("SELECT text FROM messages WHERE role = 'user' ORDER BY id")]


@pytest.fixture
async def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chat]:
    monkeypatch.setattr(journal, "RETRY_S", 0.02)
    path = tmp_path / "x.db"
    store = await Store.open(path, Profile.of("balanced", {"busy_timeout": 50}))
    session = Session(FakeBackend(), preset=Preset(), store=store, reader=await Reader.open(path))
    await session.load(Path("/models/fake-Q4_K_M.gguf"))
    yield Chat(session, path)
    await session.close()


async def test_a_lock_that_ends_costs_nothing(chat: Chat) -> None:
    await chat.say("Before")
    await chat.session.library.logged()
    other = sqlite3.connect(chat.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await chat.say("While it is locked")
    await chat.until(lambda: bool(chat.changes))
    assert isinstance(chat.changes[0].error, StoreLockedError)
    assert not chat.session.logging
    await chat.session.library.logged()
    with pytest.raises(StoreError, match="not logged"):
        await chat.session.library.rename(chat.session.session_id or 0, "New")
    await chat.say("Still locked")
    other.execute("ROLLBACK")
    await chat.logged_again()
    assert chat.session.logging
    assert chat.session.logging_error is None
    await chat.say("After")
    await chat.session.library.logged()
    assert chat.saved() == ["Before", "While it is locked", "Still locked", "After"]
    assert len(chat.changes) == 2
    other.close()


async def test_a_full_disk_that_has_room_again_costs_nothing(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    save_turn, room = Store.save_turn, False

    async def full(store: Store, *arguments: object) -> None:
        if not room:
            raise StoreFullError("There is no room left")
        await save_turn(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "save_turn", full)
    await chat.say("One")
    await chat.until(lambda: bool(chat.changes))
    await chat.say("Two")
    room = True
    await chat.logged_again()
    await chat.session.library.logged()
    assert chat.saved() == ["One", "Two"]


async def test_the_queue_is_bounded_and_no_message_of_the_conversation_is_lost(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "QUEUE_BYTES", 20_000)
    await chat.say("Before")
    await chat.session.library.logged()
    other = sqlite3.connect(chat.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = [f"{number} {'x' * 8_000}" for number in range(10)]
    for text in said:
        await chat.say(text)
        await chat.until(lambda: bool(chat.changes))
    full = [event.error.title for event in chat.changes if event.error is not None and "no more is kept" in event.error.title]
    assert len(full) == 1
    other.execute("ROLLBACK")
    await chat.logged_again()
    await chat.session.library.saved()
    assert chat.saved() == ["Before", *said]
    assert chat.changes[-1].error is not None
    assert "dropped writes" in chat.changes[-1].error.title
    assert chat.session.logging_error is None
    await chat.say("After")
    await chat.session.library.saved()
    assert chat.saved() == ["Before", *said, "After"]
    other.close()


async def test_a_session_begun_while_the_queue_is_full_is_saved_whole(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "QUEUE_BYTES", 1)
    other = sqlite3.connect(chat.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await chat.say("One")
    await chat.until(lambda: bool(chat.changes))
    chat.session.new_session()
    await chat.say("Two")
    other.execute("ROLLBACK")
    await chat.logged_again()
    await chat.session.library.saved()
    assert chat.saved()[-1] == "Two"
    other.close()


async def test_saving_now_says_why_it_can_not_and_saves_when_it_can(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "RETRY_S", 600.0)
    other = sqlite3.connect(chat.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await chat.say("Hello")
    with pytest.raises(StoreLockedError):
        await chat.session.library.save_now()
    with pytest.raises(StoreLockedError):
        await chat.session.library.save_now()
    other.execute("ROLLBACK")
    await chat.session.library.save_now()
    assert chat.saved() == ["Hello"]
    assert chat.session.logging
    other.close()


async def test_rows_that_make_no_sense_stop_nothing_behind_them(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    async def senseless(*_: object) -> None:
        raise StoreError("No sense") from sqlite3.IntegrityError("no")

    await chat.say("One")
    with monkeypatch.context() as once:
        once.setattr(Store, "save_turn", senseless)
        await chat.say("Two")
        await chat.session.library.logged()
    await chat.say("Three")
    await chat.session.library.logged()
    assert chat.saved() == ["One", "Two", "Three"]


@pytest.mark.parametrize("how", ["deleted", "replaced by a copy", "replaced by another"])
async def test_a_file_that_goes_away_under_a_chat_is_said_and_the_conversation_saved_anew(chat: Chat, tmp_path: Path, how: str) -> None:
    await chat.say("Before")
    await chat.session.library.logged()
    if how == "replaced by a copy":
        with sqlite3.connect(chat.path) as db:
            db.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        put_in_place_of(chat.path, tmp_path / "copy.db")
    elif how == "replaced by another":
        other = await Store.open(tmp_path / "other.db")
        await other.create_session("Somebody else's first session", 1)
        await other.close()
        put_in_place_of(chat.path, tmp_path / "other.db")
    else:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{chat.path}{suffix}").unlink(missing_ok=True)
    await chat.say("After")
    await chat.logged_again()
    await chat.say("Later")
    await chat.session.library.logged()
    assert isinstance(chat.changes[0].error, StoreSwappedError)
    assert chat.saved() == ["Before", "After", "Later"]
    listed = await chat.session.library.sessions()
    assert chat.session.session_id in {info.id for info in listed}
    assert len(listed) == (2 if how == "replaced by another" else 1)


def put_in_place_of(path: Path, other: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    os.replace(other, path)


@pytest.mark.skipif(sys.platform == "win32", reason="files in use can't be renamed there")
def test_a_repair_refuses_a_file_that_a_program_has_open(tmp_path: Path) -> None:
    path, repaired = tmp_path / "x.db", tmp_path / "repaired.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)")
    shutil.copy(path, repaired)
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    with pytest.raises(StoreLockedError, match=f"{holder.pid}"):
        put_in_place(path, repaired)
    holder.communicate()
    assert put_in_place(path, repaired).exists()
