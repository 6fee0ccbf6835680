"""What is asked, and the ids that its messages get, wherever the clock stands."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import records
from engine.chat.tree import ConversationTree
from engine.clock import wall_ms
from engine.messages import Role
from engine.session.conversation import Conversation, Question
from tests.engine.session.watched import Watched

HOUR_MS = 3_600_000
NOON_MS = 1_800_000_000_000


@given(
    st.lists(
        st.tuples(st.sampled_from(("say", "again", "instead")), st.integers(0, 2**20 - 1), st.integers(-5 * HOUR_MS, HOUR_MS)), min_size=1
    )
)
def test_every_message_of_a_conversation_is_newer_than_all_before_whatever_the_clock_does(turns: list[tuple[str, int, int]]) -> None:
    conversation, at_ms, order = Conversation(), NOON_MS, list[int]()

    def asked(what: str, choice: int) -> Question:
        own = [message for message in conversation.tree.messages() if message.role is Role.USER]
        if what == "say" or not own:
            return conversation.new_message("words")
        return conversation.regenerate() if what == "again" else conversation.edit(own[choice % len(own)].id, "other words")

    for what, bits, step_ms in turns:
        at_ms = max(0, at_ms + step_ms)
        with patch.object(records, "wall_ms", lambda now=at_ms: now), patch("engine.records.secrets.randbits", lambda _, own=bits: own):
            question = asked(what, bits)
            answer = conversation.begin(question)
        conversation.tree.add(answer)
        order += [question.user.id] if question.user.id not in order else []
        order.append(answer.id)
    assert order == sorted(set(order))
    read_again = ConversationTree(conversation.tree.messages(), conversation.tree.head.id if conversation.tree.head else None)
    assert read_again.messages() == conversation.tree.messages()


async def test_an_answer_can_be_regenerated_and_a_message_edited_after_the_clock_stepped_back(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(20):
        session = watched.session
        await watched.answered(session.send("First"))
        now = wall_ms()
        monkeypatch.setattr(records, "wall_ms", lambda: now - 2 * HOUR_MS)
        await watched.answered(session.send("Second"))
        second = session.branch[-2]
        again = await watched.answered(session.regenerate())
        assert session.branch[-1] == again.answer
        edited = await watched.answered(session.edit(second.id, "Another second"))
    assert [message.text for message in session.branch] == ["First", "Hello there.", "Another second", edited.answer.text]
