"""Asks the engine for models elsewhere as a session does, and collects its events."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

from engine.backend import BackendEvent, EngineInfo, GenerateRequest, GenerationFinished, PromptReady, TokensDecoded
from engine.chat.thinking import ThinkingParser
from engine.clock import now_ns
from engine.config import EngineConfig
from engine.messages import ChatMessage, ChatPrompt, Prompt, Role, Thinking
from engine.model_ref import RemoteModel
from engine.presets.preset import Preset, Sampling
from engine.remote.backend import RemoteBackend
from engine.remote.connection import Times

QUICK = Times(connect=10.0, listing=10.0, first=0.5, silence=0.15, pause=0.002, longest_pause=0.01, longest_after=0.05)
"""Waits that suit a test."""
PATIENCE_S = 30.0


class Log:
    """The events of one turn."""

    def __init__(self) -> None:
        self.events: list[BackendEvent] = []
        self.grew = threading.Event()
        self._finished = threading.Event()

    def take(self, event: BackendEvent) -> None:
        self.events.append(event)
        if isinstance(event, TokensDecoded):
            self.grew.set()
        if isinstance(event, GenerationFinished):
            self._finished.set()

    def end(self) -> GenerationFinished:
        assert self._finished.wait(PATIENCE_S), "the last event did not come"
        end = self.events[-1]
        assert isinstance(end, GenerationFinished)
        assert sum(isinstance(event, GenerationFinished) for event in self.events) == 1
        return end

    @property
    def ready(self) -> PromptReady:
        return next(event for event in self.events if isinstance(event, PromptReady))

    def texts(self) -> tuple[str, str]:
        """The thinking and the answer, as a session takes them apart."""
        tail = self.end().tail
        chunks = [event for event in self.events if isinstance(event, TokensDecoded)]
        parser = ThinkingParser(self.ready.prompt.style) if chunks else ThinkingParser()
        for chunk in chunks:
            for piece in chunk.pieces:
                parser.feed(piece)
        parser.finish(tail)
        return parser.thinking, parser.answer


class Asking:
    """A backend for the engine `lab`."""

    def __init__(self, *urls: str, times: Times = QUICK, key_env: str | None = None, per_minute: int | None = None) -> None:
        self.engine = EngineConfig(name="lab", base_urls=list(urls), api_key_env=key_env, requests_per_minute=per_minute)
        self.backend = RemoteBackend(lambda: [self.engine], times)
        self._turns = itertools.count(1)
        self.turn = 0

    def load(self, model: str = "") -> EngineInfo:
        return self.backend.load(RemoteModel("lab", model), Preset(), lambda _: None).result(PATIENCE_S)

    def ask(
        self,
        *messages: str,
        prompt: Prompt | None = None,
        sampling: Sampling = Sampling(),  # noqa: B008 - immutable
        thinking: Thinking = "auto",
        max_tokens: int | None = None,
    ) -> Log:
        log, self.turn = Log(), next(self._turns)
        prompt = prompt or ChatPrompt(conversation(messages or ("Hi",)), thinking=thinking)
        self.backend.submit(GenerateRequest(self.turn, prompt, sampling, log.take, now_ns(), max_tokens=max_tokens))
        return log

    def close(self) -> None:
        self.backend.close()


def conversation(texts: Sequence[str]) -> tuple[ChatMessage, ...]:
    """Messages of the user and answers, in turns."""
    return tuple(ChatMessage(Role.ASSISTANT if number % 2 else Role.USER, text) for number, text in enumerate(texts))
