"""Conversations whose answers go on while another one is current."""

from __future__ import annotations

import pytest

from engine.backend import Priority
from engine.errors import UsageError
from engine.events import AnswerGrew, BackgroundChanged, SessionOpened, TurnFinished, TurnStarted
from engine.records import MessageStatus
from engine.session.instruments import BESIDE
from engine.session.session import Session
from engine.store.queries.sessions import read_session
from engine.store.queries.turns import turns_of
from tests.engine.session.logged_chat import Chat, rows


@pytest.fixture
async def left(chat: Chat) -> Chat:
    """A session that was left while its answer is made; one token has come."""
    chat.backend.at_once = chat.backend.gated = True
    chat.session.send("Tell me more")
    chat.backend.release(1, answer=0)
    await chat.until(lambda event: isinstance(event, AnswerGrew))
    chat.session.new_session()
    return chat


def last_change(chat: Chat) -> BackgroundChanged:
    event = chat.events[-1]
    assert isinstance(event, BackgroundChanged)
    return event


async def ended(chat: Chat) -> BackgroundChanged:
    event = await chat.until(lambda event: isinstance(event, BackgroundChanged) and event.ended is not None)
    assert isinstance(event, BackgroundChanged)
    return event


async def test_an_answer_goes_on_when_its_conversation_is_left_and_is_saved_there(left: Chat) -> None:
    session, (request,) = left.session, left.backend.requests
    assert not session.busy
    assert (session.branch, last_change(left).running) == ((), 1)
    assert left.backend.classes[request.turn] is Priority.BATCH

    left.events.clear()
    left.backend.release(2, answer=0)
    news = await ended(left)

    assert (news.running, news.title) == (0, "Tell me more")
    assert not [event for event in left.events if isinstance(event, AnswerGrew | TurnFinished)]
    await session.library.logged()
    (info,) = await session.library.sessions()
    stored = await session.library.reader.read(read_session, info.id)
    assert [message.text for message in stored.messages] == ["Tell me more", "Hello there."]
    assert not info.interrupted


async def test_it_says_how_far_it_is(left: Chat) -> None:
    (running,) = left.session.background.running
    assert (running.tokens, running.state) == (1, "answering")


async def test_another_conversation_is_answered_meanwhile_and_neither_counts_as_quiet(left: Chat) -> None:
    answer = left.session.send("Hi")
    left.backend.release(3, answer=1)
    end = await left.answered(answer)
    left.backend.release(2, answer=0)
    before = (await ended(left)).ended

    assert end.answer.text == "Hello there."
    assert before is not None
    assert (end.turn.noisy, before.noisy, end.turn.clean, before.clean) == (BESIDE, BESIDE, False, False)
    await left.session.library.logged()
    texts = rows(left.path, "SELECT session_id, text FROM messages ORDER BY session_id, id")
    assert texts == [(1, "Tell me more"), (1, "Hello there."), (2, "Hi"), (2, "Hello there.")]


async def test_coming_back_shows_what_has_come_and_goes_on(left: Chat) -> None:
    await left.session.library.logged()
    left.events.clear()
    await left.session.resume(1)

    opened, started, *_, grew = [event for event in left.events if not isinstance(event, BackgroundChanged)]
    assert isinstance(opened, SessionOpened)
    assert isinstance(started, TurnStarted)
    assert isinstance(grew, AnswerGrew)
    assert (grew.text, len(grew.token_ns)) == ("Hello", 1)
    assert left.session.busy
    assert left.backend.classes[started.answer_id] is Priority.INTERACTIVE
    assert last_change(left).running == 0

    left.backend.release(2, answer=0)
    end = await left.answered(started.answer_id)
    assert end.answer.text == "Hello there."
    assert [message.text for message in left.session.branch] == ["Tell me more", "Hello there."]


async def test_a_conversation_that_was_answered_in_the_background_is_whole_when_it_is_resumed(left: Chat) -> None:
    left.backend.release(2, answer=0)
    await ended(left)
    await left.session.resume(1)
    assert [message.text for message in left.session.branch] == ["Tell me more", "Hello there."]


async def test_stopping_stops_only_what_is_on_the_screen(left: Chat) -> None:
    answer = left.session.send("Hi")
    left.session.stop()
    assert (await left.answered(answer)).answer.status is MessageStatus.PARTIAL
    assert len(left.session.background.running) == 1


async def test_closing_keeps_the_text_and_marks_it_as_cut_off(left: Chat) -> None:
    await left.session.close()
    assert rows(left.path, "SELECT text FROM messages WHERE role = 'assistant'") == [("Hello",)]
    assert rows(left.path, "SELECT interrupted FROM sessions") == [(1,)]


async def test_deleting_a_conversation_ends_its_answer_first(left: Chat) -> None:
    await left.session.library.logged()
    await left.session.library.delete(1)
    assert left.session.background.running == ()
    assert rows(left.path, "SELECT count(*) FROM messages") == [(0,)]
    assert [change.error for change in left.changes] == []


async def test_an_answer_that_is_not_logged_can_not_be_left(watched_unlogged: Session) -> None:
    watched_unlogged.send("Hi")
    with pytest.raises(UsageError, match="An answer is being written"):
        watched_unlogged.new_session()
    assert watched_unlogged.busy


async def test_a_turn_of_the_background_is_measured_when_nothing_ran_beside_it(left: Chat) -> None:
    left.backend.release(2, answer=0)
    await ended(left)
    await left.session.library.logged()
    (turn,) = await left.session.library.reader.read(turns_of, 1)
    assert (turn.noisy, turn.judged) == (None, False)
