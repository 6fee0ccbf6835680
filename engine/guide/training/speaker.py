"""Asks a GGUF questions through xchat's own engine and chat template, and keeps the answers.

Development only: the evaluation and the tests of the shipped file speak to it through this.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from types import TracebackType

from engine.backend import BackendEvent, GenerateRequest, GenerationFinished, StopReason, TokensDecoded
from engine.clock import now_ns
from engine.errors import EngineError
from engine.llama.backend import LlamaBackend
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.presets.preset import Preset, Sampling


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said."""

    text: str
    tokens: int
    ended_itself: bool


class Speaker:
    """One loaded model to ask; a context manager."""

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        self._backend = LlamaBackend(trusted=lambda _path: True)
        self._backend.load(path, Preset(threads=threads, threads_batch=threads, n_ctx=4096), lambda _event: None).result()
        self._turns = count(1)

    def __enter__(self) -> Speaker:
        """The speaker itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Unload."""
        self._backend.close()

    def ask(
        self, *said: str, temperature: float = 0.0, seed: int = 1, max_tokens: int = 1200, thinking: bool = False, system: str | None = None
    ) -> Answer:
        """Answer the last of what was said, questions and answers in turn."""
        done = threading.Event()
        pieces: list[str] = []
        finished: list[GenerationFinished] = []

        def on_event(event: BackendEvent) -> None:
            if isinstance(event, TokensDecoded):
                pieces.extend(event.pieces)
            elif isinstance(event, GenerationFinished):
                finished.append(event)
                done.set()

        self._backend.submit(
            GenerateRequest(
                turn=next(self._turns),
                prompt=ChatPrompt(_messages(said, system), thinking="on" if thinking else "auto"),
                sampling=Sampling(temperature=temperature, seed=seed),
                on_event=on_event,
                submitted_ns=now_ns(),
                max_tokens=max_tokens,
            )
        )
        done.wait()
        end = finished[0]
        if end.error is not None:
            raise EngineError(str(end.error))
        return Answer("".join(pieces) + end.tail, len(end.token_ns), end.reason is StopReason.EOG)


def _messages(said: Sequence[str], system: str | None) -> tuple[ChatMessage, ...]:
    first = (ChatMessage(Role.SYSTEM, system),) if system else ()
    return (*first, *(ChatMessage(role, text) for role, text in zip(cycle((Role.USER, Role.ASSISTANT)), said, strict=False)))
