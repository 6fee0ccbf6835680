"""The answers to a request while they grow."""

from __future__ import annotations

from typing import Any, cast

from engine.backend import TokensDecoded
from engine.chat.thinking import ThinkingParser
from engine.messages import Role, TokenPrompt
from engine.presets.preset import Preset, Sampling
from engine.records import Message
from engine.serving.answers import Answer, Answers, Question
from engine.session.answer import Turn


async def test_what_was_thinking_after_all_is_sent_once_when_it_waited_with_its_end() -> None:
    message = Message(2, 1, Role.ASSISTANT, "", created_ms=0)
    parser = ThinkingParser(marker_tokens=frozenset({"</think>"}))
    answer = Answer(0, 1, Turn(message, cast(Any, None), Preset(), 1, 0, 0, parser=parser))
    answers = Answers(Question((TokenPrompt((1,)),), Sampling(), None), message, [answer], client="", path="")
    for piece in ("I ", "ponder", "</think>", "Hi", " there"):
        answers.take(answer, TokensDecoded(1, (piece,), (0,)))
    grown, ended = await answers.more()
    assert (grown[answer].thinking, grown[answer].answer) == ("I ponder", "Hi there")
    assert ended == []
    answers.take(answer, TokensDecoded(1, ("!",), (0,)))
    grown, ended = await answers.more()
    assert (grown[answer].thinking, grown[answer].answer, ended) == ("", "!", [])
