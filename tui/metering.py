"""Feeds the panel and the log: samples the machine, ticks the meter, and hands one frozen snapshot to whoever shows it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from engine.backend import EngineInfo
from engine.errors import XchatError
from engine.events import Event, Notice, Painted, TurnStarted
from engine.host.bandwidth import HostLimits, remembered
from engine.host.sampler import HostSample, host_sampler
from engine.metrics.live_socket import SnapshotServer
from engine.metrics.log_row import sample_of
from engine.metrics.meter import Meter
from engine.metrics.pacing import Choice
from engine.metrics.prometheus import PrometheusEndpoint
from engine.metrics.snapshot import MarkerKind, Snapshot
from engine.metrics.ui_cost import Link
from engine.models.check import parts_of
from engine.models.facts_cache import FactsCache
from engine.models.memory import traffic_of
from engine.session.session import Session

TICK_S = 0.5
REMOTE_TICK_S = 1.0
SETTLE_S = 5.0
"""So long after the last event the panel still follows every tick."""
REST_S = 5.0
"""Between two looks while nothing goes on."""
EARLY_S = 0.15
"""The machine is looked at when a turn begins, and again so long after: a short turn, too, is held against what else ran."""


class Metering:
    """Lives as long as the chat screen. Imported after the first frame: what it measures with takes its time to load."""

    def __init__(
        self,
        session: Session,
        *,
        alerts: Mapping[str, float],
        show: Callable[[Snapshot], None],
        tell: Callable[[Notice], None],
        terminal: Callable[[], tuple[int, bool, Link]],
    ) -> None:
        """`terminal` says how many bytes were sent so far, whether that is too much for the line, and how the line is doing now.

        `tell` shows an alert, each kind once.
        """
        self.meter = Meter(alert_limits=alerts)
        self._session = session
        self._sampler = host_sampler()
        self._show = show
        self._tell = tell
        self._terminal = terminal
        self._newest: Snapshot | None = None
        self._server = SnapshotServer(lambda: self._newest)
        self._prometheus = PrometheusEndpoint(lambda: self._newest)
        self._under_way: asyncio.Future[HostSample] | None = None
        """The sampling on its thread; it goes on there when the tick that waits for it is cancelled."""
        self._told: set[str] = set()
        """Alerts that were shown; crossed again, they are marked and logged only."""
        self._threads: int | None = None
        self._logged_s = 0.0
        self._busy_s = time.monotonic()
        self._shown_s = 0.0
        self._early: asyncio.Task[None] | None = None

    async def start(self, prometheus_port: int | None) -> None:
        """Begin to watch the event loop and the garbage collector, and let other programs of this person read the figures."""
        self.meter.lag.start(asyncio.get_running_loop())
        self.meter.collections.start()
        try:
            await self._server.start()
            if prometheus_port is not None:
                self._prometheus.start(prometheus_port)
        except XchatError as error:
            self._tell(Notice("warning", error.title, error.detail, error.hint))

    async def stop(self) -> None:
        """End all watching."""
        if self._early is not None:
            self._early.cancel()
        self.meter.lag.stop()
        self.meter.collections.stop()
        if self._under_way is not None:
            await asyncio.wait([self._under_way])
        self._sampler.close()
        self._prometheus.stop()
        await self._server.close()

    def handle(self, event: Event) -> None:
        """Take an event of the session; call it on the event loop."""
        self.meter.handle(event)
        self._busy_s = time.monotonic()
        if isinstance(event, TurnStarted):
            self._early = asyncio.create_task(self._look_early())

    async def _look_early(self) -> None:
        await self.tick()
        await asyncio.sleep(EARLY_S)
        await self.tick()

    async def watch_model(self, engine: EngineInfo) -> None:
        """Watch how much of this model is in memory, and hold its speed against what the machine can read."""
        path = engine.model.path
        self._sampler.watch_model(path)
        self._threads = engine.threads
        self.meter.limits = remembered(engine.threads)
        try:
            facts = await asyncio.to_thread(lambda: FactsCache().facts(parts_of(path)))
        except XchatError:
            self.meter.traffic = None  # the file is gone or was replaced since it was loaded; the panel says what it lacks
            return
        self.meter.traffic = traffic_of(facts, engine.preset)

    def measured(self, limits: HostLimits) -> None:
        """What this machine can do has just been measured."""
        self.meter.limits = limits

    def capture(self, on: bool) -> None:
        """A py-spy capture began or ended: turns measured meanwhile are not to be compared."""
        self.meter.capture(on)

    def painted(self, painted: Painted) -> None:
        """Text is on the screen."""
        self.meter.painted(painted.painted_ns, painted.paint_ns)

    def paced(self, choice: Choice) -> None:
        """`auto` chose another batch."""
        self.meter.paced(choice.batch, choice.sentence)

    def _look_at_threads(self) -> None:
        """Take over how many threads compute now, and what the machine can do with so many."""
        now = self._session.threads_now
        self.meter.threads(now)
        if now is not None and now.threads != self._threads:
            self._threads = now.threads
            self.meter.limits = remembered(now.threads)

    async def tick(self) -> None:
        """Sample the machine on a thread, make the numbers, show them.

        A tick that comes while one is under way is dropped, and most of those while nothing goes on: at rest the line stays quiet.
        """
        now = time.monotonic()
        if (self._under_way is not None and not self._under_way.done()) or (now - self._busy_s > SETTLE_S and now - self._shown_s < REST_S):
            return
        self._shown_s = now
        self._under_way = asyncio.ensure_future(asyncio.to_thread(self._sampler.sample))
        sample = await asyncio.shield(self._under_way)
        sent, slowed, line = self._terminal()
        self.meter.terminal(sent, busy=slowed, blocked_s=line.blocked_s, round_trip_s=line.round_trip_s)
        self._look_at_threads()
        self.meter.batch(self._session.stream_batch)
        self._newest = snapshot = self.meter.tick(sample)
        self._log(snapshot)
        self._show(snapshot)

    def _log(self, snapshot: Snapshot) -> None:
        session = self._session
        session.log_sample(sample_of(snapshot, session_id=None, turn_id=session.answer_id))
        if session.busy and (cause := self.meter.noise.verdict()) is not None:
            session.flag_noisy(cause)
        for alert in snapshot.raised:
            if alert.id not in self._told:
                self._told.add(alert.id)
                self._tell(
                    Notice("warning", alert.sentence, "", f"{alert.id} under [alerts] in config.toml sets the limit; 0 switches it off.")
                )
        for marker in snapshot.markers:
            if marker.seconds > self._logged_s and marker.kind is not MarkerKind.TURN:
                session.log_mark(marker.kind, marker.text)
        if snapshot.markers:
            self._logged_s = max(self._logged_s, snapshot.markers[-1].seconds)
