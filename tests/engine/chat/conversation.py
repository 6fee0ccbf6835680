"""A conversation on a vocabulary, answered by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from engine.chat.prompt import PreparedPrompt, PromptBuilder
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.records import Message
from tests.engine.chat import templates
from tests.engine.chat.vocabulary import WordVocabulary

N_CTX = 4096


def chatml_words() -> WordVocabulary:
    return WordVocabulary(["<|im_start|>", "<|im_end|>"], ["<think>", "</think>", "<table>", "\n\n"], eos="<|im_end|>")


def chat_prompt(branch: Sequence[Message], *, system: str | None = None, **options: Any) -> ChatPrompt:
    """What a session asks for."""
    messages = tuple(message.for_engine for message in branch)
    if system and branch[0].role is not Role.SYSTEM:
        messages = (ChatMessage(Role.SYSTEM, system), *messages)
    began = next((message.created_ms for message in branch if message.role is not Role.SYSTEM), 0)
    return ChatPrompt(messages, began_ms=began, **options)


class Chat:
    """A conversation on a vocabulary, answered by hand."""

    def __init__(self, vocabulary: WordVocabulary, template: str | None = templates.CHATML, **options: Any) -> None:
        self.vocabulary = vocabulary
        self.template = template
        self.options = options
        self.builder = PromptBuilder(vocabulary, template)
        self.branch: tuple[Message, ...] = ()

    def say(self, text: str, *, n_ctx: int = N_CTX, **options: Any) -> PreparedPrompt:
        self._add(Role.USER, text)
        return self.prompt(n_ctx=n_ctx, **options)

    def prompt(self, *, n_ctx: int = N_CTX, **options: Any) -> PreparedPrompt:
        if self.builder.vocabulary is not self.vocabulary:
            self.builder = PromptBuilder(self.vocabulary, self.template)
        return self.builder.build(chat_prompt(self.branch, **(self.options | options)), n_ctx)

    def answer(self, text: str, *, by: str | None = None, **fields: Any) -> tuple[int, ...]:
        """Generate `text` one token per word, the first one as the model would: no canonical tokenization."""
        ids = tuple(token for word in re.findall(r"\s?\S+", text) for token in self.vocabulary.tokenize(word, parse_special=False))
        self._add(Role.ASSISTANT, text, tokens=ids, tokens_of=by or self.vocabulary.fingerprint, **fields)
        return ids

    def _add(self, role: Role, text: str, **fields: Any) -> None:
        number = len(self.branch) + 1
        self.branch = (*self.branch, Message(number, number - 1 or None, role, text, **fields))

    def words(self, prompt: PreparedPrompt) -> list[str]:
        return [self.vocabulary.text([token]) for token in prompt.tokens]


def long_chat(turns: int, **options: Any) -> Chat:
    chat = Chat(chatml_words(), **options)
    for turn in range(turns):
        chat.say(f"question {turn} " + "word " * 20)
        chat.answer(f"answer {turn} " + "word " * 20)
    return chat
