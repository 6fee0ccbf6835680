"""The one clock: monotonic nanoseconds for every interval, wall-clock time once per turn."""

from __future__ import annotations

import time

now_ns = time.perf_counter_ns
"""Monotonic nanoseconds; only differences are meaningful."""

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


def wall_ms() -> int:
    """Return the Unix time in milliseconds, for dates, never for durations."""
    return time.time_ns() // NS_PER_MS
