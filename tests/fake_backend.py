"""A backend that says a script: for tests of the session and the screen. It waits at gates, never for time."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import ClassVar

from engine.backend import (
    BackendEvent,
    Capabilities,
    EngineInfo,
    GenerateRequest,
    GenerationFinished,
    LoadProgressed,
    PoolNow,
    PrefillProgressed,
    Priority,
    PromptReady,
    StopReason,
    ThreadsNow,
    TokensDecoded,
)
from engine.chat.prompt import PreparedPrompt, PromptBuilder
from engine.clock import now_ns
from engine.errors import EngineError, XchatError
from engine.kv_state import HeldState, StateKey
from engine.model_ref import ModelRef, RemoteModel
from engine.models.fit import TooLargeError
from engine.presets.preset import Preset
from engine.timings import compute_timings
from tests.factories import CHATML, engine_info, model_info

SPECIAL = ("<|im_start|>", "<|im_end|>", "<think>", "</think>")
STEP_NS = 20_000_000
"""Pretended time between two tokens: 50 tokens/s."""


class FakeVocabulary:
    """Bytes are tokens 0 to 255; control texts follow, and from 1000 on the pieces that were generated."""

    pieces: ClassVar[list[str]] = []
    """Shared, since all fakes are the same model."""

    fingerprint = "fake"
    bos: int | None = None
    add_bos = False
    bos_text = ""
    eos_text = "<|im_end|>"
    special_texts = frozenset(SPECIAL)
    eog = frozenset({257})

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        if not parse_special:
            return list(text.encode())
        for index, special in enumerate(SPECIAL):
            if special in text:
                before, _, after = text.partition(special)
                return [*self.tokenize(before, parse_special=True), 256 + index, *self.tokenize(after, parse_special=True)]
        return list(text.encode())

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(self.pieces[token - 1000] if token >= 1000 else chr(token) for token in tokens if token < 256 or token >= 1000)

    def generated(self, piece: str) -> int:
        """A token for a generated piece."""
        self.pieces.append(piece)
        return 999 + len(self.pieces)


@dataclass
class FakeBackend:
    """Answers every turn with `script`, one piece per token.

    `gated=True` holds each token back until `release` lets it go; loads wait for `load_gate`.
    """

    script: Sequence[str] = ("Hello", " there", ".")
    gated: bool = False
    reason: StopReason = StopReason.EOG
    error: XchatError | None = None
    load_error: XchatError | None = None
    n_ctx: int = 4096
    prefill_steps: int = 1
    at_once: bool = False
    """Answers are made at the same time, each on a thread of its own with its own gate."""
    requests: list[GenerateRequest] = field(default_factory=list)
    prompts: list[PreparedPrompt] = field(default_factory=list)
    stream_batch: int = 1
    hot: list[Preset] = field(default_factory=list)
    loads: list[tuple[ModelRef, Preset, bool]] = field(default_factory=list)
    """Model, preset, force."""

    def __post_init__(self) -> None:
        self.dead: XchatError | None = None
        self.loaded: EngineInfo | None = None
        self.threads_now: ThreadsNow | None = None
        self.pool_now: PoolNow | None = None
        self.held: HeldState | None = None
        self.most_bytes = 0
        self.given: list[HeldState] = []
        self.load_gate = threading.Event()
        self.load_gate.set()
        self.prefill_gate = threading.Event()
        self.prefill_gate.set()
        self._vocabulary = FakeVocabulary()
        self._prompt_builder = PromptBuilder(self._vocabulary, CHATML)
        self._tokens: defaultdict[int, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(0))
        """Gates, by the number of the answer where they are made at once."""
        self._stopped: set[int] = set()
        self.classes: dict[int, Priority] = {}
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="compute", daemon=True)
        self._thread.start()

    # What tests turn

    def release(self, tokens: int = 1, answer: int = 0) -> None:
        """Let that many tokens through the gate, of the answer of this number where they are made at once."""
        self._tokens[answer].release(tokens)

    def die(self, error: XchatError) -> None:
        """The native library aborts at the next token."""
        self.dead = error
        self._open_gates()

    def _open_gates(self, turn: int | None = None) -> None:
        for number, request in enumerate(self.requests):
            if turn in (None, request.turn):
                self.release(answer=number if self.at_once else 0)

    # Backend

    capabilities = Capabilities(token_ids=True, kv_state=True, threads=True, stream_batch=True, memory=True, in_process=True)

    def runs(self, ref: ModelRef) -> bool:
        return not isinstance(ref, RemoteModel)

    def load(self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool = False) -> Future[EngineInfo]:
        self.loads.append((ref, preset, force))
        future: Future[EngineInfo] = Future()

        def job() -> None:
            on_event(LoadProgressed(ref, 0.5))
            self.load_gate.wait()
            if self.load_error is not None and not (force and isinstance(self.load_error, TooLargeError)):
                future.set_exception(self.load_error)
                return
            self.loaded = engine_info(model_info(ref), preset=preset, n_ctx=self.n_ctx)
            self._count(preset)
            future.set_result(self.loaded)

        self._jobs.put(job)
        return future

    def cancel_load(self) -> None:
        self.load_gate.set()

    def submit(self, request: GenerateRequest) -> None:
        self.requests.append(request)
        self.classes[request.turn] = request.priority
        if self.at_once:
            threading.Thread(target=self._answer, args=(request, len(self.requests) - 1), daemon=True).start()
        else:
            self._jobs.put(lambda: self._answer(request))

    def stop(self, turn: int | None = None) -> None:
        self._stopped |= {request.turn for request in self.requests if turn in (None, request.turn)}
        self.prefill_gate.set()
        self._open_gates(turn)

    def reclass(self, turn: int, priority: Priority) -> None:
        self.classes[turn] = priority

    @property
    def state_key(self) -> StateKey | None:
        return StateKey(self.loaded.model.fingerprint, "f16 f16 on 1", "fake") if self.loaded is not None else None

    def take_state(self, *, least_tokens: int, most_bytes: int) -> Future[HeldState | None]:
        self.most_bytes = most_bytes
        future: Future[HeldState | None] = Future()
        held = self.held if self.held is not None and len(self.held.tokens) >= least_tokens else None
        future.set_result(held if held is None or len(held.state) <= most_bytes else None)
        return future

    def put_state(self, held: HeldState) -> Future[int]:
        future: Future[int] = Future()
        self.given.append(held)
        future.set_result(len(held.tokens))
        return future

    def apply_hot(self, preset: Preset) -> None:
        self.hot.append(preset)
        self._count(preset)

    def _count(self, preset: Preset) -> None:
        """Four CPUs, of which two are the first guess."""
        counts = [2 if count == "auto" else min(count, 4) for count in (preset.threads, preset.threads_batch)]
        reasons = [
            "2 threads to begin with" if count == "auto" else "Set by the preset" for count in (preset.threads, preset.threads_batch)
        ]
        self.threads_now = ThreadsNow(counts[0], counts[1], reasons[0], reasons[1])

    def count_tokens(self, texts: Sequence[str]) -> Future[tuple[int, ...] | None]:
        future: Future[tuple[int, ...] | None] = Future()
        future.set_result(tuple(len(text.encode()) for text in texts))
        return future

    def set_stream_batch(self, tokens: int) -> None:
        self.stream_batch = tokens

    def close(self) -> None:
        self.stop()
        self.load_gate.set()
        self._jobs.put(None)
        self._thread.join(5)

    # The compute thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _answer(self, request: GenerateRequest, gate: int = 0) -> None:
        started = now_ns()
        try:
            prompt = self._prompt_builder.build(request.prompt, self.n_ctx)
        except XchatError as error:
            self._end(request, StopReason.ERROR, started, started, started, 0, [], error)
            return
        self.prompts.append(prompt)
        total = len(prompt.tokens)
        request.on_event(PromptReady(request.turn, started, started, prompt.facts, 0, None))
        for step in range(1, self.prefill_steps + 1):
            self.prefill_gate.wait()
            if request.turn in self._stopped:
                self._end(request, StopReason.CANCELLED, started, started, now_ns(), total, [], None)
                return
            request.on_event(PrefillProgressed(request.turn, now_ns(), total * step // self.prefill_steps, total, 10.0 * step, 10.0))
        prefilled = now_ns()
        times: list[int] = []
        chunk: list[tuple[str, int, int]] = []

        def deliver() -> None:
            if chunk:
                pieces, tokens, stamps = zip(*chunk, strict=True)
                request.on_event(TokensDecoded(request.turn, pieces, stamps, tokens))
                chunk.clear()

        for number, piece in enumerate(self.script):
            if self.gated:
                self._tokens[gate].acquire()
            if request.turn in self._stopped or self.dead is not None:
                break
            times.append(prefilled + (number + 1) * STEP_NS)
            chunk.append((piece, self._vocabulary.generated(piece), times[-1]))
            if len(chunk) >= self.stream_batch:
                deliver()
        deliver()
        reason = StopReason.ERROR if self.dead or self.error else StopReason.CANCELLED if request.turn in self._stopped else self.reason
        self._end(request, reason, started, started, prefilled, total, times, self.dead or self.error)

    def _end(
        self,
        request: GenerateRequest,
        reason: StopReason,
        started: int,
        prefill_start: int,
        prefill_end: int,
        total: int,
        times: list[int],
        error: XchatError | None,
    ) -> None:
        timings = compute_timings(
            cache_n=0,
            prompt_n=total,
            submitted_ns=request.submitted_ns,
            prefill_start_ns=prefill_start,
            prefill_end_ns=prefill_end,
            token_ns=times,
        )
        request.on_event(
            GenerationFinished(
                turn=request.turn,
                at_ns=now_ns(),
                reason=reason,
                timings=timings,
                started_ns=started,
                prefill_start_ns=prefill_start,
                prefill_end_ns=prefill_end,
                prompt_tokens=total,
                token_ns=tuple(times),
                error=error,
                threads=self.threads_now.threads if self.threads_now and times else None,
                threads_batch=self.threads_now.threads_batch if self.threads_now else None,
            )
        )


ENGINE_DIED = EngineError("The engine died", "GGML_ASSERT failed", "Restart xchat; the conversation is saved.")
