"""What a session leaves in the log, and how it is gone on with."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import Config
from engine.errors import StoreError
from engine.events import (
    AnswerGrew,
)
from engine.paths import database_path
from engine.presets.preset import Preset
from engine.records import MessageStatus
from engine.session.open import open_session
from engine.store.export.run_card import run_cards
from engine.store.export.tables import Selection
from engine.store.queries.sessions import session_info
from engine.store.reader import Reader
from tests.engine.session.watched import MODEL, Watched, only_session_id, reopened
from tests.fake_backend import FakeBackend


class TestLog:
    async def test_a_session_comes_back_with_its_branches(self, watched: Watched) -> None:
        await watched.answered(watched.session.send("What is TTFT?"))
        await watched.answered(watched.session.regenerate())
        session_id = await only_session_id(watched.session)
        await watched.session.close()

        again = await reopened(session_id)
        try:
            assert [message.text for message in again.branch] == ["What is TTFT?", "Hello there."]
            assert again.turns.conversation.siblings(again.branch[1].id) == (1, 2)
            assert again.info is not None
            assert again.info.title == "What is TTFT?"
        finally:
            await again.close()

    async def test_a_resumed_session_goes_on_in_the_same_row(self, watched: Watched) -> None:
        await watched.answered(watched.session.send("One"))
        session_id = await only_session_id(watched.session)
        await watched.session.close()

        again = await reopened(session_id)
        more = Watched(again, FakeBackend())
        await more.answered(again.send("Two"))
        await again.close()

        last = await reopened(session_id)
        try:
            assert [message.text for message in last.branch][::2] == ["One", "Two"]
            assert len(await last.library.sessions()) == 1
        finally:
            await last.close()

    async def test_closing_in_mid_answer_saves_the_part_that_came(self, watched: Watched) -> None:
        watched.backend.gated = True
        watched.session.send("Hi")
        watched.backend.release(2)
        await watched.until(lambda event: isinstance(event, AnswerGrew) and " there" in event.text)
        session_id = await only_session_id(watched.session)
        await watched.session.close()

        again = await reopened(session_id)
        try:
            assert again.branch[-1].text == "Hello there"
            assert again.branch[-1].status is MessageStatus.PARTIAL
        finally:
            await again.close()

    async def test_an_unusable_database_is_told_and_the_chat_goes_on(self, tmp_path: Path, isolated_machine: Path) -> None:
        database = isolated_machine / "data" / "xchat" / "xchat.db"
        database.parent.mkdir(parents=True)
        database.write_bytes(b"this is no database" * 100)
        backend = FakeBackend()
        session = await open_session(Preset(), Config(), backend=backend)
        try:
            assert isinstance(session.logging_error, StoreError)
            assert not session.logging
            await session.load(MODEL)
            watched = Watched(session, backend)
            assert (await watched.answered(session.send("Hi"))).answer.text == "Hello there."
        finally:
            await session.close()

    async def test_rename_and_delete(self, watched: Watched) -> None:
        await watched.answered(watched.session.send("Hi"))
        session_id = await only_session_id(watched.session)
        await watched.session.library.rename(session_id, "Greeting")
        assert [info.title for info in await watched.session.library.sessions()] == ["Greeting"]
        await watched.session.library.delete(session_id)
        assert not await watched.session.library.sessions()
        assert watched.session.branch == ()


class TestLookingThroughWhatIsSaved:
    async def test_a_message_of_another_branch_brings_that_branch_and_it_is_remembered(self, watched: Watched) -> None:
        session = watched.session
        first = session.send("Hi")
        await watched.answered(first)
        second = session.regenerate()
        finished = await watched.answered(second)
        session.show_message(second)
        assert session.branch[-1].id == second
        session.show_message(first)
        assert session.branch[-1].id == first
        session.show_message(12345)
        assert session.branch[-1].id == first
        await session.library.regressions(finished.turn)  # which waits for the log
        number = session.session_id
        assert number is not None
        await session.resume(number)
        assert session.branch[-1].id == first

    async def test_a_pinned_session_stays_on_top(self, watched: Watched) -> None:
        session = watched.session
        for text in ("Older", "Newer"):
            session.new_session()
            finished = await watched.answered(session.send(text))
            await session.library.regressions(finished.turn)  # which waits for the log
        older = next(info for info in await session.library.sessions() if info.title == "Older")
        await session.library.pin(older.id, True)
        assert [info.title for info in await session.library.sessions()] == ["Older", "Newer"]
        await session.library.pin(older.id, False)
        assert [info.title for info in await session.library.sessions()] == ["Newer", "Older"]

    async def test_a_turn_is_compared_as_soon_as_it_has_finished(self, watched: Watched) -> None:
        finished = await watched.answered(watched.session.send("Hi"))
        assert await watched.session.library.regressions(finished.turn) == ()

    async def test_a_cut_off_session_is_offered_until_somebody_goes_on_with_it(self, watched: Watched, isolated_machine: Path) -> None:
        session = watched.session
        finished = await watched.answered(session.send("Hi"))
        await session.library.regressions(finished.turn)  # which waits for the log
        with closing(sqlite3.connect(database_path())) as db:
            db.execute("UPDATE sessions SET interrupted = 1")
            db.commit()
        cut = await session.library.interrupted()
        assert cut is not None
        await session.resume(cut.id)
        assert await session.library.interrupted() is None

    @pytest.mark.parametrize("answering", [True, False])
    async def test_losing_the_terminal_marks_a_session_only_where_an_answer_was_cut(self, watched: Watched, answering: bool) -> None:
        await watched.answered(watched.session.send("Hi"))
        session_id = await only_session_id(watched.session)
        if answering:
            watched.backend.gated = True
            watched.session.send("Again")
            watched.backend.release(1)
            assert watched.session.busy
        await watched.session.close(interrupted=True)
        reader = await Reader.open(database_path())
        assert (await reader.read(session_info, session_id)).interrupted is answering
        await reader.close()


async def test_run_cards_name_the_native_library(watched: Watched) -> None:
    await watched.answered(watched.session.send("Hi"))
    session_id = await only_session_id(watched.session)
    (card,) = await watched.session.library.reader.read(run_cards, Selection((session_id,)))
    assert card.host is not None
    assert card.host.llama_cpp_version == "0.5.0, build 0a1b2c3"


async def test_what_the_thread_governor_decides_is_logged_once_for_each_session(watched: Watched) -> None:
    session, backend = watched.session, watched.backend

    def decided(*moves: str) -> None:
        assert backend.threads_now is not None
        backend.threads_now = replace(backend.threads_now, moves=moves)

    async def logged() -> list[tuple[int, str]]:
        await session.library.logged()
        await session._journal.run(lambda store: store.flush())
        with closing(sqlite3.connect(database_path())) as db:
            return db.execute("SELECT session_id, text FROM events WHERE kind = 'governor' ORDER BY id").fetchall()

    decided("Decoding with 2 threads")
    await watched.answered(session.send("Hi"))
    await watched.answered(session.send("Hi again"))
    decided("Decoding with 1 thread", "Prefilling with 2 threads")
    await watched.answered(session.send("And again"))
    session.new_session()
    await watched.answered(session.send("Hello"))
    one, two = "Decoding with 1 thread", "Prefilling with 2 threads"
    assert [text for _, text in await logged()] == ["Decoding with 2 threads", one, two, one, two]
    assert len({session_id for session_id, _ in await logged()}) == 2
    await asyncio.sleep(0)
    assert session.info is not None
    (card,) = await session.library.reader.read(run_cards, Selection((session.info.id,)))
    assert card.decisions == (one, two)
