"""An engine of the simplest kind: it gets messages and sends text. No token ids, no KV state, no threads of its own, nothing to tune."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from engine.backend import (
    Backend,
    BackendEvent,
    Capabilities,
    EngineInfo,
    GenerateRequest,
    GenerationFinished,
    PromptFacts,
    PromptReady,
    StopReason,
    TokensDecoded,
)
from engine.clock import now_ns
from engine.errors import UsageError
from engine.messages import ChatPrompt
from engine.model_ref import ModelRef, RemoteModel
from engine.presets.preset import Preset
from engine.timings import compute_timings
from tests.factories import model_info

PARROT = RemoteModel("echo", "parrot")
"""A model that it runs."""


class EchoBackend(Backend):
    """Answers a message with how many messages it was given and what the last one says, word by word."""

    def __init__(self) -> None:
        self.requests: list[GenerateRequest] = []
        self._loaded: EngineInfo | None = None
        self.most_words: int | None = None
        """So many words are said, and then a stop is waited for."""
        self._stopped = Event()
        self._worker = ThreadPoolExecutor(1)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def runs(self, ref: ModelRef) -> bool:
        return isinstance(ref, RemoteModel)

    @property
    def dead(self) -> None:
        return None

    @property
    def loaded(self) -> EngineInfo | None:
        return self._loaded

    def load(self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool = False) -> Future[EngineInfo]:
        model = model_info(ref, fingerprint="echo", chat_template=None)
        self._loaded = EngineInfo(model, preset, n_ctx=4096, load_ms=0.0)
        future: Future[EngineInfo] = Future()
        future.set_result(self._loaded)
        return future

    def cancel_load(self) -> None:
        pass

    def submit(self, request: GenerateRequest) -> None:
        self.requests.append(request)
        self._stopped.clear()
        self._worker.submit(self._answer, request)

    def stop(self, turn: int | None = None) -> None:
        self._stopped.set()

    def apply_hot(self, preset: Preset) -> None:
        pass

    def close(self) -> None:
        self._worker.shutdown()

    def _answer(self, request: GenerateRequest) -> None:
        started = now_ns()
        times: list[int] = []
        reason, error = StopReason.EOG, None
        if isinstance(request.prompt, ChatPrompt):
            request.on_event(PromptReady(request.turn, started, started, PromptFacts(None), 0, None))
            messages = request.prompt.messages
            for word in f"{len(messages)} messages, the last one says: {messages[-1].text}".split(" "):
                if len(times) == self.most_words:
                    self._stopped.wait()
                if self._stopped.is_set():
                    reason = StopReason.CANCELLED
                    break
                times.append(now_ns())
                request.on_event(TokensDecoded(request.turn, (word + " ",), (times[-1],)))
        else:
            reason, error = StopReason.ERROR, UsageError("This engine answers messages only")
        timings = compute_timings(
            cache_n=0,
            prompt_n=0,
            submitted_ns=request.submitted_ns,
            prefill_start_ns=started,
            prefill_end_ns=started,
            token_ns=times,
        )
        request.on_event(
            GenerationFinished(request.turn, now_ns(), reason, timings, started, started, started, 0, tuple(times), error=error)
        )
