"""Measures the recent run-queue wait of the screen's threads, to distinguish a busy machine from a slow connection."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from engine.host.contention import RunQueueWait
from engine.host.threads import ThreadGroup, role_of

WINDOW_S = 1.0
"""Length of the window."""
READ_EVERY_S = 0.1
"""Least interval of samples; one takes about 20 µs."""


def screen_tids(_tasks: Path) -> frozenset[int]:
    """Thread ids of the event loop and of the terminal's reader and writer."""
    return frozenset(
        thread.native_id
        for thread in threading.enumerate()
        if thread.native_id is not None and role_of(thread.name).group is ThreadGroup.UI
    )


class Starvation:
    """Sums the waits of the last second. Used on the event loop's thread."""

    def __init__(self, waits: RunQueueWait | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._waits = waits or RunQueueWait(tids=screen_tids)
        self._clock = clock
        self._read_s = float("-inf")
        self._recent: deque[tuple[float, float]] = deque()

    def recent_s(self) -> float:
        """Total wait of the threads during the last second, in seconds; 0 where the kernel does not report it."""
        now = self._clock()
        if now - self._read_s >= READ_EVERY_S:
            self._read_s = now
            self._waits.refresh()
            waited_ns = self._waits.since_last()
            if waited_ns:
                self._recent.append((now, waited_ns / 1e9))
        while self._recent and self._recent[0][0] < now - WINDOW_S:
            self._recent.popleft()
        return sum(waited for _, waited in self._recent)
