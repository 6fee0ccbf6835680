"""The answers to one request as they grow. On the event loop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from engine.backend import BackendEvent, GenerationFinished, PrefillProgressed, PromptReady, StopReason, TokensDecoded
from engine.chat.thinking import Split
from engine.chat.tools import ToolParser
from engine.clock import NS_PER_MS, now_ns
from engine.errors import EngineError
from engine.logprobs import PromptScored, TokenLogprobs
from engine.messages import Constraint, Prompt, ToolCall
from engine.metrics.noise import NoiseWatch
from engine.presets.preset import Sampling
from engine.records import Message, TurnRecord
from engine.serving.refusal import Refusal, refusal_of
from engine.session.answer import Turn
from engine.session.instruments import TurnFigures
from engine.timings import Timings


@dataclass(frozen=True, slots=True)
class Question:
    """The prompts of a request and its wishes for the answers."""

    prompts: tuple[Prompt, ...]
    sampling: Sampling
    max_tokens: int | None
    stop: tuple[str, ...] = ()
    n: int = 1
    """Answers per prompt."""
    plain: bool = False
    """Whether the text is the answer as it is, without parsing of thinking."""
    progress: bool = False
    """Whether to report prefill progress."""
    logprobs: int | None = None
    """Number of the likeliest tokens to report with each token; None reports nothing."""
    prompt_logprobs: bool = False
    """Whether to report log-probabilities of the prompt."""
    constraint: Constraint | None = None
    tool_parser: Callable[[], ToolParser] | None = None
    """Creates the parser of an answer's tool calls; None where no tools are offered."""
    one_call: bool = False
    """Whether to return at most one call."""


@dataclass(frozen=True, slots=True)
class Growth:
    """Additions to an answer."""

    answer: str = ""
    thinking: str = ""
    moved: bool = False
    """Whether `thinking` is all of it, and was part of the answer before."""
    chunks: tuple[TokensDecoded, ...] = ()
    progress: tuple[PrefillProgressed, ...] = ()
    calls: tuple[ToolCall, ...] = ()

    @property
    def logprobs(self) -> list[TokenLogprobs]:
        """Log-probabilities of its tokens; empty where not requested."""
        return [likely for chunk in self.chunks for likely in chunk.logprobs]

    def then(self, later: Growth) -> Growth:
        """Return both additions together."""
        chunks, progress, calls = self.chunks + later.chunks, self.progress + later.progress, self.calls + later.calls
        if later.moved:  # it has all of the thinking, including text that was part of the answer before
            return Growth(later.answer, later.thinking, moved=True, chunks=chunks, progress=progress, calls=later.calls)
        return Growth(self.answer + later.answer, self.thinking + later.thinking, self.moved, chunks, progress, calls)


class Answer:
    """One of the answers to a request."""

    def __init__(self, index: int, number: int, turn: Turn, *, leads: bool = True) -> None:
        self.index = index
        self.leads = leads
        """Whether it is the first answer to its prompt."""
        self.number = number
        """Number of its turn in the engine."""
        self.turn = turn
        self.end: GenerationFinished | None = None
        self.first_ns = self.last_ns = 0
        """Times of its first and its newest token."""
        self.cached = 0
        """Tokens of its prompt that were in the KV cache."""
        self.pieces: list[str] = []
        """Its text, where plain or separated from its calls."""
        self.tools: ToolParser | None = None
        self.calls: list[ToolCall] = []
        self.logprobs: list[TokenLogprobs] = []
        self.scored: PromptScored | None = None
        self.progress: PrefillProgressed | None = None

    @property
    def finished(self) -> GenerationFinished:
        """Its last event, once it has ended."""
        assert self.end is not None
        return self.end

    def record(self) -> TurnRecord:
        """Return its turn, as logged, once it has ended."""
        noise = NoiseWatch()
        noise.waited(self.finished.taken_share)
        return self.turn.record(self.finished, TurnFigures(judged=noise.judged, noisy=noise.verdict(), disturbed=noise.share))

    @property
    def text(self) -> str:
        """Its text, without thinking and calls where these are parsed."""
        return "".join(self.pieces) if self.pieces or self.tools is not None else self.turn.parser.answer

    @property
    def n_prompt(self) -> int:
        """Tokens of its prompt, once it is ready."""
        return (self.turn.prompt.prompt.n_tokens or 0) if self.turn.prompt else 0

    def timings_after(self, n: int) -> Timings:
        """Return its timings up to now, when `n` of its tokens have been sent."""
        evaluated, prompt_ms = (self.progress.processed, self.progress.elapsed_ms) if self.progress else (0, 0.0)
        decode_ms = max(0, self.last_ns - self.progress.at_ns) / NS_PER_MS if self.progress and n else 0.0
        return Timings(self.cached, evaluated, prompt_ms, n, decode_ms, None, None, None, None, None)


class Answers:
    """All answers to a request; `more` waits for additions."""

    def __init__(self, question: Question, asked: Message, answers: Sequence[Answer], *, client: str, path: str) -> None:
        self.question = question
        self.client = client
        """The client: an address, or the number of a key."""
        self.path = path
        """Path of the endpoint."""
        self.asked = asked
        """The message to be answered."""
        self.logged = False
        """Whether `asked` is in the log."""
        self.all = answers
        self.ready = False
        """Whether the prefill of an answer has begun: the request is accepted."""
        self._changed = asyncio.Event()
        self._grown: dict[Answer, Growth] = {}
        self._ended: list[Answer] = []
        self._left = len(answers)
        self.touched_ns = now_ns()
        """Time of the last data sent to the client."""
        self.waited = False
        """Whether nothing was sent for so long that a ping is due."""
        self.gone = False
        """Whether the client has disconnected."""

    def take(self, answer: Answer, event: BackendEvent) -> None:
        """Handle an event of an answer."""
        match event:
            case TokensDecoded():
                answer.first_ns, answer.last_ns = answer.first_ns or event.token_ns[0], event.token_ns[-1]
                answer.logprobs += event.logprobs
                self._add(answer, self._growth(answer, self._split(answer, event), (event,)))
            case PromptScored():
                answer.scored = event
                return
            case PrefillProgressed():
                answer.progress = event
                if not self.question.progress:
                    return
                self._add(answer, Growth(progress=(event,)))
            case PromptReady():
                if not self.question.plain:
                    answer.turn.prompt_ready(event)
                else:
                    answer.turn.prompt = event
                answer.cached = event.cache_n
                self.ready = True
            case GenerationFinished():
                answer.end = event
                self._left -= 1
                self._ended.append(answer)
                split = _plain(answer, event.tail) if self.question.plain else answer.turn.finish(event.tail)
                growth = self._growth(answer, split, final=True)
                if growth.answer or growth.thinking or growth.calls:
                    self._add(answer, growth)
            case _:
                return
        self._changed.set()

    def wake(self) -> None:
        """Let `more` return without an event."""
        self._changed.set()

    @property
    def done(self) -> bool:
        """Whether all have ended and `more` has returned all of it."""
        return not self._left and not self._grown and not self._ended

    async def more(self) -> tuple[dict[Answer, Growth], list[Answer]]:
        """Wait; return the additions since the last call and the answers that ended."""
        await self._changed.wait()
        self._changed.clear()
        grown, self._grown = self._grown, {}
        ended, self._ended = self._ended, []
        return grown, ended

    def _split(self, answer: Answer, chunk: TokensDecoded) -> Split:
        if not self.question.plain:
            return answer.turn.grow(chunk)
        answer.turn.tokens += chunk.tokens
        answer.turn.token_ns += chunk.token_ns
        return _plain(answer, "".join(chunk.pieces))

    def _growth(self, answer: Answer, split: Split, chunks: tuple[TokensDecoded, ...] = (), *, final: bool = False) -> Growth:
        """Return the additions to an answer, with its calls separated from the text."""
        if self.question.tool_parser is None:
            return Growth(split.answer, split.thinking, split.moved, chunks)
        if answer.tools is None or split.moved:
            answer.tools, answer.pieces, answer.calls = self.question.tool_parser(), [], []
        text, found = answer.tools.feed(split.answer)
        if final:
            text += answer.tools.finish()
        room = 1 - len(answer.calls) if self.question.one_call else len(found)
        calls = tuple(replace(call, id=secrets.token_hex(5)[:9]) for call in found[:room])  # every template accepts such an id
        answer.pieces.append(text)
        answer.calls += calls
        return Growth(text, split.thinking, split.moved, chunks, calls=calls)

    def _add(self, answer: Answer, growth: Growth) -> None:
        before = self._grown.get(answer)
        self._grown[answer] = growth if before is None else before.then(growth)


def _plain(answer: Answer, text: str) -> Split:
    answer.pieces.append(text)
    return Split("", text)


def failure_of(answer: Answer, *, closing: bool) -> Refusal | None:
    """Return why an ended answer failed; None for a good one."""
    end = answer.finished
    if end.reason is StopReason.ERROR:
        return refusal_of(end.error or EngineError("The engine failed"))
    if end.reason is StopReason.CANCELLED:
        return Refusal(503, "The server is shutting down" if closing else "The answer was stopped")
    return None
