"""The loaded model for requests: its names, its tokens, and its answers under way. On the event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from engine.backend import (
    BackendEvent,
    EngineInfo,
    GenerateRequest,
    GenerationFinished,
    Priority,
    PromptFacts,
    StopReason,
    TokensDecoded,
)
from engine.clock import now_ns, wall_ms
from engine.errors import XchatError
from engine.llama.backend import LlamaBackend
from engine.llama.commands import conclude_unstarted
from engine.messages import ChatPrompt, Prompt, Role, TextPrompt
from engine.model_ref import short_name
from engine.presets.preset import Preset, Sampling
from engine.records import Message, TurnRecord, new_message_id
from engine.serving.answers import Answer, Answers, Question
from engine.serving.hub import Hub
from engine.serving.live import Live
from engine.serving.refusal import Refusal, refusal_of
from engine.serving.tally import Tally
from engine.session.answer import Turn
from engine.text import printable

if TYPE_CHECKING:
    from engine.llama.model import Model

MOST_ANSWERS: Final = 256
"""Most answers under way and waiting; further requests are refused."""
MOST_OF_ONE: Final = 128
"""Of them, most of one key or address."""
MOST_BYTES: Final = 128 << 20
"""Bytes of the bodies of all requests in progress."""

MOST_RENDERED: Final = 32_768
"""Tokens of the longest prompt that is only shown or counted, where n_ctx is smaller."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Options:
    """The presentation of a server's model."""

    aliases: tuple[str, ...] = ()
    """Names of the model that replace its own; answers have the first one."""
    tags: tuple[str, ...] = ()
    """Labels in the list of models."""
    verbose: bool = False
    """Whether answers include llama-server's details even where not requested."""


class Served:
    """The engine behind the server."""

    def __init__(self, backend: LlamaBackend, preset: Preset, options: Options = Options()) -> None:
        """Create it on the running loop; `preset` has the defaults for requests."""
        self.backend = backend
        self.preset = preset
        self.tally = Tally()
        self.closing = False
        self.live = Live()
        self.under_way: set[Answers] = set()
        """Requests being answered."""
        self.draining = False
        """Whether requests for answers are refused."""
        self._held: dict[Answers, list[GenerateRequest]] = {}
        """Requests not yet sent to the engine while the server is paused."""
        self.paused = False
        self.body_bytes = 0
        """Total of all requests in progress."""
        self.on_finished: Callable[[Answers, Answer, TurnRecord], None] = lambda _answers, _answer, _record: None
        """Called for each ended answer."""
        self.hub = Hub(asyncio.get_running_loop())
        backend.before_decode = self.hub.flush
        self.options = options
        self._numbers = itertools.count(1)
        self._newest = 0

    @property
    def info(self) -> EngineInfo:
        """The loaded model. Raises Refusal while there is none."""
        if self.backend.dead is not None:
            raise Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, self.backend.dead.title)
        info = self.backend.loaded
        if info is None or self.closing:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server is shutting down" if self.closing else "Loading model")
        return info

    @property
    def name(self) -> str:
        """The name of the model in answers. Raises Refusal while none is loaded."""
        return self.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the model. Raises Refusal while none is loaded."""
        info = self.info
        return self.options.aliases or (printable(short_name(info.model.ref).removesuffix(".gguf")),)

    async def consult(self, job: Callable[[Model, int], Result]) -> Result:
        """Run a short job on the model and its n_ctx. Raises Refusal."""
        _ = self.info
        try:
            return await asyncio.wrap_future(self.backend.consult(job))
        except XchatError as error:
            raise refusal_of(error) from error

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> tuple[int, ...]:
        """Return the tokens of a text, after the BOS token where the model wants one."""

        def job(model: Model, _n_ctx: int) -> tuple[int, ...]:
            vocabulary = model.vocabulary
            tokens = vocabulary.tokenize(text, parse_special=parse_special)
            if add_special and vocabulary.add_bos and vocabulary.bos is not None:
                tokens = [vocabulary.bos, *tokens]
            return tuple(tokens)

        return await self.consult(job)

    async def known(self, tokens: Sequence[int], field: str = "prompt") -> tuple[int, ...]:
        """Return the same tokens. Raises Refusal when the model does not know them."""
        if not await self.consult(lambda model, _n_ctx: model.vocabulary.knows(tokens)):
            raise Refusal(HTTPStatus.BAD_REQUEST, f"{field} has tokens that this model does not know")
        return tuple(tokens)

    async def text(self, tokens: Sequence[int]) -> str:
        """Return the visible text of tokens."""
        return await self.consult(lambda model, _n_ctx: model.vocabulary.text(tokens))

    async def shown(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, control tokens included."""

        def job(model: Model, _n_ctx: int) -> str:
            return b"".join(map(model.vocabulary.piece, tokens)).decode("utf-8", "replace")

        return await self.consult(job)

    async def rendered(self, prompt: ChatPrompt) -> PromptFacts:
        """Return the prompt of a conversation as the engine would build it, even one longer than n_ctx."""
        return await self.consult(lambda model, n_ctx: model.prompts.build(prompt, max(n_ctx, MOST_RENDERED)).facts)

    # Answers

    def add_bytes(self, n: int) -> None:
        """Add received bytes of a body; negative once its request is answered. Raises Refusal above the limit."""
        self.body_bytes += n
        if n > 0 and self.body_bytes > MOST_BYTES:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests wait")

    def ask(self, question: Question, client: str, path: str) -> Answers:
        """Send a request to the engine; the caller must call `close` in the end. Raises Refusal above the limits."""
        _ = self.info
        self._admit(question, client)
        submitted, started = now_ns(), wall_ms()
        preset = msgspec.structs.replace(self.preset, sampling=question.sampling)
        asked = self._message(Role.USER, text_of(question.prompts[0]), None, started)
        made = [
            self._answer(index, asked.id, preset, submitted, started, leads=index % question.n == 0)
            for index in range(len(question.prompts) * question.n)
        ]
        answers = Answers(question, asked, made, client=client, path=path)
        self.under_way.add(answers)
        requests = []
        for answer in made:
            sampling = question.sampling
            if (number := answer.index % question.n) and sampling.seed is not None:
                sampling = _reseeded(question, number)
            requests.append(
                GenerateRequest(
                    turn=answer.number,
                    prompt=question.prompts[answer.index // question.n],
                    sampling=sampling,
                    on_event=self.hub.listener(partial(self._take, answers, answer)),
                    submitted_ns=submitted,
                    stop=question.stop,
                    max_tokens=question.max_tokens,
                    priority=Priority.API,
                    asker=client,
                    constraint=question.constraint,
                    logprobs=question.logprobs,
                    prompt_logprobs=question.prompt_logprobs,
                )
            )
        if self.paused:
            self._held[answers] = requests
        else:
            self._submit(requests)
        return answers

    def _submit(self, requests: Sequence[GenerateRequest]) -> None:
        for request in requests:
            self.backend.submit(request)

    def stop(self, answers: Answers) -> None:
        """End the unfinished answers to a request."""
        for request in self._held.pop(answers, ()):
            conclude_unstarted(request, StopReason.CANCELLED)
            self.hub.flush()
        for answer in answers.all:
            if answer.end is None:
                self.backend.stop(answer.number)

    def close(self, answers: Answers) -> None:
        """Forget a request and end its unfinished answers."""
        self.stop(answers)
        self.under_way.discard(answers)

    def stop_all(self) -> None:
        """End the answers to all requests."""
        for answers in self.under_way:
            self.stop(answers)

    # Operator's actions

    def use(self, preset: Preset) -> None:
        """Use a preset's settings as defaults for requests."""
        self.preset = preset

    def holds(self, answers: Answers) -> bool:
        """Return whether a request has not been sent to the engine."""
        return answers in self._held

    def pause(self, paused: bool) -> None:
        """Pause or resume passing new requests to the engine, which finishes the ones it has."""
        self.paused = paused
        if not paused:
            held, self._held = self._held, {}
            for requests in held.values():
                self._submit(requests)

    def drain(self, draining: bool) -> None:
        """Refuse new requests for answers and report being unhealthy, so that a proxy uses another server; or accept them again."""
        self.draining = draining

    def kick(self, number: int) -> None:
        """End the request of this answer; its client gets an error."""
        for answers in [answers for answers in self.under_way if any(answer.number == number for answer in answers.all)]:
            self.stop(answers)

    def check_open(self) -> None:
        """Raise Refusal while requests for answers are refused."""
        if self.draining:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "The server takes no more requests for now")

    def _admit(self, question: Question, client: str) -> None:
        self.check_open()
        clients = Counter[str]()
        for answers in self.under_way:
            clients[answers.client] += len(answers.all)
        n = len(question.prompts) * question.n
        if clients[client] + n > MOST_OF_ONE:
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"More than {MOST_OF_ONE} answers at once are not made for one client")
        if clients.total() + n > MOST_ANSWERS:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many requests wait")

    def _message(self, role: Role, text: str, parent_id: int | None, created_ms: int) -> Message:
        self._newest = new_message_id(self._newest)
        return Message(self._newest, parent_id, role, text, created_ms=created_ms)

    def _answer(self, index: int, asked: int, preset: Preset, submitted: int, started: int, *, leads: bool) -> Answer:
        info = self.info
        message = self._message(Role.ASSISTANT, "", asked, started)
        return Answer(index, next(self._numbers), Turn(message, info, preset, 1, submitted, started), leads=leads)

    def _take(self, answers: Answers, answer: Answer, event: BackendEvent) -> None:
        answers.take(answer, event)
        if isinstance(event, TokensDecoded):
            self.live.grew(event)
        elif isinstance(event, GenerationFinished):
            self.tally.add(event)
            record = answer.record()
            self.live.ended(answer, answers, record)
            self.on_finished(answers, answer, record)


def text_of(prompt: Prompt) -> str:
    """Return the message to be answered or the text to be continued; empty where only tokens are known."""
    match prompt:
        case ChatPrompt(messages):
            return next((message.text for message in reversed(messages) if message.role is Role.USER), "")
        case TextPrompt(text):
            return text
        case _:
            return ""


def _reseeded(question: Question, index: int) -> Sampling:
    """Return the sampling of a further answer: the same seed would give the same answer."""
    assert question.sampling.seed is not None
    return msgspec.structs.replace(question.sampling, seed=(question.sampling.seed + index) % 4_294_967_295)
