"""Alerts on thresholds: reported once when a figure exceeds its limit, cleared when it is back below or outdated.

Speeds and stalls are compared with the usual values of the loaded model on this host, if there are earlier turns.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from engine.errors import UsageError
from engine.metrics.figures import BY_ID
from engine.metrics.figures.figure import number_in
from engine.metrics.snapshot import Alert, Snapshot

REARM_SHARE = 0.9
"""An alert clears below this share of its threshold, so that a value near it does not raise it repeatedly."""

TURNS_LOOKED_AT = 20
"""Number of recent turns for failed turns and answer times."""

FEWEST_TURNS = 5
"""Fewest turns for a share or a mean."""

FORGET_S = 600.0
"""Seconds after which ended turns don't count, so that their alerts clear."""

FEWEST_TOKENS = 16
"""Fewest tokens for a speed; over fewer it is mostly noise."""

USUAL_STALLS = 2.0
"""Factor of the usual number of stalls that raises an alert, where that is above the default."""


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual figures of one model on this host."""

    predicted_per_second: float
    """Median decode speed of earlier turns, those on a busy machine included."""
    stalls_per_minute: float
    """Mean while decoding."""
    turns: int
    """Number of earlier turns."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A turn that has ended."""

    at_s: float
    failed: bool
    seconds: float
    per_second: float | None
    """Decode speed; None over too few tokens."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The definition of an alert."""

    id: str
    default: float
    sentence: str
    """With `{value}` and `{limit}` in it."""
    advice: str
    """What helps."""
    figure: str = ""
    """Id of its registered figure; empty for figures of recent turns."""
    scale: float = 1.0
    """Factor from the limit's unit to the figure's."""


THRESHOLDS: tuple[Threshold, ...] = (
    Threshold(
        "memory_pct",
        80.0,
        "Memory is {value:.0f} % full (alert above {limit:g} %)",
        "Close other programs, or use a smaller n_ctx or quant.",
        figure="memory_pct",
    ),
    Threshold(
        "swap_mb",
        1.0,
        "{value:,.0f} MB of xchat are swapped out (alert above {limit:g} MB)",
        "Close other programs, or use a smaller model.",
        figure="swap_bytes",
        scale=1e6,
    ),
    Threshold(
        "failed_turns_pct",
        5.0,
        "{value:.0f} % of the last turns failed (alert above {limit:g} %)",
        "`xchat doctor` checks engine and files.",
    ),
    Threshold(
        "slower_times",
        2.0,
        "Decode is {value:.1f} times slower than usual for this model here (alert above {limit:g} times)",
        "Check for busy programs (panel: processor), or set `threads` to auto; a new conversation is faster than a long one.",
    ),
    Threshold(
        "mean_answer_s", 0.0, "Answers take {value:.1f} s on average (alert above {limit:g} s)", "Use a smaller model or max_tokens."
    ),
    Threshold(
        "throttled_pct",
        5.0,
        "The control group throttles xchat {value:.0f} % of the time (alert above {limit:g} %)",
        "Raise the CPU quota, or set `threads` to auto, which stays within it.",
        figure="throttled_pct",
    ),
    Threshold(
        "temperature_c",
        95.0,
        "The processor is {value:.0f} °C hot (alert above {limit:g} °C)",
        "Use fewer threads, or improve the cooling.",
        figure="temperature_c",
    ),
    Threshold(
        "stalls_per_minute",
        6.0,
        "{value:.0f} stalls in the last minute (alert above {limit:g})",
        "Check for busy programs (panel: processor), or set `threads` to auto.",
        figure="stalls",
    ),
)
"""Every alert. A limit of 0 or less switches one off."""

_KNOWN = tuple(threshold.id for threshold in THRESHOLDS)


class Alerts:
    """Checks figures and recent turns against their thresholds."""

    def __init__(self, limits: Mapping[str, float] | None = None, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        """`limits`: the config's, over the defaults. Raises UsageError for an unknown alert."""
        self._clock_s = clock_s
        self._configured = frozenset(limits or {})
        unknown = sorted(set(limits or {}) - set(_KNOWN))
        if unknown:
            raise UsageError(
                f"There is no alert called {unknown[0]}", f"Known alerts: {', '.join(_KNOWN)}.", "Fix [alerts] in config.toml."
            )
        self._limits = {threshold.id: threshold.default for threshold in THRESHOLDS} | dict(limits or {})
        self._ringing: dict[str, Alert] = {}
        self._turns: deque[_Ended] = deque(maxlen=TURNS_LOOKED_AT)
        self._usual: Usual | None = None

    def model_changed(self) -> None:
        """Forget the turns of another model."""
        self._turns.clear()
        self._usual = None

    def compare_with(self, usual: Usual | None) -> None:
        """Set the usual figures that turns of the loaded model are compared with; None if unknown."""
        self._usual = usual

    def turn(self, *, failed: bool, seconds: float, predicted_n: int = 0, per_second: float | None = None) -> None:
        """Record the time and the decode speed of an ended turn."""
        self._turns.append(_Ended(self._clock_s(), failed, seconds, per_second if predicted_n >= FEWEST_TOKENS else None))

    def check(self, now: Snapshot) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
        """Check a snapshot; return all exceeded thresholds, and those newly exceeded."""
        raised = []
        while self._turns and self._turns[0].at_s < self._clock_s() - FORGET_S:
            self._turns.popleft()
        for threshold in THRESHOLDS:
            name, limit, value = threshold.id, self._limit(threshold.id), self._value(threshold, now)
            if limit <= 0 or value is None:
                self._ringing.pop(name, None)
            elif value > limit:
                alert = Alert(name, threshold.sentence.format(value=value, limit=limit), threshold.advice)
                if name not in self._ringing:
                    raised.append(alert)
                self._ringing[name] = alert
            elif value < limit * REARM_SHARE:
                self._ringing.pop(name, None)
        return tuple(self._ringing.values()), tuple(raised)

    def _limit(self, name: str) -> float:
        limit = self._limits[name]
        if name == "stalls_per_minute" and name not in self._configured and self._usual is not None:
            return max(limit, round(USUAL_STALLS * self._usual.stalls_per_minute))
        return limit

    def _value(self, threshold: Threshold, now: Snapshot) -> float | None:
        match threshold.id:
            case "failed_turns_pct":
                return self._mean([100.0 if turn.failed else 0.0 for turn in self._turns])
            case "mean_answer_s":
                return self._mean([turn.seconds for turn in self._turns])
            case "slower_times":
                return self._slower_times()
        value = number_in(BY_ID[threshold.figure].read(now))
        return None if value is None else value / threshold.scale

    def _slower_times(self) -> float | None:
        speeds = [turn.per_second for turn in self._turns if turn.per_second]
        if self._usual is None or len(speeds) < FEWEST_TURNS:
            return None
        return self._usual.predicted_per_second / median(speeds[-FEWEST_TURNS:])

    @staticmethod
    def _mean(values: Sequence[float]) -> float | None:
        return sum(values) / len(values) if len(values) >= FEWEST_TURNS else None
