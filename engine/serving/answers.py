"""The answers to one request while they grow. On the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from engine.backend import BackendEvent, GenerationFinished, PromptReady, StopReason, TokensDecoded
from engine.chat.thinking import Split
from engine.clock import now_ns
from engine.errors import EngineError
from engine.messages import Prompt
from engine.metrics.noise import NoiseWatch
from engine.presets.preset import Sampling
from engine.records import Message, TurnRecord
from engine.serving.refusal import Refusal, refusal_of
from engine.session.answer import Turn
from engine.session.instruments import TurnFigures


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks of the engine."""

    prompt: Prompt
    sampling: Sampling
    max_tokens: int | None
    stop: tuple[str, ...] = ()
    n: int = 1
    plain: bool = False
    """The text is the answer as it is, without looking for thinking in it."""


class Answer:
    """One of the answers to a request."""

    def __init__(self, index: int, number: int, turn: Turn) -> None:
        self.index = index
        self.number = number
        """The number of its turn in the engine."""
        self.turn = turn
        self.end: GenerationFinished | None = None
        self.first_ns = self.last_ns = 0
        """When its first and its newest token were generated."""
        self.cached = 0
        """Tokens of its prompt that the KV cache held already."""
        self.pieces: list[str] = []
        """Its text, where it is not split into thinking and answer."""

    @property
    def finished(self) -> GenerationFinished:
        """Its end; only for one that has ended."""
        assert self.end is not None
        return self.end

    def record(self) -> TurnRecord:
        """Its turn, as it is logged; only for one that has ended."""
        noise = NoiseWatch()
        noise.waited(self.finished.taken_share)
        return self.turn.record(self.finished, TurnFigures(judged=noise.judged, noisy=noise.verdict(), disturbed=noise.share))

    @property
    def text(self) -> str:
        """Its text, where it is not split into thinking and answer."""
        return "".join(self.pieces)


class Answers:
    """All answers to a request; `more` waits for what they add."""

    def __init__(self, question: Question, asked: Message, answers: Sequence[Answer], *, client: str, path: str) -> None:
        self.question = question
        self.client = client
        """Who asks."""
        self.path = path
        """Of the endpoint."""
        self.asked = asked
        """The message that they answer."""
        self.logged = False
        """Whether `asked` is in the log."""
        self.all = answers
        self.ready = False
        """Whether the prompt of one is being evaluated: it is accepted."""
        self._changed = asyncio.Event()
        self._grown: dict[Answer, Split] = {}
        self._ended: list[Answer] = []
        self._left = len(answers)
        self.touched_ns = now_ns()
        """When something was last sent to the client."""
        self.waited = False
        """Nothing was sent for so long that a ping is due."""
        self.gone = False
        """The client has hung up."""

    def take(self, answer: Answer, event: BackendEvent) -> None:
        """Handle an event of one of them."""
        match event:
            case TokensDecoded():
                answer.first_ns, answer.last_ns = answer.first_ns or event.token_ns[0], event.token_ns[-1]
                self._add(answer, self._split(answer, event))
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
                self._add(answer, _plain(answer, event.tail) if self.question.plain else answer.turn.finish(event.tail))
            case _:
                return
        self._changed.set()

    def wake(self) -> None:
        """Let `more` return, though nothing happened."""
        self._changed.set()

    @property
    def done(self) -> bool:
        """Whether all have ended and `more` has returned all of it."""
        return not self._left and not self._grown and not self._ended

    async def more(self) -> tuple[dict[Answer, Split], list[Answer]]:
        """Wait; return what grew since the last call, with all that waited together, and the answers that ended."""
        await self._changed.wait()
        self._changed.clear()
        grown, self._grown = self._grown, {}
        ended, self._ended = self._ended, []
        return grown, ended

    def _split(self, answer: Answer, chunk: TokensDecoded) -> Split:
        if not self.question.plain:
            return answer.turn.grow(chunk)
        answer.turn.tokens += chunk.tokens
        answer.turn.n_tokens += len(chunk.token_ns)
        return _plain(answer, "".join(chunk.pieces))

    def _add(self, answer: Answer, split: Split) -> None:
        if split.answer or split.thinking:
            before = self._grown.get(answer)
            self._grown[answer] = split if before is None else _joined(before, split)


def _plain(answer: Answer, text: str) -> Split:
    answer.pieces.append(text)
    return Split("", text)


def failure_of(answer: Answer, *, closing: bool) -> Refusal | None:
    """Why an answer that has ended is none; None for a good one."""
    end = answer.finished
    if end.reason is StopReason.ERROR:
        return refusal_of(end.error or EngineError("The engine failed"))
    if end.reason is StopReason.CANCELLED:
        return Refusal(503, "The server is shutting down" if closing else "The answer was stopped")
    return None


def _joined(first: Split, second: Split) -> Split:
    if second.moved:  # it has all of the thinking, and `first` was part of it
        return second
    return Split(first.thinking + second.thinking, first.answer + second.answer, first.moved)
