"""Immutable records of sessions, messages, turns and samples, shared by the session, the store and the screen.

Identities: a session's id is the database's (small numbers that people type). A message's id is made in the program, so that a conversation
goes on when the database does not: milliseconds since 1970 shifted left by 20 bits, plus 20 random bits; ascending in time, and it fits
SQLite's 63 bits until the year 2248. A turn's id is the id of its answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from engine.backend import StopReason
from engine.clock import wall_ms
from engine.messages import ChatMessage, Role
from engine.timings import Timings


class MessageStatus(StrEnum):
    """The completeness of a message."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """Stopped by the user, by the token limit, or by the end of the program."""
    FAILED = "failed"
    """The engine failed during the answer."""


FROM_CACHE = "From the result cache"
"""`TurnRecord.noisy` of an answer that was made before: its figures are those of no model."""


def new_message_id(newest: int | None) -> int:
    """Make an id that is unique across processes and greater than `newest`, the greatest of its conversation, whatever the clock."""
    return max(wall_ms(), ((newest or 0) >> 20) + 1) << 20 | secrets.randbits(20)


@dataclass(frozen=True, slots=True)
class Message:
    """A node of the conversation tree."""

    id: int
    parent_id: int | None
    role: Role
    text: str
    thinking: str = ""
    """The model's thinking before the answer; in prompts only if the template uses it."""
    status: MessageStatus = MessageStatus.COMPLETE
    created_ms: int = 0
    tokens: tuple[int, ...] | None = None
    """For an answer: the generated ids of `text` (thinking left out), so that the KV cache can be reused exactly."""
    tokens_of: str | None = None
    """Fingerprint of the model that `tokens` belongs to."""

    @property
    def for_engine(self) -> ChatMessage:
        """Return the message for a request, without its place in the tree."""
        return ChatMessage(self.role, self.text, self.thinking, self.tokens, self.tokens_of)


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A saved conversation in a list."""

    id: int
    title: str
    created_ms: int
    updated_ms: int
    head_id: int | None
    """The last message of the last shown branch."""
    model: str | None = None
    """Name of the model of the last turn."""
    quant: str | None = None
    preset: str | None = None
    """Name of the preset of the last turn."""
    n_messages: int = 0
    n_turns: int = 0
    pinned: bool = False
    interrupted: bool = False
    """Whether its last answer is partial because the program ended during it."""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn with all its measurements. Times are milliseconds; None is unknown."""

    id: int
    """The id of the answer."""
    session_id: int | None
    user_message_id: int | None
    started_ms: int
    """Wall-clock Unix time."""
    model: str
    model_path: str
    model_fingerprint: str
    quant: str
    preset: str
    """Name of the preset in use."""
    preset_json: str
    """The whole preset as JSON."""
    n_ctx: int
    threads: int
    """Decode threads; 0, like `threads_batch`, where the engine's threads are unknown."""
    threads_batch: int
    stream_batch: int
    stop_reason: StopReason
    timings: Timings
    token_ns: tuple[int, ...]
    """Engine timestamps of the generated tokens, of the monotonic clock."""
    thinking_n: int = 0
    """Number of generated tokens that were thinking."""
    queue_ms: float | None = None
    template_ms: float | None = None
    tokenize_ms: float | None = None
    first_visible_ms: float | None = None
    """Time from submitting to the first token with visible text outside thinking."""
    first_paint_ms: float | None = None
    """Time from submitting to the first painted text; None when nothing was painted."""
    paint_ms: float | None = None
    """Time spent painting chunks of this turn."""
    diverged_at: int | None = None
    left_out: int = 0
    judged: bool = False
    """Whether the machine was sampled during the turn; False for a turn that was too short."""
    noisy: str | None = None
    """Why this turn is noisy (another program, a capture, throttling, swapping)."""
    disturbed: float | None = None
    """Share of its time taken by other programs, 0 to 1; None if unknown."""
    quiet_per_second: float | None = None
    """Estimate of the undisturbed decode speed, from the tokens during which no thread waited; None with too few."""
    rss_peak_bytes: int | None = None
    error: str | None = None
    server_json: str | None = None
    """What the server of an engine elsewhere reports of the turn, by its field name; the other figures are those seen from here."""

    @property
    def server(self) -> Mapping[str, float]:
        """The figures of `server_json`; none in a damaged row."""
        try:
            return msgspec.json.decode(self.server_json or "{}", type=dict[str, float])
        except (msgspec.MsgspecError, RecursionError):
            return {}

    @property
    def clean(self) -> bool:
        """Whether the turn is clean: judged, less than `QUIET_SHARE` of its time taken by other programs, and not failed."""
        return self.judged and self.noisy is None and self.stop_reason is not StopReason.ERROR


@dataclass(frozen=True, slots=True)
class Sample:
    """The figures of one moment."""

    wall_ms: int
    session_id: int | None
    turn_id: int | None
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """By column of the log, see `engine.metrics.figures`. None: unavailable on this machine."""
