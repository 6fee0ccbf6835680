"""Feeds the panel: samples the machine, ticks the meter, and hands one frozen snapshot to whoever shows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.events import Event, ModelReady
from engine.metrics.host import host_sampler
from engine.metrics.live import Meter
from engine.metrics.pacing import Choice
from engine.metrics.snapshot import Snapshot
from tui.stream import Painted

TICK_S = 0.5
REMOTE_TICK_S = 1.0
SETTLE_S = 5.0
"""So long after the last event the panel still follows every tick."""
REST_S = 5.0
"""Between two looks while nothing goes on."""


class Metering:
    """Lives as long as the chat screen. Imported after the first frame: what it measures with takes its time to load."""

    def __init__(self, *, alerts: Mapping[str, float], show: Callable[[Snapshot], None], terminal: Callable[[], tuple[int, bool]]) -> None:
        """`terminal` says how many bytes were sent so far, and whether the line is behind."""
        self.meter = Meter(alert_limits=alerts)
        self._sampler = host_sampler()
        self._show = show
        self._terminal = terminal
        self._sampling = False
        self._busy_s = time.monotonic()
        self._shown_s = 0.0

    def start(self) -> None:
        """Begin to watch the event loop and the garbage collector."""
        self.meter.lag.start(asyncio.get_running_loop())
        self.meter.collections.start()

    def stop(self) -> None:
        """End all watching."""
        self.meter.lag.stop()
        self.meter.collections.stop()
        self._sampler.close()

    def handle(self, event: Event) -> None:
        """Take an event of the session."""
        self.meter.handle(event)
        self._busy_s = time.monotonic()
        if isinstance(event, ModelReady):
            self.watch_model(event.engine.model.path)

    def watch_model(self, path: Path) -> None:
        """Watch how much of this file is in memory."""
        self._sampler.watch_model(path)

    def painted(self, painted: Painted) -> None:
        """Text is on the screen."""
        self.meter.painted(painted.painted_ns, painted.paint_ns)

    def paced(self, choice: Choice) -> None:
        """`auto` chose another batch."""
        self.meter.paced(choice.batch, choice.sentence)

    async def tick(self) -> None:
        """Sample the machine on a thread, make the numbers, show them.

        A tick that comes while one is under way is dropped, and most of those while nothing goes on: at rest the line stays quiet.
        """
        now = time.monotonic()
        if self._sampling or (now - self._busy_s > SETTLE_S and now - self._shown_s < REST_S):
            return
        self._shown_s = now
        self._sampling = True
        try:
            sample = await asyncio.to_thread(self._sampler.sample)
        finally:
            self._sampling = False
        sent, behind = self._terminal()
        self.meter.terminal(sent, busy=behind)
        self._show(self.meter.tick(sample))
