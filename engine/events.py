"""Events of a session: immutable facts, delivered to subscribers in order on the event loop's thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.backend import EngineInfo
from engine.errors import XchatError
from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.records import Message, SessionInfo, TurnRecord


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """Another conversation is current: a new one (`info` is None until its first turn is logged) or a resumed one."""

    info: SessionInfo | None
    branch: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class BranchChanged:
    """Another branch of the same conversation is shown: after an edit, a regenerate, or moving between siblings."""

    branch: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class ModelLoading:
    """A model is being read, or a context rebuilt."""

    ref: ModelRef
    fraction: float


@dataclass(frozen=True, slots=True)
class ModelReady:
    """The engine can answer."""

    engine: EngineInfo


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A model could not be loaded. `engine` is the model loaded now, if any."""

    ref: ModelRef
    error: XchatError
    engine: EngineInfo | None


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A message was sent; its answer will grow under `answer_id` (which is also the turn's id)."""

    user: Message
    answer_id: int
    submitted_ns: int
    wall_ms: int


@dataclass(frozen=True, slots=True)
class PromptEvaluated:
    """Prefill progress. The first one of a turn comes before any token was evaluated."""

    answer_id: int
    cache_n: int
    processed: int
    total: int
    elapsed_ms: float
    eta_ms: float | None
    left_out: int
    """Oldest turns left out of the prompt because the window is full."""
    diverged_at: int | None
    prompt_text: str


@dataclass(frozen=True, slots=True)
class AnswerGrew:
    """A chunk arrived."""

    answer_id: int
    text: str
    """New visible text of the answer; may be empty."""
    thinking: str
    """New text of the thinking; may be empty."""
    in_thinking: bool
    """Whether the model is thinking after this chunk."""
    token_ns: tuple[int, ...]
    """Engine timestamps of the chunk's tokens."""
    context_used: int
    moved: bool = False
    """Whether a closing marker showed that the answer so far was thinking; `text` and `thinking` are then complete."""
    may_move: bool = False
    """Whether that may still happen."""


@dataclass(frozen=True, slots=True)
class TurnFinished:
    """The answer is complete, stopped or failed. `answer` has its final text, which is authoritative."""

    answer: Message
    turn: TurnRecord
    error: XchatError | None = None


@dataclass(frozen=True, slots=True)
class BackgroundChanged:
    """Answers of conversations that are not current began to go on in the background, came back, or ended."""

    running: int
    """Those that go on now."""
    title: str = ""
    """Of the conversation whose answer has ended."""
    ended: TurnRecord | None = None
    error: XchatError | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One side of a comparison."""

    name: str
    """As it was asked for."""
    model: str
    preset: Preset


@dataclass(frozen=True, slots=True)
class ComparisonStarted:
    """Several answers to one message are made, each a version of the next message; `ColumnChanged` reports on each."""

    user: Message
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class ColumnChanged:
    """An event of one answer of a comparison, or the reason why it is not made."""

    column: int
    event: TurnStarted | PromptEvaluated | AnswerGrew | TurnFinished | XchatError


@dataclass(frozen=True, slots=True)
class ComparisonEnded:
    """All answers of a comparison are made or stopped, and model and settings are those of before."""


@dataclass(frozen=True, slots=True)
class PresetChanged:
    """Another preset, or another value in it, applies from the next token on."""

    preset: Preset


@dataclass(frozen=True, slots=True)
class LoggingChanged:
    """Logging of turns works again (with the number of lost ones) or failed (with the reason); the chat continues in both cases."""

    on: bool
    error: XchatError | None = None


@dataclass(frozen=True, slots=True)
class EngineDied:
    """The native library aborted. The conversation is saved; the engine needs a restart of the program."""

    error: XchatError


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to the user, shown once."""

    severity: Literal["information", "warning", "error"]
    title: str
    detail: str = ""
    hint: str = ""
    action: str = ""
    """Id of the hint's action; the screen adds its key."""


@dataclass(frozen=True, slots=True)
class Painted:
    """A flush is on the screen."""

    answer_id: int
    painted_ns: int
    paint_ns: int
    """CPU time of the screen's thread for it."""


Event = (
    SessionOpened
    | BranchChanged
    | ModelLoading
    | ModelReady
    | ModelFailed
    | TurnStarted
    | PromptEvaluated
    | AnswerGrew
    | TurnFinished
    | BackgroundChanged
    | ComparisonStarted
    | ColumnChanged
    | ComparisonEnded
    | PresetChanged
    | LoggingChanged
    | EngineDied
    | Notice
)
