"""Measures a session: samples the machine, judges each turn, keeps the live figures, and logs samples and events.

It works the same with and without a screen. A screen adds the cost of painting and the state of its terminal.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.backend import EngineInfo, PoolNow, ThreadsNow
from engine.errors import StoreError, XchatError
from engine.events import Event, ModelReady, Notice, Painted, SessionOpened, TurnFinished, TurnStarted
from engine.host.bandwidth import remembered
from engine.host.sampler import HostSample, HostSampler, host_sampler
from engine.metrics.link import Link
from engine.metrics.live_socket import SnapshotServer
from engine.metrics.meter import Meter
from engine.metrics.noise import NoiseWatch
from engine.metrics.prometheus import PrometheusEndpoint
from engine.metrics.report import sample_of
from engine.metrics.snapshot import MarkerKind, Snapshot
from engine.models.check import parts_of
from engine.models.facts_cache import FactsCache
from engine.models.memory import traffic_of
from engine.session.effect import Effect
from engine.session.journal import Journal
from engine.store.export.run_card import GOVERNOR_KIND
from engine.store.queries.speeds import usual_of
from engine.store.reader import Reader

TICK_S = 0.5
"""Interval between two samples of the machine."""
SETTLE_S = 5.0
"""Time after the last event until the sampling rate drops."""
IDLE_S = 5.0
"""Interval between two samples while the session is idle."""
EARLY_S = 0.15
"""The machine is sampled when a turn begins, and again after this time, so that short turns are judged too."""

TerminalFigures = tuple[int, bool, Link]
"""Bytes written so far, whether that is more than the link carries, and the state of the terminal."""


BESIDE = "Another answer at the same time"
"""Why the figures of an answer are not those of the model alone."""


@dataclass(slots=True)
class TurnFigures:
    """Measurements around a turn, in addition to the engine's own figures."""

    judged: bool = False
    noisy: str | None = None
    disturbed: float | None = None
    rss_peak_bytes: int | None = None
    first_paint_ns: int | None = None
    paint_ns: int = 0


def unwatched(taken_share: float | None, *, beside: bool) -> TurnFigures:
    """The figures of a turn that was not watched by itself, perhaps `beside` another: it is not judged, so that no speed counts it."""
    noise = NoiseWatch()
    noise.waited(taken_share)
    return TurnFigures(noisy=BESIDE if beside else None, disturbed=noise.share)


class Instruments:
    """The instruments of one session. Lives on the event loop's thread; the machine is sampled on another one."""

    def __init__(
        self,
        journal: Journal,
        *,
        emit: Callable[[Event], None],
        threads_now: Callable[[], ThreadsNow | None],
        pool_now: Callable[[], PoolNow | None] = lambda: None,
        alerts: Mapping[str, float] | None = None,
        reader: Reader | None = None,
        sampler: HostSampler | None = None,
    ) -> None:
        """Start measuring; must be called on the running event loop.

        `alerts`: the config's limits over the defaults; `reader`: reads the usual figures of this host; `sampler`: samples the machine.
        Raises UsageError when there is no such alert.
        """
        self.meter = Meter(alert_limits=alerts)
        self.tick_s = TICK_S
        self.newest: Snapshot | None = None
        self.terminal: Callable[[], TerminalFigures] | None = None
        """Returns the state of the terminal; None without a screen."""
        self._journal = journal
        self._reader = reader
        self._emit = emit
        self._threads_now = threads_now
        self._pool_now = pool_now
        self._sampler = sampler or host_sampler()
        self._listeners: list[Callable[[Snapshot], object]] = []
        self._server: SnapshotServer | None = None
        self._prometheus: PrometheusEndpoint | None = None
        self._turn_id: int | None = None
        self._turn = TurnFigures()
        self._engine: EngineInfo | None = None
        self._watched: Path | None = None
        """The file that the sampler watches."""
        self._threads: int | None = None
        """The thread count that the limits are for."""
        self._sampling: asyncio.Future[HostSample] | None = None
        """The sampling on its thread; it continues when the tick that awaits it is cancelled."""
        self._moves: tuple[str, ...] = ()
        """The decisions of the thread governors that are logged."""
        self._effect = Effect()
        self._shown_alerts: set[str] = set()
        """Alerts that were shown; crossed again, they are marked and logged only."""
        self._logged_s = 0.0
        self._event_s = time.monotonic()
        self._ticked_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self.meter.lag.start(asyncio.get_running_loop())
        self.meter.collections.start()
        self._start(self._run())

    # Subscribers

    def subscribe(self, listener: Callable[[Snapshot], object]) -> Callable[[], None]:
        """Call `listener` with every snapshot; the returned function unsubscribes it."""
        self._listeners.append(listener)
        if self._engine is not None:
            self._start(self._read_traffic(self._engine))
        return partial(self._listeners.remove, listener)

    async def publish(self, prometheus_port: int | None = None) -> None:
        """Serve the figures to other programs of this user on a socket, and with a port on loopback to Prometheus."""
        self._server = SnapshotServer(lambda: self.newest)
        self._prometheus = PrometheusEndpoint(lambda: self.newest)
        try:
            await self._server.start()
            if prometheus_port is not None:
                await self._prometheus.start(prometheus_port)
        except XchatError as error:
            self._emit(Notice("warning", error.title, error.detail, error.hint, error.action))

    async def close(self) -> None:
        """Stop measuring; safe to call twice."""
        for task in self._tasks:
            task.cancel()
        self.meter.lag.stop()
        self.meter.collections.stop()
        if self._sampling is not None:
            await asyncio.wait([self._sampling])
        self._sampler.close()
        if self._prometheus is not None:
            await self._prometheus.stop()
        if self._server is not None:
            await self._server.close()

    # From the session

    def handle(self, event: Event) -> None:
        """Handle an event of the session."""
        self.meter.handle(event)
        self._event_s = time.monotonic()
        if (notice := self._effect.handle(event)) is not None:
            self._emit(notice)
        if isinstance(event, TurnStarted):
            self._turn_id, self._turn = event.answer_id, TurnFigures()
            self._start(self._tick_early())
        elif isinstance(event, TurnFinished):
            self._turn_id = None
        elif isinstance(event, SessionOpened):
            self._moves, self._turn_id = (), None
        elif isinstance(event, ModelReady):
            if self._engine is None or self._engine.model.fingerprint != event.engine.model.fingerprint:
                self.meter.alerts.model_changed()
                self._start(self._read_usual(event.engine))
            self._engine = event.engine
            self.meter.traffic = None
            if self._listeners:
                self._start(self._read_traffic(event.engine))

    def figures(self, taken_share: float | None = None) -> TurnFigures:
        """Return the measurements of the turn so far. `taken_share`: the share of it in which compute threads waited for a CPU."""
        noise = self.meter.noise
        noise.waited(taken_share)
        self._turn.judged, self._turn.noisy, self._turn.disturbed = noise.judged, noise.verdict(), noise.share
        return self._turn

    def measured(self, turn_id: int) -> bool:
        """Whether the measurements are those of this turn."""
        return turn_id == self._turn_id

    def wake(self) -> None:
        """Sample at the usual pace: answers are in progress that no event reports."""
        self._event_s = time.monotonic()

    def switched(self, what: str, *, reads_again: bool, mark: str = "") -> None:
        """Compare the speed before and after a switch, and mark it in the log. With `reads_again` the next prompt is evaluated whole."""
        if mark:
            self._journal.mark(self._turn_id, "preset", mark)
        self._effect.switched(what, reads_again=reads_again)

    def log_moves(self) -> None:
        """Log new decisions of the thread governors, for the run card."""
        now = self._threads_now()
        if now is None or now.moves == self._moves:
            return
        for move in now.moves:
            if move not in self._moves:
                self._journal.mark(self._turn_id, GOVERNOR_KIND, move)
        self._moves = now.moves

    # From the screen

    def painted(self, painted: Painted) -> None:
        """Record that text of an answer is painted."""
        self.meter.painted(painted.painted_ns, painted.paint_ns)
        if painted.answer_id == self._turn_id:
            self._turn.paint_ns += painted.paint_ns
            self._turn.first_paint_ns = self._turn.first_paint_ns or painted.painted_ns

    # Sampling

    async def tick(self) -> None:
        """Sample the machine on a thread, make the figures, log and show them.

        Skipped while another tick runs, and mostly while the session is idle.
        """
        now, pool = time.monotonic(), self._pool_now()
        if pool is not None and pool.running + pool.prefilling:
            self._event_s = now  # requests of others are answered
        if (self._sampling is not None and not self._sampling.done()) or (now - self._event_s > SETTLE_S and now - self._ticked_s < IDLE_S):
            return
        self._ticked_s = now
        threads = self._threads_now()
        self._sampling = asyncio.ensure_future(asyncio.to_thread(self._sample, self._engine.model.path if self._engine else None))
        try:
            sample = await asyncio.shield(self._sampling)
        except RuntimeError:
            return  # no more threads can be started
        if threads is not None and threads.threads != self._threads:
            self._threads = threads.threads
            self.meter.limits = await asyncio.to_thread(remembered, threads.threads)
        if self.terminal is not None:
            sent, slowed, link = self.terminal()
            self.meter.terminal(sent, busy=slowed, blocked_s=link.blocked_s, round_trip_s=link.round_trip_s)
        self.meter.threads(threads)
        self.meter.pool = pool
        self.newest = snapshot = self.meter.tick(sample)
        self._log(snapshot)
        for listener in tuple(self._listeners):
            listener(snapshot)

    def _sample(self, model: Path | None) -> HostSample:
        """Sample the machine; called on a thread, never concurrently."""
        if model != self._watched:
            self._watched = model
            self._sampler.watch_model(model)
        return self._sampler.sample()

    async def _read_traffic(self, engine: EngineInfo) -> None:
        """Read the bytes per token from the header of the model's file, for subscribers."""
        path = engine.model.path
        if path is None:
            return
        try:
            facts = await asyncio.to_thread(lambda: FactsCache().facts(parts_of(path)))
        except XchatError:
            return  # the file was deleted or replaced since it was loaded; the panel shows that the figure is unavailable
        if engine is self._engine:
            self.meter.traffic = traffic_of(facts, engine.preset)

    async def _read_usual(self, engine: EngineInfo) -> None:
        """Read the model's usual figures on this host, for alerts."""
        if self._reader is None:
            return
        try:
            usual = await self._reader.read(usual_of, socket.gethostname(), engine.model.fingerprint)
        except StoreError:
            return  # the log says why; without a history nothing is unusual
        if self._engine is not None and self._engine.model.fingerprint == engine.model.fingerprint:
            self.meter.alerts.compare_with(usual)

    def _log(self, snapshot: Snapshot) -> None:
        sample = sample_of(snapshot, session_id=None, turn_id=self._turn_id)
        resident = sample.figures.get("rss_bytes")
        if resident is not None:
            self._turn.rss_peak_bytes = max(self._turn.rss_peak_bytes or 0, int(resident))
        self._journal.sample(sample)
        for marker in snapshot.markers:
            if marker.seconds > self._logged_s and marker.kind is not MarkerKind.TURN:
                self._journal.mark(self._turn_id, marker.kind, marker.text)
        if snapshot.markers:
            self._logged_s = max(self._logged_s, snapshot.markers[-1].seconds)
        for alert in snapshot.alerts if self._listeners else ():
            if alert.id not in self._shown_alerts:
                self._shown_alerts.add(alert.id)
                hint = f"{alert.advice} {alert.id} under [alerts] in config.toml sets the limit; 0 switches it off."
                self._emit(Notice("warning", alert.sentence, "", hint))

    async def _run(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(self.tick_s)

    async def _tick_early(self) -> None:
        await self.tick()
        await asyncio.sleep(EARLY_S)
        await self.tick()

    def _start(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job, name="instruments")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
