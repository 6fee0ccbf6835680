"""From a branch of the conversation to the token ids of a prompt."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from engine.backend import PreparedPrompt, Vocabulary
from engine.chat import marks
from engine.chat.marks import Broken, Closed, Literal, Opened
from engine.chat.stretches import CHARACTERS_PER_TOKEN, Stretches
from engine.chat.template import ChatFormat, Entry, Rendered, Thinking
from engine.chat.thinking import open_style, style_of
from engine.chat.window import Window
from engine.errors import EngineError, UsageError
from engine.metrics.clock import now_ns
from engine.records import Message, Role


class PromptCache:
    """What the prompts of one backend share: the template with its quirks found out, and tokenized stretches.

    Made anywhere, used on the backend's thread only.
    """

    def __init__(self) -> None:
        self._key: tuple[str, str | None] | None = None
        self._ready: tuple[ChatFormat, Stretches] | None = None

    def ready_for(self, vocabulary: Vocabulary, template: str | None) -> tuple[ChatFormat, Stretches]:
        """The format and the tokenizer of a model; made anew when the model is another than last time."""
        key = (vocabulary.fingerprint, template)
        if self._ready is None or self._key != key:
            chat_format = ChatFormat(template, vocabulary)
            self._ready, self._key = (chat_format, Stretches(vocabulary, chat_format.literals)), key
        return self._ready


@dataclass(frozen=True, slots=True)
class PromptBuilder:
    """One turn's prompt to be. An instance is the `prepare` of a `GenerateRequest`: it is called on the backend's thread."""

    branch: tuple[Message, ...]
    """From the root to the message to be answered, or to the answer to be continued."""
    template: str | None
    """`ModelInfo.chat_template`."""
    cache: PromptCache
    system: str | None = None
    """The system prompt, unless the branch begins with a system message of its own."""
    thinking: Thinking = "auto"
    reserve: int = 0
    """Tokens to keep free for the answer; never more than half of the window."""
    first_kept: int = 0
    """`PreparedPrompt.first_kept` of the turn before: turns left out once stay out, so that the KV cache stays useful."""
    continue_answer: bool = False
    """The branch ends with an answer that is to go on where it stopped."""

    def __call__(self, vocabulary: Vocabulary, n_ctx: int) -> PreparedPrompt:
        """Make the prompt.

        Raises UsageError when there is nothing to answer, EngineError when the last message does not fit into the window.
        """
        return _Preparation(self, vocabulary, n_ctx).prompt()


@dataclass(frozen=True, slots=True)
class _Composed:
    """Some messages as a prompt, whatever its length."""

    tokens: array[int]
    text: str
    boundaries: tuple[int, ...]
    opens_thinking: bool
    notices: tuple[str, ...]
    stop: tuple[str, ...]


class _Preparation:
    """One call of a PromptBuilder."""

    def __init__(self, builder: PromptBuilder, vocabulary: Vocabulary, n_ctx: int) -> None:
        branch = builder.branch
        own_system = bool(branch) and branch[0].role is Role.SYSTEM
        system = branch[0].text if own_system else builder.system
        messages = branch[1:] if own_system else branch
        self._prefill: Message | None = None
        if builder.continue_answer and messages and messages[-1].role is Role.ASSISTANT:
            messages, self._prefill = messages[:-1], messages[-1]
        if not messages or messages[-1].role is not Role.USER:
            raise UsageError("There is no message to answer", hint="Write one first.")
        self._builder = builder
        self._vocabulary = vocabulary
        self._n_ctx = n_ctx
        self._reserve = max(1, min(builder.reserve, n_ctx // 2))
        self._room = n_ctx - self._reserve
        self._system = system or ""
        self._messages = messages
        self._turn_starts = [index for index, message in enumerate(messages) if message.role is Role.USER]
        self._turn_starts[0] = 0
        self._started = datetime.fromtimestamp(messages[0].created_ms / 1000).astimezone()
        self._template_ns = 0
        began = now_ns()
        self._format, self._stretches = builder.cache.ready_for(vocabulary, builder.template)
        self._template_ns += now_ns() - began

    def prompt(self) -> PreparedPrompt:
        began = now_ns()
        template_before = self._template_ns
        self._refuse_what_never_fits()
        start = self._first_guess()
        composed = self._compose(self._messages[start:])
        while len(composed.tokens) > self._room:
            start = self._next_start(start, len(composed.tokens))
            composed = self._compose(self._messages[start:])
        whole_ns = now_ns() - began
        return PreparedPrompt(
            tokens=tuple(composed.tokens),
            text=composed.text,
            boundaries=composed.boundaries,
            left_out=sum(turn < start for turn in self._turn_starts),
            first_kept=start,
            opens_thinking=composed.opens_thinking,
            notices=composed.notices,
            stop=composed.stop,
            template_ns=self._template_ns,
            tokenize_ns=whole_ns - (self._template_ns - template_before),
        )

    def _refuse_what_never_fits(self) -> None:
        """A message of megabytes is refused by a look at its beginning."""
        kept = (self._system, *(message.text for message in self._messages[self._turn_starts[-1] :]))
        longest = max(kept, key=len)
        if len(longest) > self._room * CHARACTERS_PER_TOKEN and (count := self._count(longest)) > self._room:
            raise self._too_long(count)

    def _first_guess(self) -> int:
        """From which message on; exact counting only when leaving out is in question at all."""
        characters = sum(len(message.text) for message in self._messages)
        if not self._builder.first_kept and characters <= self._room * 8:
            return 0
        return self._window().first_kept(self._builder.first_kept)

    def _next_start(self, start: int, needed: int) -> int:
        if start == self._turn_starts[-1]:
            raise self._too_long(needed)
        fresh = self._window().first_kept(-1)
        return fresh if fresh > start else next(turn for turn in self._turn_starts if turn > start)

    def _window(self) -> Window:
        base, overhead = self._overhead()
        sizes = [overhead + self._size(message) for message in self._messages]
        if self._system:
            base += overhead + self._count(self._system)
        if self._prefill:
            base += overhead + self._size(self._prefill)
        return Window(sizes, self._turn_starts, base, self._room)

    def _size(self, message: Message) -> int:
        if _ids(message, self._vocabulary) is not None:
            return len(message.tokens or ())
        return self._count(message.text)

    def _overhead(self) -> tuple[int, int]:
        """Tokens that the template needs for any prompt, and for each message."""
        user = Message(0, None, Role.USER, "x")
        answer = Message(0, None, Role.ASSISTANT, "x")
        content = self._count("x")
        short = len(self._compose([user], bare=True).tokens)
        long = len(self._compose([user, answer, user], bare=True).tokens)
        overhead = max(1, -(-(long - short) // 2) - content)
        return max(0, short - content - overhead), overhead

    def _too_long(self, needed: int) -> EngineError:
        enough = needed + self._reserve
        return EngineError(
            "The message does not fit into the context window",
            f"with what has to go before it, it needs about {needed:,} tokens; the window holds {self._n_ctx:,}, of which "
            f"{self._reserve:,} are kept for the answer",
            f"Shorten it, or set n_ctx to {enough:,} or more.",
        )

    def _compose(self, messages: Sequence[Message], *, bare: bool = False) -> _Composed:
        """The prompt for these messages; a bare one is without system prompt and answer to continue."""
        began = now_ns()
        entries = [self._entry(number, message) for number, message in enumerate(messages, 1)]
        if self._system and not bare:
            entries.insert(0, Entry(Role.SYSTEM, marks.marked(0, self._untrusted(self._system))))
        rendered = self._format.render(entries, thinking=self._builder.thinking, now=self._started)
        self._template_ns += now_ns() - began
        contents = list(messages)
        opened = open_style(rendered.text.rpartition(marks.CLOSE)[2])
        if self._prefill and self._prefill.text and not bare:
            contents.append(self._prefill)
            rendered, opened = self._with_prefill(rendered, self._prefill, len(contents)), None
        return _Assembly(self._vocabulary, self._stretches, contents).compose(rendered, opens_thinking=opened is not None)

    def _entry(self, number: int, message: Message) -> Entry:
        if _ids(message, self._vocabulary) is not None:
            content = marks.opening(number) + marks.CLOSE
        else:
            content = marks.marked(number, self._untrusted(message.text))
        thinking = marks.marked(0, self._untrusted(message.thinking)) if message.thinking else ""
        return Entry(message.role, content, thinking)

    def _with_prefill(self, rendered: Rendered, answer: Message, number: int) -> Rendered:
        """The rendered prompt with the thinking and the answer so far behind it, as the model would have written them."""
        ending = rendered.text.rpartition(marks.CLOSE)[2]
        opened = open_style(ending)
        style = opened or style_of(rendered.source)
        before = ""
        if answer.thinking:
            thinking = marks.opening(0) + self._untrusted(answer.thinking) + marks.CLOSE
            before = ("" if opened else style.opening + style.line) + thinking + style.line + style.closing + style.gap
        elif opened:
            before = style.closing + style.gap
        elif not ending.endswith(style.reply):
            before = style.reply
        text = "" if _ids(answer, self._vocabulary) is not None else self._untrusted(answer.text)
        return replace(rendered, text=rendered.text + before + marks.opening(number) + text + marks.CLOSE)

    def _count(self, text: str) -> int:
        return self._stretches.count(marks.cleaned(text), self._room)

    def _untrusted(self, text: str) -> str:
        return self._stretches.guard(marks.cleaned(text))


class _Assembly:
    """Puts the tokens of a rendered prompt together, stretch by stretch."""

    def __init__(self, vocabulary: Vocabulary, stretches: Stretches, contents: Sequence[Message]) -> None:
        self._vocabulary = vocabulary
        self._stretches = stretches
        self._contents = contents
        self._tokens = array("i")
        self._text: list[str] = []
        self._pending: list[str] = []
        self._continued = False
        self._boundaries: list[int] = []

    def compose(self, rendered: Rendered, *, opens_thinking: bool) -> _Composed:
        since_content: list[str] = []
        for part in marks.parts(rendered.text):
            match part:
                case Literal(text):
                    self._pending.append(text)
                    self._text.append(text)
                    since_content.append(text)
                case Broken():
                    self._flush(continued=True)
                case Opened(number):
                    self._open(number, "".join(since_content))
                case Closed():
                    since_content.clear()
        self._flush(continued=True)
        shift = self._put_bos()
        return _Composed(
            self._tokens,
            "".join(self._text),
            tuple(sorted({at + shift for at in self._boundaries if at + shift > 0})),
            opens_thinking,
            rendered.notices,
            rendered.stop,
        )

    def _open(self, number: int, literal: str) -> None:
        if not number:
            return
        message = self._contents[number - 1]
        if message.role is Role.USER:
            self._begin_turn(literal)
        elif (ids := _ids(message, self._vocabulary)) is not None:
            self._flush(continued=True)
            self._tokens.extend(ids)
            self._text.append(message.text)

    def _begin_turn(self, literal: str) -> None:
        """Cut before the last control token in front of a message: what comes before is a stretch that later turns share."""
        at = self._stretches.specials.last(literal)
        if at is None:
            if self._pending == [literal] and self._continued:
                self._boundaries.append(len(self._tokens))
            return
        pending = "".join(self._pending)
        cut = len(pending) - len(literal) + at
        if cut < 0:
            return
        self._pending = [pending[:cut]]
        self._flush(continued=False)
        self._boundaries.append(len(self._tokens))
        self._pending = [pending[cut:]]

    def _flush(self, *, continued: bool) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        if text:
            self._tokens.extend(self._stretches.tokens(text, continued=self._continued))
        self._continued = continued

    def _put_bos(self) -> int:
        """Exactly one BOS where the model wants one, none added elsewhere; returns by how much the positions moved."""
        bos = self._vocabulary.bos
        if bos is None:
            return 0
        if list(self._tokens[:2]) == [bos, bos]:
            del self._tokens[0]
            return -1
        if self._vocabulary.add_bos and list(self._tokens[:1]) != [bos]:
            self._tokens.insert(0, bos)
            return 1
        return 0


def _ids(message: Message, vocabulary: Vocabulary) -> tuple[int, ...] | None:
    """The generated ids of an answer, if it is this model's."""
    if message.role is Role.ASSISTANT and message.tokens and message.tokens_of == vocabulary.fingerprint:
        return message.tokens
    return None
