"""A disk that refuses for a while, a lock, a row that can not be saved: nothing said is lost, and logging goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from engine.config import Config
from engine.errors import StoreError
from engine.paths import database_path
from engine.presets.preset import Preset
from engine.session import journal
from engine.session.open import open_session
from engine.store.errors import StoreFullError, StoreLockedError
from engine.store.writer import Store
from tests.engine.session.logged_chat import Chat, rows
from tests.fake_backend import FakeBackend


async def test_a_lock_that_ends_costs_nothing(chat: Chat) -> None:
    await chat.say("Before")
    await chat.session.library.logged()
    other = sqlite3.connect(chat.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await chat.say("While it is locked")
    await chat.log_changed()
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


async def test_a_write_that_is_refused_right_after_one_that_was_waited_for_is_retried(chat: Chat) -> None:
    """The first is done and its waiter has not run yet."""
    refused = iter((True, True))

    async def nothing(_: Store) -> None:
        pass

    async def twice_refused(_: Store) -> None:
        if next(refused, False):
            raise StoreFullError("No disk space is left")

    log = chat.session._journal
    waiter = asyncio.create_task(log.run(nothing))
    await asyncio.sleep(0)
    log.add(twice_refused)
    await waiter
    await chat.logged_again()
    await chat.say("Hello")
    await chat.session.library.logged()
    assert chat.saved() == ["Hello"]


async def test_a_full_disk_that_has_room_again_costs_nothing(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    save_turn, room = Store.save_turn, False

    async def full(store: Store, *arguments: object) -> None:
        if not room:
            raise StoreFullError("No disk space is left")
        await save_turn(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "save_turn", full)
    await chat.say("One")
    await chat.log_changed()
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
        await chat.log_changed()
    full = [event.error.title for event in chat.changes if event.error is not None and "queue of the log is full" in event.error.title]
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
    await chat.log_changed()
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


@pytest.mark.parametrize(
    "fault",
    [StoreError("No sense"), StoreError("No sense", "for text"), ValueError("a bug")],
    ids=["row", "text", "bug"],
)
async def test_a_row_that_no_retry_can_save_is_counted_and_stops_nothing_behind_it(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def senseless(*_: object) -> None:
        if isinstance(fault, StoreError):
            raise fault from (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no") if fault.detail else sqlite3.IntegrityError("no"))
        raise fault

    await chat.say("One")
    await chat.session.library.logged()
    for text, count in ("Two", "1 write is"), ("Three", "2 writes are"):
        with monkeypatch.context() as once:
            once.setattr(Store, "save_turn", senseless)
            await chat.say(text)
            await chat.session.library.logged()
        assert chat.session.logging
        assert chat.session.logging_error is None
        assert chat.changes[-1].on
        assert str(chat.changes[-1].error).startswith(f"{count} not logged: ")
    await chat.say("Four")
    await chat.session.library.logged()
    assert chat.saved() == ["One", "Two", "Three", "Four"]
    assert len(chat.changes) == 2


async def test_a_session_that_another_xchat_deletes_is_not_logged_until_the_next_one_begins(chat: Chat) -> None:
    await chat.say("One")
    await chat.session.library.logged()
    other = await Store.open(chat.path)
    await other.delete_session(chat.session.session_id or 0)
    await other.close()
    await chat.say("Two")
    await chat.log_changed()
    assert not chat.session.logging
    chat.session.new_session()
    assert chat.session.logging
    assert chat.changes[-1].on
    await chat.say("Three")
    await chat.session.library.logged()
    assert chat.saved() == ["Three"]


async def test_a_database_that_is_locked_at_the_start_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "RETRY_S", 0.02)
    monkeypatch.setenv("XCHAT_SQLITE_BUSY_TIMEOUT", "20")
    path = database_path()
    await (await Store.open(path)).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    backend = FakeBackend()
    session = await open_session(Preset(), Config(), backend=backend)
    assert isinstance(session.logging_error, StoreLockedError)
    assert not session.logging
    await session.load(Path("/models/fake-Q4_K_M.gguf"))
    chat = Chat(session, backend, path)
    await chat.say("While it is locked")
    await session.instruments.tick()
    other.execute("ROLLBACK")
    other.close()
    await chat.logged_again()
    await chat.say("After")
    await session.library.saved()
    assert chat.saved() == ["While it is locked", "After"]
    assert [info.id for info in await session.library.sessions()] == [session.session_id]
    await session.close()
    assert rows(path, "SELECT count(*) > 0 FROM samples") == [(1,)]
