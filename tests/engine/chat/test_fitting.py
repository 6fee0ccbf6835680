"""Conversations longer than the window: which turns are left out of the prompt, and what is refused."""

from __future__ import annotations

import re

import pytest

from engine.errors import EngineError
from engine.messages import Role
from engine.records import Message
from tests.engine.chat.conversation import Chat, chatml_words, long_chat


class TestWindow:
    def test_whole_oldest_turns_are_left_out(self) -> None:
        chat = long_chat(20, system="Be kind")
        prompt = chat.say("The last", n_ctx=512, reserve=64)
        assert len(prompt.tokens) <= 512 - 64
        assert prompt.facts.left_out > 0
        assert prompt.facts.first_kept == 2 * prompt.facts.left_out
        assert f"question {prompt.facts.left_out} " in prompt.facts.text
        assert f"answer {prompt.facts.left_out - 1} " not in prompt.facts.text
        assert "Be kind" in prompt.facts.text
        assert "The last" in prompt.facts.text

    def test_the_beginning_stays_the_same_for_some_turns(self) -> None:
        chat = long_chat(20)
        first_kept = 0
        cuts: list[int] = []
        held: tuple[int, ...] = ()
        for turn in range(12):
            prompt = chat.say(f"more {turn}", n_ctx=768, reserve=64, first_kept=first_kept)
            if prompt.facts.first_kept == first_kept:
                assert prompt.tokens[: len(held)] == held
            first_kept = prompt.facts.first_kept
            cuts.append(first_kept)
            held = prompt.tokens + chat.answer("word " * 20)
        assert len(set(cuts)) <= 3

    def test_after_a_larger_window_everything_is_back(self) -> None:
        chat = long_chat(20)
        cut = chat.say("The last", n_ctx=512).facts.first_kept
        assert cut > 0
        whole = chat.prompt(n_ctx=8192, first_kept=cut)
        assert (whole.facts.left_out, whole.facts.first_kept) == (0, 0)

    def test_a_branch_with_its_own_system_message_keeps_it(self) -> None:
        chat = long_chat(20, system="not this one")
        chat.branch = (Message(-1, None, Role.SYSTEM, "Be terse"), *chat.branch)
        prompt = chat.say("The last", n_ctx=512)
        assert "Be terse" in prompt.facts.text
        assert "not this one" not in prompt.facts.text
        assert prompt.facts.first_kept == 2 * prompt.facts.left_out > 0

    def test_a_reserve_larger_than_the_window_leaves_half_of_it(self) -> None:
        prompt = long_chat(20).say("The last", n_ctx=512, reserve=100_000)
        assert 0 < len(prompt.tokens) <= 256

    def test_a_last_message_that_does_not_fit_is_refused_with_the_numbers(self) -> None:
        with pytest.raises(EngineError) as caught:
            long_chat(3).say("word " * 600, n_ctx=512, reserve=100)
        needed = int(re.search(r"about ([\d,]+) tokens", caught.value.detail)[1].replace(",", ""))  # type: ignore[index]
        assert 600 < needed < 640
        assert "the window has 512, of which 100 are reserved for the answer" in caught.value.detail
        assert caught.value.hint == f"Shorten it, or set n_ctx to {needed + 100:,} or more."

    def test_with_that_much_room_it_is_taken(self) -> None:
        chat = Chat(chatml_words())
        with pytest.raises(EngineError) as caught:
            chat.say("word " * 600, n_ctx=512, reserve=100)
        enough = int(re.search(r"n_ctx to ([\d,]+)", caught.value.hint)[1].replace(",", ""))  # type: ignore[index]
        assert chat.prompt(n_ctx=enough, reserve=100).facts.left_out == 0

    def test_megabytes_are_refused_by_their_beginning(self) -> None:
        chat = Chat(chatml_words())
        with pytest.raises(EngineError, match=r"about 1,0\d\d,\d\d\d tokens"):
            chat.say("a b " * 512 * 1024)
        assert sum(map(len, chat.vocabulary.tokenized)) < 200_000

    def test_megabytes_from_earlier_turns_are_left_out_by_a_look_at_their_beginning(self) -> None:
        chat = Chat(chatml_words())
        chat.branch = (Message(1, None, Role.USER, "a b " * 512 * 1024), Message(2, 1, Role.ASSISTANT, "Hm"))
        assert chat.say("Hi").facts.left_out == 1
        assert sum(map(len, chat.vocabulary.tokenized)) < 200_000

    def test_megabytes_that_are_few_tokens_are_taken(self) -> None:
        chat = Chat(chatml_words())
        assert len(chat.say("x" * 2_000_000).tokens) < 20
