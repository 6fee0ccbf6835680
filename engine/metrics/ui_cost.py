"""Measures the UI overhead: the cost of drawing, the event loop and the terminal while an answer streams."""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.metrics.latency import Span
from engine.timings import percentile

LAG_EVERY_S = 0.1
"""Interval between two samples of the event loop's lag."""

LAG_KEPT = 600
"""One minute of lags."""

SPANS_KEPT = 256
"""Number of pauses and paints kept to explain stalls."""

PAUSE_FLOOR_NS = NS_PER_MS
"""Shorter garbage collections are ignored."""

PAINT_WINDOW_NS = 5 * NS_PER_S
"""Time over which paint figures are averaged."""


@dataclass(frozen=True, slots=True)
class Price:
    """The current cost of the screen; None before it was measured."""

    paint_ms: float | None = None
    """Mean time to paint one chunk."""
    paint_pct: float | None = None
    """Painting's share of one core."""
    paints_per_s: float = 0.0
    lag_p50_ms: float | None = None
    lag_p99_ms: float | None = None
    lag_max_ms: float | None = None
    """Longest lag of the event loop over the last minute."""
    tty_bytes_per_s: float | None = None
    link_busy: bool = False
    """The terminal reads bytes more slowly than they are written."""
    tty_blocked_pct: float | None = None
    """Share of the time that writes waited for the terminal."""
    round_trip_ms: float | None = None
    """Latest round trip of a query to the terminal; None when it has never answered."""
    ui_pct: float | None = None
    """CPU of the event loop's and the terminal's threads, in per cent of one core."""
    panel_ms: float | None = None
    """Time to draw the panel once."""
    sample_ms: float | None = None
    """Time to sample the machine once."""


class Painting:
    """Paints of chunks, as the screen reports them."""

    def __init__(self) -> None:
        self.spans: deque[Span] = deque(maxlen=SPANS_KEPT)

    def painted(self, painted_ns: int, paint_ns: int) -> None:
        """Record a chunk painted at `painted_ns`, in `paint_ns`."""
        self.spans.append((painted_ns - paint_ns, painted_ns))

    def figures(self, at_ns: int) -> tuple[float | None, float | None, float]:
        """Return the mean paint time in milliseconds, the share of one core in per cent, and paints per second, over the last seconds."""
        recent = [(begin, end) for begin, end in self.spans if end > at_ns - PAINT_WINDOW_NS]
        if not recent:
            return None, None, 0.0
        total = sum(end - begin for begin, end in recent)
        since = min(PAINT_WINDOW_NS, max(at_ns - recent[0][0], NS_PER_S))
        return total / len(recent) / NS_PER_MS, total / since * 100, len(recent) / (since / NS_PER_S)


class LoopLag:
    """Measures how late a timer of the event loop fires, ten times a second."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=LAG_KEPT)
        self._longest_new: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start; call on the loop's thread."""
        due = loop.time() + LAG_EVERY_S

        def look() -> None:
            self.note((loop.time() - due) * 1e3)
            self.start(loop)

        self._handle = loop.call_at(due, look)

    def note(self, lag_ms: float) -> None:
        """Record a lag."""
        self._lags.append(max(0.0, lag_ms))
        self._longest_new = max(self._longest_new or 0.0, lag_ms)

    def longest_new(self) -> float | None:
        """Return the longest lag since the last call, in milliseconds."""
        longest, self._longest_new = self._longest_new, None
        return longest

    def figures(self) -> tuple[float | None, float | None, float | None]:
        """Return median, 99th percentile and maximum of the last minute, in milliseconds."""
        ordered = sorted(self._lags)
        return percentile(ordered, 0.5), percentile(ordered, 0.99), ordered[-1] if ordered else None

    def stop(self) -> None:
        """End."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class CollectorPauses:
    """Pauses by Python's garbage collector, for explaining stalls."""

    def __init__(self, clock: Callable[[], int] = now_ns) -> None:
        self.spans: deque[Span] = deque(maxlen=SPANS_KEPT)
        self._clock = clock
        self._began_ns = 0

    def start(self) -> None:
        """Start recording."""
        gc.callbacks.append(self._heard)

    def _heard(self, phase: str, info: Mapping[str, int]) -> None:  # noqa: ARG002 - the interpreter passes it
        if phase == "start":
            self._began_ns = self._clock()
        elif (end := self._clock()) - self._began_ns >= PAUSE_FLOOR_NS:
            self.spans.append((self._began_ns, end))

    def stop(self) -> None:
        """Stop recording."""
        if self._heard in gc.callbacks:
            gc.callbacks.remove(self._heard)


class ByteRate:
    """Bytes per second, or another rate, from a running total."""

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None
        self._rate: float | None = None

    def at(self, at_ns: int, total: float) -> float | None:
        """Return the rate since the last call."""
        if self._before is not None and at_ns > self._before[0]:
            self._rate = max(0.0, total - self._before[1]) * NS_PER_S / (at_ns - self._before[0])
        self._before = (at_ns, total)
        return self._rate
