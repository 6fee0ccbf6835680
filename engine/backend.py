"""The contract between the conversation and whatever generates: `engine.llama` here, a scripted fake in tests, a remote later.

One direction carries frozen requests, the other frozen events. Events are made on the backend's own thread and handed to the
callback of the request there; the receiver hops to its own thread. Nothing in this file is ever mutated after it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import msgspec

from engine.errors import XchatError
from engine.presets.preset import Preset, Sampling
from engine.timings import Timings


class MemoryKind(StrEnum):
    """How a model remembers the tokens before, which decides what can be taken back."""

    ATTENTION = "attention"
    SLIDING_WINDOW = "sliding-window"
    HYBRID = "hybrid"
    RECURRENT = "recurrent"


class StopReason(StrEnum):
    """Why an answer ended."""

    EOG = "eog"
    """The model ended it by itself."""
    STOP_STRING = "stop"
    """One of the stop strings came up."""
    LENGTH = "length"
    """The longest answer allowed, or the end of the context window, was reached."""
    CANCELLED = "cancelled"
    """The person stopped it."""
    ERROR = "error"
    """The engine failed; what came before is kept."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded model is."""

    path: Path
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
    """A loaded model with its context, as the engine really set it up."""

    model: ModelInfo
    preset: Preset
    """The preset asked for, `auto` included."""
    n_ctx: int
    n_batch: int
    n_ubatch: int
    threads: int
    threads_batch: int
    load_ms: float
    """From opening the file to the first possible decode."""
    memory: Mapping[str, int]
    """Bytes by purpose: `weights`, `weights_repacked`, `kv`, `compute`, `output`."""
    system_info: str
    """The CPU features that the native library was built with and found."""
    library: str = ""
    """Version and build of the native library; empty where nothing native computes."""


@dataclass(frozen=True, slots=True)
class ThreadsNow:
    """The thread counts in force at this moment, and why."""

    threads: int
    """While decoding."""
    threads_batch: int
    """While prefilling."""
    reason: str
    """Why that many decode, in a sentence."""
    reason_batch: str
    """Why that many prefill, in a sentence."""
    moves: tuple[str, ...] = ()
    """What `auto` decided last, a sentence for each kind of work, the same until the count moves again."""


class StateKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a state can be put back into. Nothing of it is checked by the native library itself."""

    model: str
    """`ModelInfo.fingerprint`."""
    settings: str
    """KV types and the layout of V, adapters and rope settings: whatever changes what the bytes mean, in any fixed spelling."""
    library: str
    """Version of llama.cpp."""


@dataclass(frozen=True, slots=True)
class HeldState:
    """What the KV cache holds of a conversation, as bytes that only the same library, model and settings can take back."""

    key: StateKey
    tokens: tuple[int, ...]
    state: memoryview


class Vocabulary(Protocol):
    """Text to tokens and back, for one loaded model. Safe to call from the backend's thread only."""

    @property
    def fingerprint(self) -> str:
        """The `ModelInfo.fingerprint` of its model."""

    @property
    def bos(self) -> int | None:
        """The begin-of-sequence token, if the model has one."""

    @property
    def add_bos(self) -> bool:
        """Whether prompts of this model begin with `bos`."""

    @property
    def bos_text(self) -> str:
        """The text of `bos`, empty without one."""

    @property
    def eos_text(self) -> str:
        """The text of the end-of-sequence token, empty without one."""

    @property
    def special_texts(self) -> frozenset[str]:
        """The texts of all control and user-defined tokens: what user text must not be able to forge."""

    @property
    def eog(self) -> frozenset[int]:
        """Tokens that end a generation."""

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """The tokens of `text`, without BOS or EOS added; with `parse_special`, texts of control tokens become those tokens."""

    def text(self, tokens: Sequence[int]) -> str:
        """The visible text of `tokens`, invalid UTF-8 replaced."""


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """What the compute thread is to prefill."""

    tokens: tuple[int, ...]
    text: str
    """The prompt after the template, for the person who wants to see it."""
    boundaries: tuple[int, ...] = ()
    """Token positions worth a checkpoint, ascending: where the system prompt ends, where each user message begins."""
    left_out: int = 0
    """How many of the oldest turns did not fit into the window."""
    first_kept: int = 0
    """Index into the branch of the oldest message that is in the prompt (the system message not counted)."""
    stop: tuple[str, ...] = ()
    """Stop strings that the template needs, beside those of the request (a plain "User:" format has no end token)."""
    opens_thinking: bool = False
    """The generation prompt itself already opened a thinking block."""
    notices: tuple[str, ...] = ()
    """What had to be adapted, in sentences for the person (no template, a template that failed, merged roles)."""
    template_ns: int = 0
    tokenize_ns: int = 0


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One turn for the engine. Send, regenerate, edit, continue and measurements are this with different inputs."""

    turn: int
    """Chosen by the caller, echoed in every event."""
    prepare: Callable[[Vocabulary, int], PreparedPrompt]
    """Called once on the compute thread with the vocabulary and n_ctx; may raise XchatError."""
    sampling: Sampling
    on_event: Callable[[BackendEvent], None]
    """Called on the compute thread for each event; must return at once and not raise."""
    submitted_ns: int
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    slot: int = 0
    background: bool = False
    """Waits while a foreground request has work."""


@dataclass(frozen=True, slots=True)
class LoadProgressed:
    """A model is being read."""

    path: Path
    fraction: float


@dataclass(frozen=True, slots=True)
class PromptReady:
    """The prompt is tokenized and compared with the KV cache; prefill begins."""

    turn: int
    at_ns: int
    started_ns: int
    """When the compute thread took the request up; the wait in the queue ended here."""
    prompt: PreparedPrompt
    cache_n: int
    """Tokens that the KV cache already holds."""
    diverged_at: int | None
    """First position where the prompt differs from what the KV cache held; None when it held nothing more."""
    restored_checkpoint: bool = False


@dataclass(frozen=True, slots=True)
class PrefillProgressed:
    """Some of the prompt has been evaluated."""

    turn: int
    at_ns: int
    processed: int
    """Tokens evaluated so far in this turn, reused ones not counted."""
    total: int
    """Tokens to evaluate in this turn."""
    elapsed_ms: float
    eta_ms: float


@dataclass(frozen=True, slots=True)
class TokensDecoded:
    """A chunk: tokens delivered together. `pieces`, `tokens` and `token_ns` run in parallel.

    A piece may be empty: bytes of an unfinished character, or text held back because it may begin a stop string; the piece
    of a later token carries it.
    """

    turn: int
    pieces: tuple[str, ...]
    tokens: tuple[int, ...]
    token_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    """A turn has ended, for whatever reason. Always the last event of a request."""

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
    """Threads that decoded most of the answer; None when nothing was decoded."""
    threads_batch: int | None = None
    """Threads that evaluated most of the prompt; None when nothing was evaluated."""


BackendEvent = LoadProgressed | PromptReady | PrefillProgressed | TokensDecoded | GenerationFinished


class Backend(Protocol):
    """Generates. All methods may be called from any thread and return at once; work happens on the backend's own thread."""

    @property
    def dead(self) -> XchatError | None:
        """Set for good when the native library aborted: nothing but a new process brings the engine back."""

    @property
    def loaded(self) -> EngineInfo | None:
        """What is loaded now; None before the first load and after a failed one that could not bring the old model back."""

    @property
    def threads_now(self) -> ThreadsNow | None:
        """The thread counts in force now, which `auto` changes between two tokens; None when nothing is loaded."""

    def load(self, path: Path, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool = False) -> Future[EngineInfo]:
        """Load a model, or rebuild the context when only that differs from what is loaded.

        The old model is freed first when both can't be held, and loaded again when the new one fails then. `force` loads also what
        the memory of this machine is predicted not to hold. The future raises ModelError for a file that can't be used (TooLargeError
        when it can't be held), EngineError when the engine is dead, CancelledError after `cancel_load`.
        """

    def cancel_load(self) -> None:
        """Give up a load that is under way."""

    def submit(self, request: GenerateRequest) -> None:
        """Queue a turn; its last event is GenerationFinished, whatever happens."""

    def stop(self, turn: int | None = None) -> None:
        """End a turn (all, without a number) within 50 ms, in a prefill too. The next turn is right afterwards."""

    @property
    def state_key(self) -> StateKey | None:
        """What a saved state must be of to be put back now; None when nothing is loaded."""

    def take_state(self, *, least_tokens: int, most_bytes: int) -> Future[HeldState | None]:
        """Copy what the first slot holds, after the turns submitted before and ahead of everything asked for later.

        None when it holds fewer tokens, would take more bytes, or can't be trusted.
        """

    def put_state(self, held: HeldState) -> Future[int]:
        """Let the first slot hold a saved state, in its turn like `take_state`; returns how many of its tokens the slot holds then.

        What the slot holds already is left alone, and a state of another model or of other settings is not taken (0).
        """

    def apply_hot(self, preset: Preset) -> None:
        """Put the hot settings of a preset in force from the next token on: threads, threads_batch, stream_batch."""

    def set_stream_batch(self, tokens: int) -> None:
        """Deliver that many tokens together from now on; how `auto` and a pace chosen from outside are put in force."""

    def close(self) -> None:
        """Stop everything, free the model on the compute thread and end that thread; safe to call twice."""
