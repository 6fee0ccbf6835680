"""Drives a backend from a test: requests in, events out, and waiting for events instead of sleeping."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from engine.backend import (
    BackendEvent,
    GenerateRequest,
    GenerationFinished,
    Priority,
    PromptReady,
    TokensDecoded,
)
from engine.clock import now_ns
from engine.llama.backend import LlamaBackend
from engine.messages import Constraint, Prompt, TextPrompt, TokenPrompt
from engine.presets.preset import Preset, Sampling

PATIENCE_S = 60.0
"""Longest wait for an event; only a broken engine reaches it."""

GREEDY = Sampling(temperature=0.0)
SMALL = Preset(n_ctx=1024, threads=1, threads_batch=1)
"""Small and predictable: one thread computes the same sums in the same order every time."""
WORDS = [32 + number % 90 for number in range(700)]
"""A long prompt in the vocabulary of the tiny models."""

E = TypeVar("E")


text_prompt = TextPrompt
"""Control tokens included."""


def token_prompt(tokens: Sequence[int], *, boundaries: Sequence[int] = ()) -> TokenPrompt:
    return TokenPrompt(tuple(tokens), tuple(boundaries))


@dataclass
class Answer:
    """Everything that one turn said, in order."""

    events: list[BackendEvent] = field(default_factory=list)

    def all(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ready(self) -> PromptReady:
        return self.all(PromptReady)[0]

    @property
    def finished(self) -> GenerationFinished:
        return self.all(GenerationFinished)[0]

    @property
    def tokens(self) -> list[int]:
        return [token for chunk in self.all(TokensDecoded) for token in chunk.tokens]

    @property
    def text(self) -> str:
        return "".join(piece for chunk in self.all(TokensDecoded) for piece in chunk.pieces) + self.finished.tail


class Conversation:
    """One turn under way."""

    def __init__(self, backend: LlamaBackend, turn: int) -> None:
        self.backend = backend
        self.turn = turn
        self.answer = Answer()
        self._events: queue.SimpleQueue[BackendEvent] = queue.SimpleQueue()

    def receive(self, event: BackendEvent) -> None:
        self._events.put(event)

    def wait_for(self, kind: type[E]) -> E:
        """The next event of a kind; those before it are kept in the answer."""
        while True:
            event = self._events.get(timeout=PATIENCE_S)
            self.answer.events.append(event)
            if isinstance(event, kind):
                return event

    def finish(self) -> Answer:
        """Wait for the end of the turn."""
        self.wait_for(GenerationFinished)
        return self.answer


class Driver:
    """Numbers the turns of one backend."""

    def __init__(self, backend: LlamaBackend) -> None:
        self.backend = backend
        self._turns = 0

    def start(
        self,
        prompt: Prompt,
        *,
        sampling: Sampling = GREEDY,
        stop: Sequence[str] = (),
        max_tokens: int | None = None,
        priority: Priority = Priority.INTERACTIVE,
        asker: str = "",
        repeatable: bool = False,
        constraint: Constraint | None = None,
        prompt_logprobs: bool = False,
        logprobs: int | None = None,
        on_event: Callable[[BackendEvent], None] | None = None,
    ) -> Conversation:
        """Submit a turn; `on_event` sees each event first, on the compute thread."""
        self._turns += 1
        conversation = Conversation(self.backend, self._turns)

        def receive(event: BackendEvent) -> None:
            if on_event is not None:
                on_event(event)
            conversation.receive(event)

        self.backend.submit(
            GenerateRequest(
                turn=self._turns,
                prompt=prompt,
                sampling=sampling,
                on_event=receive,
                submitted_ns=now_ns(),
                stop=tuple(stop),
                max_tokens=max_tokens,
                priority=priority,
                asker=asker,
                repeatable=repeatable,
                constraint=constraint,
                prompt_logprobs=prompt_logprobs,
                logprobs=logprobs,
            )
        )
        return conversation

    def ask(self, prompt: Prompt, **options: object) -> Answer:
        """Submit a turn and wait for its end."""
        return self.start(prompt, **options).finish()  # type: ignore[arg-type]
