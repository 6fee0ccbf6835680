"""The guide is asked in the program exactly as it was asked in training."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from engine.chat.markers import marked, unmarked
from engine.chat.rendered import Entry
from engine.chat.template import ChatFormat
from engine.guide.training.template import CHAT_TEMPLATE, heard
from engine.messages import Role
from tests.engine.chat.vocabulary import WordVocabulary

TOKENS = WordVocabulary(["<|im_start|>", "<|im_end|>"], ["<think>", "</think>"], eos="<|im_end|>")


@pytest.mark.parametrize("question", ["What is TTFT?", "  stop it ", "I don’t know", "ÄRGER\nand a second line", "/stop", "x"])
def test_the_template_writes_questions_as_they_were_taught(question: str) -> None:
    entries = [Entry(Role.USER, marked(1, question)), Entry(Role.ASSISTANT, marked(2, "Ctrl+R")), Entry(Role.USER, marked(3, question))]
    rendered = ChatFormat(CHAT_TEMPLATE, TOKENS).render(entries, thinking="auto", now=datetime(2026, 1, 1, tzinfo=UTC))
    asked = f"<|im_start|>user\n{heard(question)}<|im_end|>\n<|im_start|>assistant\n"
    assert unmarked(rendered.text) == f"{asked}Ctrl+R<|im_end|>\n{asked}"
    assert rendered.notices == ()


def test_questions_are_heard_without_capitals_and_as_words_in_a_sentence() -> None:
    assert heard("What is TTFT?") == " what is ttft?"
