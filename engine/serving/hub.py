"""Passes the events of all answers from the compute thread to the event loop: one wake-up per decode call."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from engine.backend import BackendEvent

Take = Callable[[BackendEvent], None]


class Hub:
    """Collects events, and wakes the loop when the compute thread is about to release the GIL.

    Waking it for each event makes both threads compete for the GIL: 400 µs instead of 20 per step of eight answers.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[tuple[Take, BackendEvent]] = deque()
        self._woken = False
        self.wakeups = 0

    def listener(self, take: Take) -> Take:
        """Make a listener for the compute thread; `take` gets its events on the loop."""
        arrived = self._arrived
        return lambda event: arrived.append((take, event))

    def flush(self) -> None:
        """Wake the loop if anything arrived. From any thread."""
        if self._arrived and not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: the program is ending
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False  # before emptying: later events wake the loop again
        self.wakeups += 1
        while self._arrived:
            take, event = self._arrived.popleft()
            take(event)
