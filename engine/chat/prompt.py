"""Makes the token ids of a prompt from the messages of a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from engine.backend import PromptFacts
from engine.chat import markers
from engine.chat.assembly import Assembly, Composed, generated_ids
from engine.chat.rendered import Entry, PreparationCancelled, Rendered
from engine.chat.thinking_styles import STYLES, marker_texts, open_style
from engine.chat.token_cache import CHARACTERS_PER_TOKEN, Stretches
from engine.chat.tools import guarded
from engine.chat.vocabulary import Vocabulary
from engine.chat.window import Window
from engine.clock import now_ns
from engine.errors import PromptTooLongError, UsageError
from engine.messages import ChatMessage, ChatPrompt, Prompt, Role, TextPrompt, TokenPrompt, ToolCall
from engine.pictures.stored import Picture, pictures_in
from engine.text import printable

if TYPE_CHECKING:
    from engine.chat.template import ChatFormat
    from engine.chat.templating.process import TemplateProcess

TOO_LONG_FOR_TEMPLATE = "The chat template is too slow for the whole conversation, so older turns are left out."

_LAST_DAY_MS = 253_370_764_800_000
"""The first of January 9999; a damaged record may have any number."""


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """The prompt for an engine with token ids."""

    tokens: tuple[int, ...]
    facts: PromptFacts
    boundaries: tuple[int, ...] = ()
    """Token positions for checkpoints, ascending: the end of the system prompt, the start of each user message."""
    stop: tuple[str, ...] = ()
    """Additional stop strings of the template (a plain "User:" format has no end token)."""


class PromptBuilder:
    """Makes the prompts of one loaded model; caches the probed template and tokenized stretches. For the backend's thread only."""

    def __init__(self, vocabulary: Vocabulary, template: str | None, *, confined: bool = False) -> None:
        """`template`: `ModelInfo.chat_template`; `confined`: render it in a child process, which is started now."""
        self.vocabulary = vocabulary
        self._template = template
        self.picture_ids: Callable[[Picture], tuple[int, ...] | None] | None = None
        """The tokens of a picture, or None when it is gone; None for a model that takes no pictures."""
        self._sandbox: TemplateProcess | None = None
        if confined and template and template.strip():
            from engine.chat.templating.process import TemplateProcess

            self._sandbox = TemplateProcess()

    @cached_property
    def chat_format(self) -> ChatFormat:
        """The template, ready to render."""
        from engine.chat.template import ChatFormat  # imported here, since Jinja would delay the first frame by 25 ms

        return ChatFormat(self._template, self.vocabulary, self._sandbox)

    @cached_property
    def stretches(self) -> Stretches:
        """The tokenizer."""
        return Stretches(self.vocabulary, self.chat_format.literals)

    def close(self) -> None:
        """End the child process; safe to call twice."""
        if self._sandbox is not None:
            self._sandbox.close()

    def build(self, prompt: Prompt, n_ctx: int, cancelled: Callable[[], bool] = lambda: False) -> PreparedPrompt:
        """Make the prompt for a window of `n_ctx` tokens.

        Raises:
            UsageError: There is nothing to answer.
            EngineError: The last message does not fit into the window.
            PreparationCancelled: `cancelled` returned True during rendering or between two tokenized stretches.
        """
        match prompt:
            case ChatPrompt():

                def check() -> None:
                    if cancelled():
                        raise PreparationCancelled

                with self._checked(check):
                    return _Preparation(self, prompt, n_ctx).prompt()
            case TextPrompt(text):
                began = now_ns()
                tokens = tuple(self.vocabulary.tokenize(text, parse_special=True))
                return PreparedPrompt(tokens, PromptFacts(len(tokens), text, tokenize_ns=now_ns() - began))
            case TokenPrompt(tokens, boundaries):
                return PreparedPrompt(tokens, PromptFacts(len(tokens)), boundaries)

    @contextmanager
    def _checked(self, check: Callable[[], None]) -> Iterator[None]:
        """Call `check` during the preparation, and drop it afterwards, since it refers to the whole conversation."""
        parts: list[Stretches | TemplateProcess] = [self.stretches]
        if self._sandbox is not None:
            parts.append(self._sandbox)
        for part in parts:
            part.check = check
        try:
            yield
        finally:
            for part in parts:
                part.check = _nothing


def _nothing() -> None:
    """Do nothing."""


class _Preparation:
    """The preparation of one chat prompt."""

    def __init__(self, builder: PromptBuilder, chat: ChatPrompt, n_ctx: int) -> None:
        self._began = now_ns()
        self._format, self._stretches = builder.chat_format, builder.stretches
        messages = chat.messages
        self._system = ""
        if messages and messages[0].role is Role.SYSTEM:
            self._system, messages = messages[0].text, messages[1:]
        self._continued: ChatMessage | None = None
        if chat.continue_answer and messages and messages[-1].role is Role.ASSISTANT:
            messages, self._continued = messages[:-1], messages[-1]
        if not messages or messages[-1].role not in {Role.USER, Role.TOOL}:
            raise UsageError("There is no message to answer", hint="Write one first.")
        self._messages = messages
        try:
            self._tools: list[object] = guarded(json.loads(chat.tools), self._untrusted) if chat.tools else []
        except (ValueError, RecursionError) as error:
            raise UsageError("The tools are not a JSON array", printable(str(error))) from error
        self._turn_starts = [index for index, message in enumerate(messages) if message.role is Role.USER]
        self._turn_starts[0] = 0
        self._before = chat.first_kept
        self._complete = chat.complete
        self._thinking = chat.thinking
        self._vocabulary = builder.vocabulary
        self._n_ctx = n_ctx
        self._reserve = max(1, min(chat.reserve, n_ctx // 2))
        self._room = n_ctx - self._reserve
        # The date that templates print is fixed, or the KV state of a conversation would be lost at midnight.
        self._today = datetime.fromtimestamp(min(max(0, chat.began_ms), _LAST_DAY_MS) / 1000).astimezone()
        self._tokenize_ns = 0
        self._picture_ids = builder.picture_ids
        self._pictures: list[tuple[int, ...]] = []
        """The tokens of the pictures of the messages rendered last."""
        self._notices: dict[str, None] = {}

    def prompt(self) -> PreparedPrompt:
        """Make the prompt with the messages that fit."""
        self._refuse_what_never_fits()
        start, rendered = self._render_from(self._first_guess())
        composed = self._compose(rendered, self._messages[start:])
        while len(composed.tokens) > self._room:
            start, rendered = self._render_from(self._next_start(start, len(composed.tokens)))
            composed = self._compose(rendered, self._messages[start:])
        tokens = tuple(composed.tokens)
        return PreparedPrompt(
            tokens=tokens,
            facts=PromptFacts(
                n_tokens=len(tokens),
                text=composed.text,
                left_out=sum(turn < start for turn in self._turn_starts),
                first_kept=start,
                opens_thinking=self._ends_in_thinking(rendered),
                style=rendered.style,
                marker_tokens=marker_texts(rendered.style, self._vocabulary.special_texts),
                notices=(*rendered.notices, *self._notices),
                template_ns=now_ns() - self._began - self._tokenize_ns,
                tokenize_ns=self._tokenize_ns,
            ),
            boundaries=composed.boundaries,
            stop=rendered.stop,
        )

    def _render_from(self, start: int) -> tuple[int, Rendered]:
        """Render the messages from `start` on; if that takes too long, the later half of the turns."""
        from engine.chat.templating.budget import TemplateLimitError

        notices: tuple[str, ...] = ()
        while True:
            try:
                rendered = self._render(self._messages[start:])
            except TemplateLimitError:
                later = [turn for turn in self._turn_starts if turn > start]
                start, notices = later[len(later) // 2], (TOO_LONG_FOR_TEMPLATE,)
            else:
                return start, replace(rendered, notices=(*notices, *rendered.notices))

    def _refuse_what_never_fits(self) -> None:
        """Raise for a message that is far too long, after counting only its beginning."""
        longest = max(self._system, *(message.text for message in self._messages[self._turn_starts[-1] :]), key=len)
        if len(longest) > self._room * CHARACTERS_PER_TOKEN and (count := self._count(longest)) > self._room:
            raise self._too_long(count)

    def _first_guess(self) -> int:
        """Estimate the oldest message to keep. Counts tokens only when messages may be left out."""
        characters = sum(len(message.text) for message in self._messages)
        if self._complete or (not self._before and characters <= self._room * CHARACTERS_PER_TOKEN):
            return 0
        return self._window().first_kept(self._before)

    def _next_start(self, start: int, needed: int) -> int:
        if self._complete or start == self._turn_starts[-1]:
            raise self._too_long(needed)
        fresh = self._window().fresh_cut()
        return fresh if fresh > start else next(turn for turn in self._turn_starts if turn > start)

    def _window(self) -> Window:
        base, overhead = self._overhead()
        sizes = [overhead + self._size(message) for message in self._messages]
        if self._system:
            base += overhead + self._count(self._system)
        if self._continued:
            base += overhead + self._size(self._continued) + self._count(self._continued.thinking)
        return Window(sizes, self._turn_starts, base, self._room)

    def _size(self, message: ChatMessage) -> int:
        ids = generated_ids(message, self._vocabulary)
        if ids is not None:
            return len(ids)
        pictures = [found for _, _, picture in pictures_in(message.text) if message.role is Role.USER and (found := self._ids_of(picture))]
        return self._count(message.text) + sum(map(len, pictures))

    def _ids_of(self, picture: Picture) -> tuple[int, ...] | None:
        """The tokens of a picture; None, with a notice, when it can't be shown to this model: its reference stays as text."""
        if self._picture_ids is None:
            self._notices[f"This model takes no pictures: {picture.name} is only named in the prompt."] = None
            return None
        ids = self._picture_ids(picture)
        if ids is None:
            self._notices[f"{picture.name} is not here any more, and only named in the prompt."] = None
        return ids

    def _pictured(self, text: str) -> str:
        """The text of a message, with marks in place of its pictures."""
        shown, at = list[str](), 0
        for start, end, picture in pictures_in(text):
            if (ids := self._ids_of(picture)) is not None:
                shown += [self._untrusted(text[at:start]), markers.pictured(len(self._pictures))]
                self._pictures.append(ids)
                at = end
        return "".join((*shown, self._untrusted(text[at:])))

    def _overhead(self) -> tuple[int, int]:
        """Return the template's tokens for any prompt, and for each message."""
        user, answer = ChatMessage(Role.USER, "x"), ChatMessage(Role.ASSISTANT, "x")
        lengths = []
        for messages in ([user], [user, answer, user]):
            rendered = self._format.render(self._entries(messages), thinking=self._thinking, now=self._today)
            lengths.append(len(self._compose(rendered, messages).tokens))
        content = self._count("x")
        overhead = max(1, -(-(lengths[1] - lengths[0]) // 2) - content)
        return max(0, lengths[0] - content - overhead), overhead

    def _too_long(self, needed: int) -> PromptTooLongError:
        error = PromptTooLongError(
            "The message does not fit into the context window",
            f"with the text before it, it needs about {needed:,} tokens; the window has {self._n_ctx:,}, of which {self._reserve:,} are "
            "reserved for the answer",
            f"Shorten it, or set n_ctx to {needed + self._reserve:,} or more.",
        )
        return error.with_sizes(needed, self._n_ctx)

    def _render(self, messages: Sequence[ChatMessage]) -> Rendered:
        entries = self._entries(messages)
        if self._system:
            entries.insert(0, Entry(Role.SYSTEM, markers.marked(0, self._untrusted(self._system))))
        rendered = self._format.render(entries, thinking=self._thinking, now=self._today, tools=self._tools)
        if self._continued:
            return rendered.followed_by(self._answer_so_far(rendered, self._continued, len(messages) + 1))
        return rendered

    def _compose(self, rendered: Rendered, messages: Sequence[ChatMessage]) -> Composed:
        began = now_ns()
        contents = [*messages, self._continued] if self._continued else messages
        composed = Assembly(self._vocabulary, self._stretches, contents, self._pictures).compose(rendered)
        self._tokenize_ns += now_ns() - began
        return composed

    def _entries(self, messages: Sequence[ChatMessage]) -> list[Entry]:
        self._pictures.clear()
        return [
            Entry(
                message.role,
                self._content(number, message),
                markers.marked(0, self._untrusted(message.thinking)),
                tuple(map(self._guarded_call, message.calls)),
                message.result_of and self._guarded_call(message.result_of),
            )
            for number, message in enumerate(messages, 1)
        ]

    def _guarded_call(self, call: ToolCall) -> ToolCall:
        return ToolCall(self._untrusted(call.name), self._untrusted(call.arguments), call.id)

    def _content(self, number: int, answer: ChatMessage, *, whole: bool = False) -> str:
        """Return a message for the template, with placeholders for ids and pictures; `whole` prevents the template from stripping it."""
        if generated_ids(answer, self._vocabulary) is not None:
            return markers.wrapped(number, "")
        text = self._pictured(answer.text) if answer.role is Role.USER else self._untrusted(answer.text)
        return markers.wrapped(number, text) if whole else markers.marked(number, text)

    def _answer_so_far(self, rendered: Rendered, answer: ChatMessage, number: int) -> str:
        """Return the text after the rendered prompt that continues an answer: its thinking and text as the model writes them."""
        opened = open_style(rendered.ending, rendered.style)
        style = opened or rendered.style or STYLES[0]
        before = ""
        if answer.thinking:
            before = "" if opened else style.opening + style.line
            before += markers.wrapped(0, self._untrusted(answer.thinking))
            if answer.text:
                before += style.line + style.closing + style.gap + style.answer[0]
        elif opened and answer.text:
            before = style.closing + style.gap + style.answer[0]
        elif answer.text and not rendered.ending.endswith(style.reply):
            before = style.reply
        return before + self._content(number, answer, whole=True) if answer.text else before

    def _ends_in_thinking(self, rendered: Rendered) -> bool:
        answer = self._continued
        if answer and (answer.text or answer.thinking):
            return not answer.text
        return open_style(rendered.ending, rendered.style) is not None

    def _count(self, text: str) -> int:
        return self._stretches.count(markers.cleaned(text), self._room)

    def _untrusted(self, text: str) -> str:
        return self._stretches.guard(markers.cleaned(text))
