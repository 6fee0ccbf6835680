"""A frozen set of live figures for the panel, `xchat stats` and Prometheus. Made by `engine.metrics.meter`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.backend import PoolNow
from engine.host.sampler import HostSample
from engine.metrics.history import Trace, Window
from engine.metrics.latency import Gaps
from engine.metrics.roofline import Roofline
from engine.metrics.ui_cost import Price
from engine.metrics.waterfall import Waterfall
from engine.timings import Timings


class Phase(StrEnum):
    """The phase of the engine."""

    EMPTY = "no model"
    LOADING = "loading"
    IDLE = "idle"
    WAITING = "waiting"
    PREFILL = "prefill"
    THINKING = "thinking"
    DECODE = "decoding"
    DEAD = "stopped"

    @property
    def in_turn(self) -> bool:
        """Whether a turn is in progress."""
        return self in (Phase.WAITING, Phase.PREFILL, Phase.THINKING, Phase.DECODE)


class MarkerKind(StrEnum):
    """The kind of a mark on the time line; charts show its first letter."""

    TURN = "turn"
    PRESET = "preset"
    STALL = "stall"
    CAPTURE = "capture"
    ALERT = "alert"


@dataclass(frozen=True, slots=True)
class Marker:
    """A mark in the charts."""

    seconds: float
    """Seconds since the meter's start."""
    wall_ms: int
    kind: MarkerKind
    text: str


@dataclass(frozen=True, slots=True)
class Alert:
    """An exceeded threshold."""

    id: str
    """Name of the threshold in the config."""
    sentence: str
    advice: str
    """The remedy."""


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """The loaded model."""

    model: str
    quant: str
    n_ctx: int
    threads: int
    threads_batch: int
    load_ms: float
    memory: Mapping[str, int]
    """Bytes by purpose: `weights`, `weights_repacked`, `kv`, `compute`, `output`."""
    threads_reason: str = ""
    """Why this number of decode threads, a sentence."""
    threads_batch_reason: str = ""
    """Why this number of prefill threads, a sentence."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Speeds in tokens/s; None without tokens."""

    now: float | None = None
    """Over the last second."""
    mean: float | None = None
    """Speed of the turn: live (n - 1) / (last - first token), afterwards as llama-server counts."""
    on_screen: float | None = None
    """Speed on the screen, over the last second."""
    predicted_n: int = 0
    """Tokens of the turn so far."""
    prompt_per_second: float | None = None
    """Prefill speed of the turn."""


@dataclass(frozen=True, slots=True)
class Prefill:
    """The progress of the prefill."""

    processed: int = 0
    total: int = 0
    """Tokens to evaluate in this turn, reused ones not counted."""
    elapsed_ms: float = 0.0
    eta_ms: float | None = None

    @property
    def share(self) -> float | None:
        """The share that is done, 0 to 1."""
        return self.processed / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Context:
    """The context window."""

    used: int = 0
    n_ctx: int | None = None
    cache_n: int = 0
    """Prompt tokens already in the KV cache."""
    prompt_n: int = 0
    """Prompt tokens evaluated."""
    diverged_at: int | None = None
    """First position where the prompt differed from the KV cache."""
    left_out: int = 0
    """Oldest turns that did not fit."""

    @property
    def share(self) -> float | None:
        """The used share of the window, 0 to 1."""
        return self.used / self.n_ctx if self.n_ctx else None


@dataclass(frozen=True, slots=True)
class Between:
    """Extremes between two snapshots."""

    longest_gap_ms: float | None = None
    longest_lag_ms: float | None = None
    finished_per_second: float | None = None
    """Mean speed of a turn that ended, since a quick one may begin and end between two snapshots."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Totals since the program started."""

    turns: int = 0
    failed: int = 0
    prompt_n: int = 0
    cache_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    stalls: int = 0
    most_context: int = 0
    """Most tokens in the window."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All figures at one moment."""

    at_ns: int = 0
    wall_ms: int = 0
    uptime_s: float = 0.0
    """Seconds since the meter's start, the origin of markers and traces."""
    phase: Phase = Phase.EMPTY
    loading: float = 0.0
    """Share of the model that is read, while loading."""
    engine: EngineFigures | None = None
    preset: str = ""
    stream_batch: int = 0
    stream_batch_auto: bool = False
    pacing: str = ""
    """The choice of `stream_batch = auto` with its reason; empty without auto."""
    speed: Speed = Speed()
    prefill: Prefill = Prefill()
    gaps: Gaps = field(default_factory=Gaps)
    stalls_per_minute: int = 0
    waterfall: Waterfall | None = None
    """Steps of the last turn; during a turn, those known at its first token."""
    timings: Timings | None = None
    """Those of the last finished turn."""
    context: Context = Context()
    host: HostSample | None = None
    roofline: Roofline | None = None
    price: Price = field(default_factory=Price)
    noisy: str | None = None
    """Why the current turn, or the last one, is noisy."""
    disturbed: float | None = None
    """Share of its time taken by other programs, 0 to 1; None where the kernel does not report it."""
    since: Between = Between()
    alerts: tuple[Alert, ...] = ()
    """Thresholds exceeded now."""
    raised: tuple[Alert, ...] = ()
    """Thresholds exceeded since the last snapshot; each is reported once."""
    markers: tuple[Marker, ...] = ()
    """Oldest first."""
    traces: Mapping[Window, Mapping[str, Trace]] = field(default_factory=dict)
    """History by window and figure."""
    totals: Totals = Totals()
    pool: PoolNow | None = None
    """Parallel answers; None where the engine makes one after the other."""
    judged: bool = False
    """Whether that turn was judged; `noisy` has no meaning otherwise."""
    server: Mapping[str, float] | None = None
    """What the server of an engine elsewhere reported of the last turn, by its field name; None where the model is computed here."""


EMPTY = Snapshot()
"""The snapshot before the first measurement."""
