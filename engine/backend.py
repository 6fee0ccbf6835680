"""The contract between a session and an engine: frozen requests one way, frozen events the other.

Events are made on the backend's own thread and passed to the request's callback there; the receiver hops to its own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Protocol

from engine.errors import XchatError
from engine.kv_state import HeldState, StateKey
from engine.logprobs import PromptScored, TokenLogprobs
from engine.messages import Constraint, Prompt, ThinkingStyle
from engine.model_ref import ModelRef
from engine.presets.preset import Preset, Sampling
from engine.timings import Timings


class MemoryKind(StrEnum):
    """How a model stores earlier tokens; determines whether its state can be truncated."""

    ATTENTION = "attention"
    SLIDING_WINDOW = "sliding-window"
    HYBRID = "hybrid"
    RECURRENT = "recurrent"


class StopReason(StrEnum):
    """Why an answer ended."""

    EOG = "eog"
    STOP_STRING = "stop"
    """The model ended it by itself (`EOG`), or with a stop string."""
    LENGTH = "length"
    """The token limit, or the end of the context window, was reached."""
    CANCELLED = "cancelled"
    """The user stopped it."""
    ERROR = "error"
    """The engine failed; the text so far is kept."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A loaded model."""

    ref: ModelRef
    path: Path | None
    """Its file; None where it is not on this machine."""
    name: str
    architecture: str
    quant: str
    n_params: int
    size_bytes: int
    n_ctx_train: int
    n_vocab: int
    memory_kind: MemoryKind
    chat_template: str | None
    fingerprint: str
    """Changes when the weights or the tokenizer change; the same for a copy of the file."""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """A loaded model with its context."""

    model: ModelInfo
    preset: Preset
    """The preset asked for, `auto` included."""
    n_ctx: int
    load_ms: float
    """Time from opening the file to the first possible decode."""
    threads: int = 0
    """Decode threads; 0, like `threads_batch`, without the capability `threads`."""
    threads_batch: int = 0
    n_batch: int = 0
    """Batch size; 0, like `n_ubatch`, where the engine does not report it."""
    n_ubatch: int = 0
    parallel: int = 1
    """Parallel answers."""
    memory: Mapping[str, int] = field(default_factory=dict)
    """Bytes by purpose: `weights`, `weights_repacked`, `kv`, `compute`, `output`; empty where it is not this machine's memory."""
    placement: str = ""
    """Which layers are on devices such as GPUs, in a sentence; empty where no device takes part."""
    projector: str = ""
    """Name of the file that makes tokens of pictures; empty where the model takes none."""
    notices: tuple[str, ...] = ()
    """Adaptations of the load, in sentences for the user."""
    system_info: str = ""
    """The CPU features that the native library was built with and found."""
    library: str = ""
    """Version and build of the native library; empty where nothing native computes."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The features of an engine beyond answering messages; callers check them before use."""

    token_ids: bool = False
    """Takes and gives token ids: `TokenPrompt`, `ChatMessage.tokens`, `TokensDecoded.tokens`."""
    kv_state: bool = False
    """Its KV state can be saved and restored: `state_key`, `take_state`, `put_state`."""
    threads: bool = False
    """Computes with threads that the preset counts: `threads_now`, `threads`, `threads_batch`."""
    stream_batch: bool = False
    """Its chunk size can be set: `set_stream_batch`."""
    memory: bool = False
    """Its memory is this machine's: it is predicted before a load, and `EngineInfo.memory` has what is used."""
    in_process: bool = False
    """Computes in this process, so that a capture sees it."""
    constraints: bool = False
    """Constrains the format of answers: `GenerateRequest.constraint`."""
    logprobs: bool = False
    """Reports log-probabilities: `GenerateRequest.logprobs`."""


NOT_OFFERED = "Not available from this engine"
"""Text in place of a figure whose capability is missing."""


@dataclass(frozen=True, slots=True)
class ThreadsNow:
    """The thread counts in use, and why."""

    threads: int
    threads_batch: int
    """While decoding (`threads`), and while prefilling."""
    reason: str
    reason_batch: str
    """Why this number decodes, and why this number prefills, in a sentence each."""
    moves: tuple[str, ...] = ()
    """The last decisions of `auto`, a sentence for each kind of work; unchanged until a count changes."""
    waiting: str = ""
    """Whether waiting threads spin or sleep, and why, in a sentence."""


@dataclass(frozen=True, slots=True)
class PoolNow:
    """Parallel answers, and the KV cache that they share."""

    parallel: int
    running: int = 0
    prefilling: int = 0
    waiting: int = 0
    longest_wait_ms: float = 0.0
    cells: int = 0
    """Cells of the KV cache; 0 where each answer has its own cache."""
    cells_used: int = 0
    cells_lent: int = 0
    saved_bytes: int = 0
    swaps: int = 0
    steps: int = 0
    step_answers: int = 0
    """Decode calls since the context was made (`steps`), and the sum of the answers in each of them."""
    step_tokens: float | None = None
    """Mean number of tokens in a decode call over the last second; None when idle, like the total speed."""
    per_second: float | None = None
    gain: float | None = None
    """Tokens/s of the current number of answers relative to one answer, by measured step durations."""
    curve: tuple[tuple[int, float], ...] = ()
    """Measured milliseconds of a step by number of answers, ascending."""


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """The prompt that an engine made from the messages of a turn."""

    n_tokens: int | None
    """Tokens of the prompt; None where the engine does not report it."""
    text: str = ""
    """The prompt after the chat template, for display; empty where the engine does not report it."""
    left_out: int = 0
    """Number of the oldest turns that did not fit into the window."""
    first_kept: int = 0
    """Index of the oldest message that is in the prompt (the system message not counted)."""
    opens_thinking: bool = False
    """Whether the prompt opens a thinking block."""
    style: ThinkingStyle | None = None
    """The model's markers of thinking, from its chat template."""
    marker_tokens: frozenset[str] = frozenset()
    """Markers of thinking that are single tokens; each is a separate piece, control tokens too."""
    notices: tuple[str, ...] = ()
    """Adaptations, in sentences for the user (no template, a template that failed, merged roles)."""
    template_ns: int | None = None
    tokenize_ns: int | None = None


class Priority(IntEnum):
    """The class of a request; smaller numbers have precedence for slots and prefill; batch work pauses but for one step in twenty."""

    INTERACTIVE = 0
    """A user at the screen."""
    API = 1
    """A program, over HTTP."""
    BATCH = 2
    """Nobody: a file of prompts, a measurement, a conversation that is not on the screen."""


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One turn for the engine: a send, regeneration, edit, continuation or measurement."""

    turn: int
    """Chosen by the caller, echoed in every event."""
    prompt: Prompt
    sampling: Sampling
    on_event: Callable[[BackendEvent], None]
    """Called on the engine's own thread for each event; must return at once and not raise."""
    submitted_ns: int
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    priority: Priority = Priority.INTERACTIVE
    repeatable: bool = False
    """Whether the answer must be independent of other work of the engine."""
    asker: str = ""
    """Of two askers in a class, the one with fewer answers in progress is next."""
    constraint: Constraint | None = None
    """The format of the answer; an invalid one ends the turn with UsageError before prefill. Capability: `constraints`."""
    logprobs: int | None = None
    """Report the log-probability of each token, and of this number of the most likely ones instead of it. Capability: `logprobs`."""
    prompt_logprobs: bool = False
    """Whether to report those of the prompt too, in `PromptScored`; the KV cache is not reused then."""


@dataclass(frozen=True, slots=True)
class LoadProgressed:
    """A model is being read."""

    ref: ModelRef
    fraction: float


@dataclass(frozen=True, slots=True)
class PromptReady:
    """The prompt is tokenized and compared with the KV cache; prefill begins."""

    turn: int
    at_ns: int
    started_ns: int
    """Start of the request's processing, at the end of its wait in the queue."""
    prompt: PromptFacts
    cache_n: int
    """Tokens already in the KV cache."""
    diverged_at: int | None
    """First position where the prompt differs from the KV cache; None when the cache has no more tokens."""
    restored_checkpoint: bool = False


@dataclass(frozen=True, slots=True)
class PrefillProgressed:
    """A part of the prompt has been evaluated."""

    turn: int
    at_ns: int
    processed: int
    total: int
    """Tokens evaluated so far in this turn, and those to evaluate; reused ones are not counted."""
    elapsed_ms: float
    eta_ms: float


@dataclass(frozen=True, slots=True)
class TokensDecoded:
    """A chunk: tokens delivered together, with `pieces` and `token_ns` in parallel.

    The piece of a token is empty while its bytes end within a character or may begin a stop string; a later one has its text.
    """

    turn: int
    pieces: tuple[str, ...]
    token_ns: tuple[int, ...]
    tokens: tuple[int, ...] = ()
    """The ids, in parallel too; empty without the capability `token_ids`."""
    logprobs: tuple[TokenLogprobs, ...] = ()
    """The log-probabilities, in parallel; empty unless requested."""


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    """A turn has ended for any reason. Always the last event of a request."""

    turn: int
    at_ns: int
    reason: StopReason
    timings: Timings
    started_ns: int
    prefill_start_ns: int
    prefill_end_ns: int
    prompt_tokens: int
    token_ns: tuple[int, ...]
    tail: str = ""
    """Text that was held back and belongs to the answer after the last chunk."""
    error: XchatError | None = None
    threads: int | None = None
    threads_batch: int | None = None
    """Threads that decoded most of the answer, and that evaluated most of the prompt; None when nothing was."""
    taken_share: float | None = None
    """Share of the time since the prefill began in which compute threads waited for a CPU, 0 to 1; None where that can't be known."""
    from_cache: bool = False
    """The answer was made before, and is given again from the result cache."""
    n_swaps: int = 0
    """Number of times that it was moved out of the KV cache."""
    quiet_per_second: float | None = None
    """Tokens per second while no compute thread waited; None when there were too few such tokens."""
    server: Mapping[str, float] = field(default_factory=dict)
    """What the server of an engine elsewhere reports of the turn, by its field name; `timings` has what was seen from here."""


BackendEvent = LoadProgressed | PromptReady | PrefillProgressed | PromptScored | TokensDecoded | GenerationFinished


class Backend(Protocol):
    """An engine. All methods are thread-safe and return at once; work runs on the backend's own thread.

    An engine that declares a capability overrides what belongs to it; the defaults here are those of an engine without it.
    """

    @property
    def capabilities(self) -> Capabilities:
        """The features of the engine; constant."""

    def runs(self, ref: ModelRef) -> bool:
        """Return whether it runs models of this kind of reference; for others the session changes to another engine."""

    @property
    def dead(self) -> XchatError | None:
        """The permanent error of an engine that needs a new process, as after an abort of the native library."""

    @property
    def loaded(self) -> EngineInfo | None:
        """The loaded model; None before the first load and after a failed one that could not restore the old model."""

    def load(self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool = False) -> Future[EngineInfo]:
        """Load a model, or rebuild the context when only that differs from what is loaded.

        The old model is freed first when both don't fit into memory, and loaded again if the new one fails then. `force` also loads a model
        that is predicted not to fit. The future raises ModelError, TooLargeError, EngineError when it is dead, CancelledError.
        """

    def cancel_load(self) -> None:
        """Cancel the running load."""

    def submit(self, request: GenerateRequest) -> None:
        """Queue a turn; its last event is always GenerationFinished."""

    def stop(self, turn: int | None = None) -> None:
        """End a turn (all, without a number) within 50 ms, also in a prefill."""

    def reclass(self, turn: int, priority: Priority) -> None:  # noqa: ARG002
        """Change the class of a turn in progress; an engine that makes one answer after the other need not."""
        return

    def apply_hot(self, preset: Preset) -> None:
        """Apply the hot settings of a preset from the next token on: threads, threads_batch, stream_batch."""

    def close(self) -> None:
        """Stop everything, free the model and end the backend's own thread; safe to call twice."""

    @property
    def threads_now(self) -> ThreadsNow | None:
        """Return the thread counts in use, which `auto` changes between two tokens; None when nothing is loaded. Capability: `threads`."""
        return None

    @property
    def pool_now(self) -> PoolNow | None:
        """Return the state of parallel answers; None when nothing is loaded, or the engine makes one after the other."""
        return None

    @property
    def state_key(self) -> StateKey | None:
        """Return the key of states that can be restored now; None when nothing is loaded. Capability: `kv_state`."""
        return None

    def take_state(self, *, least_tokens: int, most_bytes: int) -> Future[HeldState | None]:  # noqa: ARG002
        """Copy the latest turn's KV state, in order; None below `least_tokens`, over `most_bytes`, or untrusted. Capability: `kv_state`."""
        future: Future[HeldState | None] = Future()
        future.set_result(None)
        return future

    def put_state(self, held: HeldState) -> Future[int]:  # noqa: ARG002
        """Restore a KV state, in order; returns the restored tokens, 0 for another model or settings. Capability: `kv_state`."""
        future: Future[int] = Future()
        future.set_result(0)
        return future

    def count_tokens(self, texts: Sequence[str]) -> Future[tuple[int, ...] | None]:  # noqa: ARG002
        """Count the tokens of each text, after earlier turns; None where that is impossible."""
        future: Future[tuple[int, ...] | None] = Future()
        future.set_result(None)
        return future

    def set_stream_batch(self, tokens: int) -> None:  # noqa: ARG002
        """Set the number of tokens per delivered chunk. Used by `auto`. Capability: `stream_batch`."""
        return
