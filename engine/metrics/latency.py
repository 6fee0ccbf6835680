"""Measures the gaps between tokens: percentiles, a histogram, and stalls with their likely cause."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.clock import NS_PER_MS, NS_PER_S
from engine.host.sampler import HostSample
from engine.host.value import known
from engine.metrics.noise import OTHERS_PCT, STEAL_PCT
from engine.timings import STALL_FACTOR, percentile

RECENT_GAPS = 1024
"""Number of latest gaps for live percentiles; those of a finished turn are exact."""

STALL_AFTER = 8
"""Inter-token gaps needed before a gap can be compared with their median."""

STALL_FLOOR_MS = 20.0
"""A shorter gap is never a stall: it is not noticeable."""

HISTOGRAM_BINS = 32
_LOWEST_EXPONENT = -4


def histogram_bin(gap_ms: float) -> int:
    """Return the bin of a gap; bins are half octaves, for gaps from 2 ms to 2 s."""
    if gap_ms <= 0:
        return 0
    return min(HISTOGRAM_BINS - 1, max(0, math.floor(2 * math.log2(gap_ms)) - _LOWEST_EXPONENT))


def histogram_edge_ms(number: int) -> float:
    """Return the lower edge of a bin."""
    return float(2.0 ** ((number + _LOWEST_EXPONENT) / 2))


@dataclass(frozen=True, slots=True)
class Gaps:
    """The gaps of a turn. Milliseconds; None before there are two tokens."""

    count: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    histogram: tuple[int, ...] = (0,) * HISTOGRAM_BINS
    """Number of gaps per half octave, see `histogram_edge_ms`."""


class GapMeter:
    """Collects token timestamps of one turn; adding is cheap, `figures` sorts."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT_GAPS)
        self._histogram = [0] * HISTOGRAM_BINS
        self._count = 0
        self._max = 0.0
        self._longest_new: float | None = None
        self._last_ns: int | None = None
        self._median: float | None = None
        self._suspects: list[tuple[int, float]] = []
        self._early: list[tuple[int, float]] = []
        """The first gaps, until there is a median to compare them with."""

    def add(self, token_ns: Iterable[int]) -> None:
        """Add tokens."""
        for at_ns in token_ns:
            if self._last_ns is not None:
                self._gap(at_ns, (at_ns - self._last_ns) / NS_PER_MS)
            self._last_ns = at_ns

    def _gap(self, end_ns: int, gap_ms: float) -> None:
        if self._median is None:
            self._early.append((end_ns, gap_ms))
        elif self._stalled(gap_ms, self._median):
            self._suspects.append((end_ns, gap_ms))
        self._recent.append(gap_ms)
        self._histogram[histogram_bin(gap_ms)] += 1
        self._count += 1
        self._max = max(self._max, gap_ms)
        self._longest_new = max(self._longest_new or 0.0, gap_ms)
        if self._count in (STALL_AFTER, 4 * STALL_AFTER):
            self._median = median = percentile(sorted(self._recent), 0.5)
            if median is not None:
                self._suspects += [early for early in self._early if self._stalled(early[1], median)]
                self._early.clear()

    @staticmethod
    def _stalled(gap_ms: float, median_ms: float) -> bool:
        return gap_ms > max(STALL_FLOOR_MS, STALL_FACTOR * median_ms)

    def figures(self) -> Gaps:
        """Return the gaps so far; also updates the median that defines stalls."""
        ordered = sorted(self._recent)
        if self._count >= STALL_AFTER:
            self._median = percentile(ordered, 0.5)
        return Gaps(
            self._count,
            percentile(ordered, 0.5),
            percentile(ordered, 0.95),
            percentile(ordered, 0.99),
            self._max if self._count else None,
            tuple(self._histogram),
        )

    def longest_new(self) -> float | None:
        """Return the longest gap since the last call, in milliseconds; None when no token came."""
        longest, self._longest_new = self._longest_new, None
        return longest

    def new_stalls(self) -> list[tuple[int, float]]:
        """Return the end and the length in milliseconds of the stalls since the last call."""
        found, self._suspects = self._suspects, []
        return found


Span = tuple[int, int]
"""Start and end in nanoseconds, by `engine.clock`."""

OVERLAP_SHARE = 0.3
"""A pause explains a stall when it covers this share of it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Possible causes of a stall."""

    host: HostSample | None = None
    """The sample that covers the time."""
    collections: Sequence[Span] = ()
    """Pauses by the garbage collector."""
    paints: Sequence[Span] = ()
    """When the screen was painted."""
    capturing: bool = False
    """A py-spy capture ran."""


def likely_cause(end_ns: int, gap_ms: float, around: Surroundings) -> str:
    """Return the likely cause of a late token: the first that applies, the strongest explanation first."""
    span = (end_ns - int(gap_ms * NS_PER_MS), end_ns)
    seen = {
        "a capture paused the threads": around.capturing,
        "garbage collection": _covered(span, around.collections) >= OVERLAP_SHARE,
        **(_machine_causes(around.host, gap_ms) if around.host is not None else {}),
        "a flush of the screen": _covered(span, around.paints) >= OVERLAP_SHARE,
    }
    return next((cause for cause, happened in seen.items() if happened), "no cause seen")


def _machine_causes(host: HostSample, gap_ms: float) -> dict[str, bool]:
    throttled_ms = (known(host.cpu.throttled_pct) or 0.0) / 100 * (host.interval_s or 0.0) * 1e3
    return {
        "throttling by the control group": throttled_ms >= OVERLAP_SHARE * gap_ms,
        "swapping": (known(host.swapped_in) or 0.0) > 0,
        "page faults: weights came from the disk": (known(host.major_faults) or 0.0) > 0,
        "CPU time stolen by the hypervisor": (known(host.cpu.steal_pct) or 0.0) >= STEAL_PCT,
        "another busy program": (known(host.cpu.others_pct) or 0.0) >= OTHERS_PCT,
    }


def _covered(span: Span, pauses: Iterable[Span]) -> float:
    """Return the share of `span` inside the pauses, at most 1."""
    inside = sum(max(0, min(span[1], end) - max(span[0], begin)) for begin, end in pauses)
    return inside / (span[1] - span[0]) if span[1] > span[0] else 0.0


class TokenRate:
    """Tokens per second over the last second."""

    def __init__(self) -> None:
        self._times: deque[tuple[int, int]] = deque(maxlen=4096)
        """Times, with the number of tokens at each."""

    def add(self, token_ns: Iterable[int]) -> None:
        """Add tokens, one at each time."""
        self._times.extend((at_ns, 1) for at_ns in token_ns)

    def add_together(self, at_ns: int, count: int) -> None:
        """Add several tokens at one time, as when they are painted."""
        self._times.append((at_ns, count))

    def clear(self) -> None:
        """Begin another turn."""
        self._times.clear()

    def at(self, now_ns: int) -> float | None:
        """Return the number of gaps that ended within the last second over their length; for slower models 1 / the current gap.

        None before the second token.
        """
        times = self._times
        while len(times) > 2 and times[1][0] < now_ns - NS_PER_S:
            times.popleft()
        if len(times) < 2:
            return None
        last, before = times[-1], times[-2]
        open_ns = now_ns - last[0]
        if open_ns > max(NS_PER_S, last[0] - before[0]):
            return last[1] * NS_PER_S / open_ns
        span = last[0] - times[0][0]
        return (sum(count for _, count in times) - times[0][1]) * NS_PER_S / span if span > 0 else None
