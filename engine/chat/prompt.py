"""From a branch of the conversation to the token ids of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.backend import PreparedPrompt, Vocabulary
from engine.chat import marks
from engine.chat.assembly import Assembly, Composed, generated_ids
from engine.chat.stretches import CHARACTERS_PER_TOKEN, Stretches
from engine.chat.template import ChatFormat, Entry, Rendered, Thinking
from engine.chat.thinking import open_style, style_of
from engine.chat.window import Window
from engine.errors import EngineError, UsageError
from engine.metrics.clock import now_ns
from engine.records import Message, Role

ANSWER_ROOM = 1024
"""Tokens of the window kept free for an answer of unknown length; never more than a quarter of the window."""


@dataclass(frozen=True, slots=True)
class PromptInput:
    """What a prompt is made from."""

    branch: tuple[Message, ...]
    """From the root to the message to be answered."""
    template: str | None
    """`ModelInfo.chat_template`."""
    system: str | None = None
    """The system prompt, unless the branch begins with a system message of its own."""
    thinking: Thinking = "auto"
    first_kept: int = 0
    """`PreparedPrompt.first_kept` of the turn before: what was left out once stays out, so that the KV cache stays useful."""
    max_tokens: int | None = None
    """Longest answer allowed: that much room is kept free, up to a quarter of the window."""
    continued: Message | None = None
    """An answer to go on with where it stopped, in its thinking too."""
    started_ms: int = 0
    """When the conversation began: the date that templates print, held still so that the prompt's beginning stays the same."""


class PromptBuilder:
    """Makes prompts, and keeps what they share: the template with its quirks found out, and tokenized stretches.

    Made anywhere; `prepare` is called on the backend's thread only.
    """

    def __init__(self) -> None:
        self._model: tuple[str, str | None] | None = None
        self._ready: tuple[ChatFormat, Stretches] | None = None

    def prepare(self, source: PromptInput, vocabulary: Vocabulary, n_ctx: int) -> PreparedPrompt:
        """The prompt for a window of `n_ctx` tokens. With its first argument bound it is `GenerateRequest.prepare`.

        Raises UsageError when there is nothing to answer, EngineError when the last message does not fit into the window.
        """
        began = now_ns()
        model = (vocabulary.fingerprint, source.template)
        if self._ready is None or self._model != model:
            chat_format = ChatFormat(source.template, vocabulary)
            self._ready, self._model = (chat_format, Stretches(vocabulary, chat_format.literals)), model
        return _Preparation(source, vocabulary, n_ctx, *self._ready).prompt(began)


class _Preparation:
    """One call of `prepare`."""

    def __init__(self, source: PromptInput, vocabulary: Vocabulary, n_ctx: int, chat_format: ChatFormat, stretches: Stretches) -> None:
        own_system = source.branch[:1] if source.branch and source.branch[0].role is Role.SYSTEM else ()
        self._source = source
        self._system = own_system[0].text if own_system else source.system or ""
        self._messages = source.branch[len(own_system) :]
        if not self._messages or self._messages[-1].role is not Role.USER:
            raise UsageError("There is no message to answer", hint="Write one first.")
        self._turn_starts = [index for index, message in enumerate(self._messages) if message.role is Role.USER]
        self._turn_starts[0] = 0
        self._vocabulary = vocabulary
        self._n_ctx = n_ctx
        self._reserve = max(1, min(source.max_tokens or ANSWER_ROOM, n_ctx // 4))
        self._room = n_ctx - self._reserve
        self._format = chat_format
        self._stretches = stretches
        self._started = datetime.fromtimestamp(source.started_ms / 1000).astimezone()
        self._tokenize_ns = 0

    def prompt(self, began: int) -> PreparedPrompt:
        """The prompt with as many messages as fit; `began` is when the call started."""
        self._refuse_what_never_fits()
        start = self._first_guess()
        rendered = self._render(self._messages[start:])
        composed = self._compose(rendered, self._messages[start:])
        while len(composed.tokens) > self._room:
            start = self._next_start(start, len(composed.tokens))
            rendered = self._render(self._messages[start:])
            composed = self._compose(rendered, self._messages[start:])
        tokens = tuple(composed.tokens)
        return PreparedPrompt(
            tokens=tokens,
            text=composed.text,
            boundaries=composed.boundaries,
            left_out=sum(turn < start for turn in self._turn_starts),
            first_kept=start,
            stop=rendered.stop,
            opens_thinking=self._ends_in_thinking(rendered),
            notices=rendered.notices,
            template_ns=now_ns() - began - self._tokenize_ns,
            tokenize_ns=self._tokenize_ns,
        )

    def _refuse_what_never_fits(self) -> None:
        """A message of megabytes is refused by a look at its beginning."""
        longest = max(self._system, *(message.text for message in self._messages[self._turn_starts[-1] :]), key=len)
        if len(longest) > self._room * CHARACTERS_PER_TOKEN and (count := self._count(longest)) > self._room:
            raise self._too_long(count)

    def _first_guess(self) -> int:
        """From which message on. Everything is counted only when leaving out is in question at all."""
        characters = sum(len(message.text) for message in self._messages)
        if not self._source.first_kept and characters <= self._room * CHARACTERS_PER_TOKEN:
            return 0
        return self._window().first_kept(self._source.first_kept)

    def _next_start(self, start: int, needed: int) -> int:
        if start == self._turn_starts[-1]:
            raise self._too_long(needed)
        fresh = self._window().fresh_cut()
        return fresh if fresh > start else next(turn for turn in self._turn_starts if turn > start)

    def _window(self) -> Window:
        base, overhead = self._overhead()
        sizes = [overhead + self._size(message) for message in self._messages]
        if self._system:
            base += overhead + self._count(self._system)
        if self._source.continued:
            base += overhead + self._size(self._source.continued) + self._count(self._source.continued.thinking)
        return Window(sizes, self._turn_starts, base, self._room)

    def _size(self, message: Message) -> int:
        ids = generated_ids(message, self._vocabulary)
        return self._count(message.text) if ids is None else len(ids)

    def _overhead(self) -> tuple[int, int]:
        """Tokens that the template needs for any prompt, and for each message."""
        user, answer = Message(0, None, Role.USER, "x"), Message(0, None, Role.ASSISTANT, "x")
        lengths = []
        for messages in ([user], [user, answer, user]):
            rendered = self._format.render(self._entries(messages), thinking=self._source.thinking, now=self._started)
            lengths.append(len(self._compose(rendered, messages).tokens))
        content = self._count("x")
        overhead = max(1, -(-(lengths[1] - lengths[0]) // 2) - content)
        return max(0, lengths[0] - content - overhead), overhead

    def _too_long(self, needed: int) -> EngineError:
        return EngineError(
            "The message does not fit into the context window",
            f"with what has to go before it, it needs about {needed:,} tokens; the window holds {self._n_ctx:,}, of which "
            f"{self._reserve:,} are kept for the answer",
            f"Shorten it, or set n_ctx to {needed + self._reserve:,} or more.",
        )

    def _render(self, messages: Sequence[Message]) -> Rendered:
        entries = self._entries(messages)
        if self._system:
            entries.insert(0, Entry(Role.SYSTEM, marks.marked(0, self._untrusted(self._system))))
        rendered = self._format.render(entries, thinking=self._source.thinking, now=self._started)
        if self._source.continued:
            return rendered.followed_by(self._answer_so_far(rendered, self._source.continued, len(messages) + 1))
        return rendered

    def _compose(self, rendered: Rendered, messages: Sequence[Message]) -> Composed:
        began = now_ns()
        contents = [*messages, self._source.continued] if self._source.continued else messages
        composed = Assembly(self._vocabulary, self._stretches, contents).compose(rendered.text)
        self._tokenize_ns += now_ns() - began
        return composed

    def _entries(self, messages: Sequence[Message]) -> list[Entry]:
        return [
            Entry(
                message.role,
                self._content(number, message) if message.role is Role.ASSISTANT else marks.marked(number, self._untrusted(message.text)),
                marks.marked(0, self._untrusted(message.thinking)),
            )
            for number, message in enumerate(messages, 1)
        ]

    def _content(self, number: int, answer: Message, *, whole: bool = False) -> str:
        """An answer for the template: its text, or the place for its ids; `whole` keeps the template from stripping it."""
        if generated_ids(answer, self._vocabulary) is not None:
            return marks.wrapped(number, "")
        text = self._untrusted(answer.text)
        return marks.wrapped(number, text) if whole else marks.marked(number, text)

    def _answer_so_far(self, rendered: Rendered, answer: Message, number: int) -> str:
        """What goes behind the rendered prompt to continue an answer: its thinking and text as the model would have written them."""
        opened = open_style(rendered.ending)
        style = opened or style_of(rendered.source)
        before = ""
        if answer.thinking:
            before = "" if opened else style.opening + style.line
            before += marks.wrapped(0, self._untrusted(answer.thinking))
            if answer.text:
                before += style.line + style.closing + style.gap
        elif opened and answer.text:
            before = style.closing + style.gap
        elif answer.text and not rendered.ending.endswith(style.reply):
            before = style.reply
        return before + self._content(number, answer, whole=True) if answer.text else before

    def _ends_in_thinking(self, rendered: Rendered) -> bool:
        answer = self._source.continued
        if answer and (answer.text or answer.thinking):
            return not answer.text
        return open_style(rendered.ending) is not None

    def _count(self, text: str) -> int:
        return self._stretches.count(marks.cleaned(text), self._room)

    def _untrusted(self, text: str) -> str:
        return self._stretches.guard(marks.cleaned(text))
