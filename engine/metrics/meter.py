"""The meter: turns the session's events and samples of the machine into snapshots, on the event loop's thread.

Handling an event costs microseconds; percentiles, rates and histories are computed in `tick`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from engine.backend import NOT_OFFERED, EngineInfo, PoolNow, StopReason, ThreadsNow
from engine.clock import NS_PER_MS, NS_PER_S, now_ns, wall_ms
from engine.events import (
    AnswerGrew,
    EngineDied,
    Event,
    ModelFailed,
    ModelLoading,
    ModelReady,
    PresetChanged,
    PromptEvaluated,
    SessionOpened,
    TurnFinished,
    TurnStarted,
)
from engine.host.bandwidth import HostLimits
from engine.host.sampler import HostSample
from engine.host.threads import ThreadGroup
from engine.metrics.alerts import Alerts
from engine.metrics.history_feed import Tracks
from engine.metrics.latency import GapMeter, Gaps, Surroundings, TokenRate, likely_cause
from engine.metrics.noise import NoiseWatch
from engine.metrics.roofline import ModelTraffic, roofline
from engine.metrics.snapshot import Between, Context, EngineFigures, Marker, MarkerKind, Phase, Prefill, Snapshot, Speed, Totals
from engine.metrics.ui_cost import ByteRate, CollectorPauses, LoopLag, Painting, Price
from engine.metrics.waterfall import Waterfall, waterfall
from engine.model_ref import RemoteModel
from engine.presets.preset import Preset
from engine.timings import Timings

MARKERS_KEPT = 512
"""Most markers kept; older ones are in the log."""


class Meter:
    """Turns events into figures. Subscribe `handle` to the session, call `tick` about twice a second."""

    def __init__(self, *, alert_limits: Mapping[str, float] | None = None, clock: Callable[[], int] = now_ns) -> None:
        """`alert_limits`: the config's `[alerts]`; an unknown name raises UsageError."""
        self._clock = clock
        self._started_ns = clock()
        self.alerts = Alerts(alert_limits)
        """The alerts."""
        self._tracks = Tracks()
        self._markers: deque[Marker] = deque(maxlen=MARKERS_KEPT)
        self._stall_ends: deque[int] = deque(maxlen=MARKERS_KEPT)
        self.noise = NoiseWatch()
        """Judges the current turn."""
        self.lag = LoopLag()
        self.collections = CollectorPauses(clock)
        self.painting = Painting()
        self.limits: HostLimits | None = None
        """The measured bandwidth of this host at the thread count in use."""
        self.pool: PoolNow | None = None
        """Parallel answers, for the next snapshot."""
        self.traffic: ModelTraffic | None = None
        """The bytes that the loaded model reads per token."""
        self._tty = ByteRate()
        self._tty_bytes: int | None = None
        self._link_busy = False
        self._blocked = ByteRate()
        self._blocked_s: float | None = None
        self._round_trip_s: float | None = None
        self._panel_ms: float | None = None
        self._capturing = False
        self._phase = Phase.EMPTY
        self._loading = 0.0
        self._engine: EngineFigures | None = None
        self._preset = ""
        self._stream_batch = 0
        self._auto = False
        self._pacing = ""
        self._turn = _LiveTurn()
        self._painted_tokens = 0
        self._on_screen = TokenRate()
        self._waterfall: Waterfall | None = None
        self._timings: Timings | None = None
        self._totals = Totals()
        self._server: Mapping[str, float] | None = None
        self._finished_per_second: float | None = None

    # Facts from the session

    def handle(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, AnswerGrew):
            self._grew(event)
        elif isinstance(event, PromptEvaluated):
            self._evaluated(event)
        elif isinstance(event, TurnStarted):
            held = self._turn.context.used
            self._turn = _LiveTurn()
            self._turn.submitted_ns = event.submitted_ns
            self._turn.context = Context(used=held)  # the context stays as full as it was until the prompt is compared with it
            self._on_screen.clear()
            self._painted_tokens = 0
            self.noise.begin(self._clock())
            self._phase = Phase.WAITING
            self.mark(MarkerKind.TURN, f"turn {self._totals.turns + 1}")
        elif isinstance(event, TurnFinished):
            self._finished(event)
        elif isinstance(event, PresetChanged):
            self._use_preset(event.preset)
        elif isinstance(event, ModelLoading):
            self._phase, self._loading = Phase.LOADING, event.fraction
        elif isinstance(event, ModelReady | ModelFailed):
            self._use_engine(event.engine)
        elif isinstance(event, EngineDied):
            self._phase = Phase.DEAD
        elif isinstance(event, SessionOpened):
            self._left()

    def _left(self) -> None:
        """Another conversation is shown; an answer under way goes on without these figures."""
        self._turn = _LiveTurn()
        self._waterfall = self._timings = None
        self.noise.end()
        if self._phase.in_turn:
            self._phase = Phase.IDLE

    def _use_engine(self, engine: EngineInfo | None) -> None:
        self._turn = _LiveTurn()
        self._server = {} if engine is not None and isinstance(engine.model.ref, RemoteModel) else None
        if engine is None:
            self._phase, self._engine = Phase.EMPTY, None
            return
        self._phase = Phase.IDLE
        self._engine = EngineFigures(
            engine.model.name,
            engine.model.quant,
            engine.n_ctx,
            engine.threads,
            engine.threads_batch,
            engine.load_ms,
            dict(engine.memory),
            *(() if engine.threads else (NOT_OFFERED, NOT_OFFERED)),
        )
        self._use_preset(engine.preset, mark=False)

    def threads(self, now: ThreadsNow | None) -> None:
        """Set the thread counts in use: `auto` changes them while tokens are generated."""
        if self._engine is not None and now is not None:
            self._engine = replace(
                self._engine,
                threads=now.threads,
                threads_batch=now.threads_batch,
                threads_reason=". ".join(filter(None, (now.reason, now.waiting))),
                threads_batch_reason=now.reason_batch,
            )

    def _use_preset(self, preset: Preset, *, mark: bool = True) -> None:
        self._preset = preset.name
        self._auto = preset.stream_batch == "auto"
        if preset.stream_batch != "auto":
            self._stream_batch, self._pacing = preset.stream_batch, ""
        if self._engine is not None and self._engine.threads and preset.threads != "auto":
            self._engine = replace(self._engine, threads=preset.threads)
        if mark:
            self.mark(MarkerKind.PRESET, preset.name)

    def _evaluated(self, event: PromptEvaluated) -> None:
        turn = self._turn
        turn.prefill = Prefill(event.processed, event.total, event.elapsed_ms, event.eta_ms if event.processed else None)
        turn.context = Context(
            used=event.cache_n + event.processed,
            cache_n=event.cache_n,
            prompt_n=event.total,
            diverged_at=event.diverged_at,
            left_out=event.left_out,
        )
        if event.elapsed_ms > 0 and event.processed:
            turn.prompt_per_second = event.processed / event.elapsed_ms * 1e3
        self._phase = Phase.PREFILL

    def _grew(self, event: AnswerGrew) -> None:
        turn = self._turn
        if event.token_ns:
            if not turn.predicted_n:
                turn.first_ns = event.token_ns[0]
                self._waterfall = Waterfall(prefill_ms=turn.prefill.elapsed_ms, ttft_ms=(turn.first_ns - turn.submitted_ns) / NS_PER_MS)
            turn.last_ns = event.token_ns[-1]
            turn.predicted_n += len(event.token_ns)
            turn.gaps.add(event.token_ns)
            turn.rate.add(event.token_ns)
        turn.context = replace(turn.context, used=event.context_used)
        self._phase = Phase.THINKING if event.in_thinking else Phase.DECODE

    def _finished(self, event: TurnFinished) -> None:
        timings, totals = event.turn.timings, self._totals
        failed = event.turn.stop_reason is StopReason.ERROR
        self._totals = Totals(
            turns=totals.turns + 1,
            failed=totals.failed + failed,
            prompt_n=totals.prompt_n + timings.prompt_n,
            cache_n=totals.cache_n + timings.cache_n,
            prompt_ms=totals.prompt_ms + timings.prompt_ms,
            predicted_n=totals.predicted_n + timings.predicted_n,
            predicted_ms=totals.predicted_ms + timings.predicted_ms,
            stalls=totals.stalls,
            most_context=max(totals.most_context, timings.context_used),
        )
        turn = self._turn
        turn.final_gaps = Gaps(
            max(0, timings.predicted_n - 1),
            timings.itl_p50_ms,
            timings.itl_p95_ms,
            timings.itl_p99_ms,
            timings.itl_max_ms,
            turn.gaps.figures().histogram,
        )
        if timings.predicted_n > 1:  # one token has no gap to measure
            turn.mean = self._finished_per_second = timings.predicted_per_second
        turn.prompt_per_second = timings.prompt_per_second or turn.prompt_per_second
        turn.context = replace(turn.context, used=timings.context_used, cache_n=timings.cache_n, prompt_n=timings.prompt_n)
        self._waterfall, self._timings = waterfall(event.turn), timings
        if self._server is not None:
            self._server = event.turn.server
        self.noise.end()
        seconds = (timings.ttft_ms or timings.prompt_ms) / 1e3 + timings.predicted_ms / 1e3
        self.alerts.turn(failed=failed, seconds=seconds, predicted_n=timings.predicted_n, per_second=timings.predicted_per_second)
        if self._phase is not Phase.DEAD:
            self._phase = Phase.IDLE

    # Facts from the screen

    def painted(self, painted_ns: int, paint_ns: int) -> None:
        """Record that everything that arrived is painted at `painted_ns`, in `paint_ns`."""
        self.painting.painted(painted_ns, paint_ns)
        fresh = self._turn.predicted_n - self._painted_tokens
        if fresh > 0:
            self._on_screen.add_together(painted_ns, fresh)
            self._painted_tokens = self._turn.predicted_n

    def terminal(self, total_bytes: int, *, busy: bool, blocked_s: float | None = None, round_trip_s: float | None = None) -> None:
        """Set the bytes written to the terminal and the time that writes waited so far, its round trip, and whether it falls behind."""
        self._tty_bytes, self._link_busy = total_bytes, busy
        self._blocked_s, self._round_trip_s = blocked_s, round_trip_s

    def drawn(self, panel_ms: float) -> None:
        """Record the time to draw the panel."""
        self._panel_ms = panel_ms

    def capture(self, on: bool) -> None:
        """Record that a py-spy capture began or ended."""
        self._capturing = on
        self.noise.capture(on)
        if on:
            self.mark(MarkerKind.CAPTURE, "capture")

    def paced(self, batch: int, sentence: str = "") -> None:
        """Set the current `stream_batch`; `sentence` is the reason when `auto` chose it."""
        self._stream_batch, self._pacing = batch, sentence

    def mark(self, kind: MarkerKind, text: str, at_ns: int | None = None) -> None:
        """Add a marker to the time line."""
        at_ns = self._clock() if at_ns is None else at_ns
        self._markers.append(Marker((at_ns - self._started_ns) / NS_PER_S, wall_ms(), kind, text))

    # Figures

    def tick(self, host: HostSample | None = None) -> Snapshot:
        """Make a snapshot. `host` is a new sample of the machine, if any."""
        at_ns = self._clock()
        if host is not None:
            self.noise.sample(host)
        self._explain_stalls(host)
        turn = self._turn
        gaps = turn.final_gaps or turn.gaps.figures()
        speed = self._speed(at_ns)
        price = self._price(at_ns, host)
        per_minute = sum(end > at_ns - 60 * NS_PER_S for end in self._stall_ends)
        roof = None
        if self.traffic is not None and (rate := speed.mean if speed.now is None else speed.now):
            limits = self.limits if self._engine and self.limits and self.limits.threads == self._engine.threads else None
            roof = roofline(self.traffic, turn.context.used, rate, limits)
        snapshot = Snapshot(
            at_ns=at_ns,
            wall_ms=wall_ms(),
            uptime_s=(at_ns - self._started_ns) / NS_PER_S,
            phase=self._phase,
            loading=self._loading,
            engine=self._engine,
            preset=self._preset,
            stream_batch=self._stream_batch,
            stream_batch_auto=self._auto,
            pacing=self._pacing,
            speed=speed,
            prefill=turn.prefill,
            gaps=gaps,
            stalls_per_minute=per_minute,
            waterfall=self._waterfall,
            timings=self._timings,
            context=replace(turn.context, n_ctx=self._engine.n_ctx if self._engine else None),
            host=host,
            roofline=roof,
            price=price,
            since=Between(turn.gaps.longest_new(), self.lag.longest_new(), self._finished_per_second),
            noisy=self.noise.verdict(),
            disturbed=self.noise.share,
            totals=self._totals,
            judged=self.noise.judged,
            pool=self.pool,
            server=self._server,
        )
        alerts, raised = self.alerts.check(snapshot)
        for alert in raised:
            self.mark(MarkerKind.ALERT, alert.sentence)
        snapshot = replace(snapshot, alerts=alerts, raised=raised, markers=tuple(self._markers))
        self._tracks.push(snapshot, at_ns - self._started_ns)
        self._finished_per_second = None
        return replace(snapshot, traces=self._tracks.freeze())

    def _speed(self, at_ns: int) -> Speed:
        turn = self._turn
        flowing = self._phase in (Phase.DECODE, Phase.THINKING)
        mean = turn.mean
        if mean is None and turn.predicted_n > 1 and turn.last_ns > turn.first_ns:
            mean = (turn.predicted_n - 1) * NS_PER_S / (turn.last_ns - turn.first_ns)
        return Speed(
            now=turn.rate.at(at_ns) if flowing else None,
            mean=mean,
            on_screen=self._on_screen.at(at_ns) if flowing else None,
            predicted_n=turn.predicted_n,
            prompt_per_second=turn.prompt_per_second,
        )

    def _price(self, at_ns: int, host: HostSample | None) -> Price:
        paint_ms, paint_pct, per_s = self.painting.figures(at_ns)
        p50, p99, longest = self.lag.figures()
        ui = (
            sum(share.running_pct for share in host.threads if share.group is ThreadGroup.UI) if host is not None and host.threads else None
        )
        return Price(
            paint_ms=paint_ms,
            paint_pct=paint_pct,
            paints_per_s=per_s,
            lag_p50_ms=p50,
            lag_p99_ms=p99,
            lag_max_ms=longest,
            tty_bytes_per_s=None if self._tty_bytes is None else self._tty.at(at_ns, self._tty_bytes),
            link_busy=self._link_busy,
            tty_blocked_pct=self._blocked_pct(at_ns),
            round_trip_ms=None if self._round_trip_s is None else self._round_trip_s * 1e3,
            ui_pct=ui,
            panel_ms=self._panel_ms,
            sample_ms=host.cost_ms if host is not None else None,
        )

    def _blocked_pct(self, at_ns: int) -> float | None:
        per_s = None if self._blocked_s is None else self._blocked.at(at_ns, self._blocked_s)
        return None if per_s is None else per_s * 100

    def _explain_stalls(self, host: HostSample | None) -> None:
        stalls = self._turn.gaps.new_stalls()
        around = Surroundings(host, tuple(self.collections.spans.copy()), tuple(self.painting.spans), self._capturing)
        for end_ns, gap_ms in stalls:
            cause = likely_cause(end_ns, gap_ms, around)
            self._stall_ends.append(end_ns)
            self.mark(MarkerKind.STALL, f"{gap_ms:.0f} ms: {cause}", end_ns)
        if stalls:
            self._totals = replace(self._totals, stalls=self._totals.stalls + len(stalls))


class _LiveTurn:
    """The current turn, or the last one."""

    def __init__(self) -> None:
        self.prefill = Prefill()
        self.context = Context()
        self.gaps = GapMeter()
        self.rate = TokenRate()
        self.predicted_n = 0
        self.submitted_ns = 0
        self.first_ns = 0
        self.last_ns = 0
        self.mean: float | None = None
        self.prompt_per_second: float | None = None
        self.final_gaps: Gaps | None = None
