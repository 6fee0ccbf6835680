"""A session on an engine that answers messages and can do nothing else: whatever needs more is not asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine.backend import StopReason
from engine.config import Config
from engine.errors import UsageError
from engine.events import AnswerGrew, Event, TurnFinished
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.presets.preset import Preset
from engine.session.open import open_session
from engine.session.session import Session
from tests.echo_backend import PARROT, EchoBackend


class Talk:
    """Sends a message and returns the end of its turn."""

    def __init__(self, session: Session, backend: EchoBackend) -> None:
        self.session = session
        self.backend = backend
        self.events: list[Event] = []
        session.subscribe(self.events.append)

    async def ask(self, text: str) -> TurnFinished:
        self.session.send(text)
        await self.session.wait_idle()
        end = self.events[-1]
        assert isinstance(end, TurnFinished)
        return end


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    backend = EchoBackend()
    session = await open_session(Preset(system="Be kind"), Config(), backend=backend)
    await session.load(PARROT, Preset(system="Be kind"))
    yield Talk(session, backend)
    await session.close(keep_state=True)


async def test_an_answer_without_token_ids_is_whole_and_has_its_figures(talk: Talk) -> None:
    end = await talk.ask("Hi there")
    assert end.error is None
    assert end.answer.text == "2 messages, the last one says: Hi there "
    assert end.answer.tokens is None
    assert end.turn.timings.predicted_n == 8
    assert (end.turn.threads, end.turn.template_ms, end.turn.tokenize_ms) == (0, None, None)
    assert [event.context_used for event in talk.events if isinstance(event, AnswerGrew)][-1] == 8


async def test_the_engine_gets_the_conversation_as_messages(talk: Talk) -> None:
    first = await talk.ask("Hi")
    await talk.ask("And now?")
    prompt = talk.backend.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    assert prompt.messages == (
        ChatMessage(Role.SYSTEM, "Be kind"),
        ChatMessage(Role.USER, "Hi"),
        ChatMessage(Role.ASSISTANT, first.answer.text, tokens_of="echo"),
        ChatMessage(Role.USER, "And now?"),
    )


async def test_turns_are_logged_and_a_conversation_is_resumed(talk: Talk) -> None:
    end = await talk.ask("Hi there")
    await talk.session.library.logged()
    (info,) = await talk.session.library.sessions()
    talk.session.new_session()
    await talk.session.resume(info.id)
    assert [message.text for message in talk.session.branch] == ["Hi there", end.answer.text]
    assert (await talk.ask("Again")).answer.text.startswith("4 messages")


async def test_it_is_not_asked_for_what_it_does_not_have(talk: Talk) -> None:
    await talk.ask("Hi")
    assert talk.session.threads_now is None
    talk.session.slot.set_stream_batch(8)
    talk.session.new_session()
    with pytest.raises(UsageError, match="thread count"):
        talk.session.switching.more_threads(1)
    with pytest.raises(UsageError, match="thread count"):
        talk.session.switching.use_threads(2)


async def test_a_stopped_answer_keeps_what_has_come(talk: Talk) -> None:
    talk.backend.most_words = 3
    talk.session.send("Hi there")
    while sum(len(event.token_ns) for event in talk.events if isinstance(event, AnswerGrew)) < talk.backend.most_words:
        await asyncio.sleep(0)
    talk.session.stop()
    await talk.session.wait_idle()
    end = talk.events[-1]
    assert isinstance(end, TurnFinished)
    assert end.answer.text == "2 messages, the "
    assert end.turn.stop_reason is StopReason.CANCELLED
