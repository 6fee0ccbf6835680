"""The meter turns the session's events into figures; the clock is scripted, so every figure is literal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.backend import StopReason, ThreadsNow
from engine.clock import NS_PER_MS, NS_PER_S
from engine.errors import EngineError, UsageError
from engine.events import (
    AnswerGrew,
    EngineDied,
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
from engine.messages import Role
from engine.metrics.history import SESSION_BUCKETS, Window
from engine.metrics.meter import MARKERS_KEPT, Meter
from engine.metrics.roofline import ModelTraffic
from engine.metrics.snapshot import MarkerKind, Phase
from engine.presets.preset import Preset
from engine.records import Message
from engine.timings import compute_timings
from tests.engine.metrics.scripted import ENGINE, MODEL, WAITS, ScriptedSession, host_sample
from tests.factories import turn_record


class Clock:
    def __init__(self) -> None:
        self.ns = 77 * NS_PER_S

    def __call__(self) -> int:
        return self.ns

    def forward(self, ms: float) -> int:
        self.ns += round(ms * NS_PER_MS)
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    meter = Meter(clock=clock)
    meter.handle(ModelReady(ENGINE))
    return meter


USER = Message(1, None, Role.USER, "hi")
ANSWER = Message(2, 1, Role.ASSISTANT, "hello")


def start(meter: Meter, clock: Clock) -> None:
    meter.handle(TurnStarted(USER, ANSWER.id, clock.ns, 0))


def evaluated(processed: int, total: int = 1000, *, cache_n: int = 200) -> PromptEvaluated:
    return PromptEvaluated(ANSWER.id, cache_n, processed, total, processed * 2.0, (total - processed) * 2.0, 1, 228, "")


def grow(meter: Meter, clock: Clock, count: int, gap_ms: float, *, used: int = 1300, thinking: bool = False) -> list[int]:
    times = [clock.forward(gap_ms) for _ in range(count)]
    meter.handle(AnswerGrew(ANSWER.id, "x", "", thinking, tuple(times), used))
    return times


def finish(meter: Meter, times: list[int], *, submitted_ns: int, prefilled_ns: int, reason: StopReason = StopReason.EOG) -> None:
    timings = compute_timings(
        cache_n=200,
        prompt_n=1000,
        submitted_ns=submitted_ns,
        prefill_start_ns=submitted_ns + 5 * NS_PER_MS,
        prefill_end_ns=prefilled_ns,
        token_ns=times,
    )
    meter.handle(TurnFinished(ANSWER, turn_record(id=ANSWER.id, timings=timings, token_ns=tuple(times), stop_reason=reason, **WAITS)))


def test_a_turn_goes_through_its_phases(meter: Meter, clock: Clock) -> None:
    phases = [meter.tick().phase]
    start(meter, clock)
    phases.append(meter.tick().phase)
    meter.handle(evaluated(0))
    phases.append(meter.tick().phase)
    grow(meter, clock, 2, 10, thinking=True)
    phases.append(meter.tick().phase)
    times = grow(meter, clock, 2, 10)
    phases.append(meter.tick().phase)
    finish(meter, times, submitted_ns=clock.ns - NS_PER_S, prefilled_ns=times[0] - NS_PER_MS)
    phases.append(meter.tick().phase)
    assert phases == [Phase.IDLE, Phase.WAITING, Phase.PREFILL, Phase.THINKING, Phase.DECODE, Phase.IDLE]


def test_prefill_has_speed_share_and_rest(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    meter.handle(evaluated(250))
    now = meter.tick()
    assert now.speed.prompt_per_second == pytest.approx(500)
    assert now.prefill.share == 0.25
    assert now.prefill.eta_ms == 1500
    assert now.context.used == 450
    assert now.context.share == pytest.approx(450 / 8192)
    assert (now.context.cache_n, now.context.prompt_n, now.context.diverged_at, now.context.left_out) == (200, 1000, 228, 1)


def test_before_anything_is_read_there_is_no_rest_to_tell(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    meter.handle(replace(evaluated(0), eta_ms=0.0))
    assert meter.tick().prefill.eta_ms is None


def test_the_window_stays_as_full_while_the_next_turn_waits(meter: Meter, clock: Clock) -> None:
    submitted = clock.ns
    start(meter, clock)
    times = grow(meter, clock, 20, 5)
    finish(meter, times, submitted_ns=submitted, prefilled_ns=times[0] - NS_PER_MS)
    used = meter.tick().context.used
    start(meter, clock)
    assert meter.tick().context.used == used == 1220


def test_the_time_to_first_token_is_known_as_soon_as_the_first_token_is_there(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    clock.forward(290)
    assert meter.tick().waterfall is None
    grow(meter, clock, 3, 10)
    steps = meter.tick().waterfall
    assert steps is not None
    assert steps.ttft_ms == pytest.approx(300)


def test_speed_while_tokens_flow(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    grow(meter, clock, 100, 20)
    grow(meter, clock, 110, 10)
    now = meter.tick()
    assert now.speed.now == pytest.approx(100)
    assert now.speed.mean == pytest.approx(209 / (99 * 0.02 + 110 * 0.01))
    assert now.speed.predicted_n == 210


def test_speed_agrees_with_a_count_of_tokens_over_the_wall_clock(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    began = clock.ns
    for _ in range(50):
        grow(meter, clock, 4, 16.4)
    assert meter.tick().speed.mean == pytest.approx(200 / ((clock.ns - began) / NS_PER_S), rel=0.02)


def test_tokens_on_screen_follow_what_was_painted(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    for _ in range(20):
        grow(meter, clock, 10, 10)
        meter.painted(clock.ns, 2 * NS_PER_MS)
    now = meter.tick()
    assert now.speed.on_screen == pytest.approx(100)
    assert now.price.paint_ms == pytest.approx(2)
    assert now.price.paint_pct == pytest.approx(2, rel=0.1)


def test_a_finished_turn_has_the_records_figures(meter: Meter, clock: Clock) -> None:
    submitted = clock.ns
    start(meter, clock)
    meter.handle(evaluated(1000))
    prefilled = clock.forward(2000)
    times = grow(meter, clock, 50, 20)
    finish(meter, times, submitted_ns=submitted, prefilled_ns=prefilled)
    now = meter.tick()
    assert now.speed.mean == pytest.approx(50)
    assert now.speed.now is None
    assert now.gaps.p50_ms == pytest.approx(20)
    assert now.context.used == 1250
    assert now.totals.turns == 1
    assert now.totals.predicted_n == 50
    assert now.totals.most_context == 1250


def test_the_waterfall_adds_up_to_the_time_to_first_token(meter: Meter, clock: Clock) -> None:
    submitted = clock.ns
    start(meter, clock)
    prefilled = clock.forward(2000)
    times = grow(meter, clock, 50, 20)
    finish(meter, times, submitted_ns=submitted, prefilled_ns=prefilled)
    fall = meter.tick().waterfall
    assert fall is not None
    assert sum(length for _, length in fall.steps if length is not None) == pytest.approx(fall.ttft_ms)
    assert fall.first_sample_ms == pytest.approx(20)
    assert fall.prefill_ms == pytest.approx(1995)
    assert fall.reuse_ms == pytest.approx(5 - 0.4 - 1.1 - 2.3)


def test_a_stall_is_counted_marked_and_explained(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    grow(meter, clock, 40, 16)
    meter.tick(host_sample(clock.ns))
    grow(meter, clock, 1, 200)
    now = meter.tick(host_sample(clock.ns, others=50))
    assert now.stalls_per_minute == 1
    assert now.totals.stalls == 1
    assert [marker.text for marker in now.markers if marker.kind is MarkerKind.STALL] == ["200 ms: another busy program"]
    clock.forward(61_000)
    assert meter.tick().stalls_per_minute == 0


def test_presets_turns_captures_and_alerts_are_marked(meter: Meter, clock: Clock) -> None:
    meter.handle(PresetChanged(Preset(name="fast")))
    start(meter, clock)
    meter.capture(True)
    meter.tick(replace(host_sample(clock.ns), memory=replace(host_sample(clock.ns).memory, available=1e9)))
    kinds = [marker.kind for marker in meter.tick().markers]
    assert kinds == [MarkerKind.PRESET, MarkerKind.TURN, MarkerKind.CAPTURE, MarkerKind.ALERT]


def test_an_alert_is_raised_in_one_snapshot_and_stays_listed(meter: Meter, clock: Clock) -> None:
    full = replace(host_sample(clock.ns), memory=replace(host_sample(clock.ns).memory, available=1e9))
    first, second = meter.tick(full), meter.tick(full)
    assert [alert.id for alert in first.raised] == ["memory_pct"]
    assert second.raised == ()
    assert [alert.id for alert in second.alerts] == ["memory_pct"]


def test_a_threshold_with_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="memory_procent"):
        Meter(alert_limits={"memory_procent": 3})


def test_bandwidth_is_bytes_per_token_times_speed(meter: Meter, clock: Clock) -> None:
    meter.traffic = ModelTraffic(weights_bytes=400_000_000, kv_bytes_per_position=100_000, active_params=600_000_000)
    start(meter, clock)
    grow(meter, clock, 100, 20, used=1024)
    roof = meter.tick().roofline
    assert roof is not None
    assert roof.bytes_per_token == 400_000_000 + 1280 * 100_000
    assert roof.bandwidth_gb_s == pytest.approx(528e6 * 50 / 1e9)
    assert roof.bandwidth_share is None


def test_limits_of_another_thread_count_are_not_compared_with(meter: Meter, clock: Clock) -> None:
    meter.traffic = ModelTraffic(400_000_000, 100_000, 600_000_000)
    start(meter, clock)
    grow(meter, clock, 100, 20)
    for threads, expected in ((4, None), (2, pytest.approx(1.34, abs=0.05))):
        meter.limits = HostLimits(threads, 20.0)
        roof = meter.tick().roofline
        assert roof is not None
        assert roof.bandwidth_share == expected


def test_the_threads_are_those_in_force_now_with_their_reasons(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    meter.threads(ThreadsNow(1, 2, "1 thread: others keep 1.0 CPUs busy", "2 threads to begin with"))
    engine = meter.tick().engine
    assert engine is not None
    assert (engine.threads, engine.threads_batch) == (1, 2)
    assert (engine.threads_reason, engine.threads_batch_reason) == ("1 thread: others keep 1.0 CPUs busy", "2 threads to begin with")


def test_the_engine_that_dies_or_never_loads_is_said(meter: Meter) -> None:
    meter.handle(ModelLoading(MODEL, 0.3))
    loading = meter.tick()
    assert (loading.phase, loading.loading) == (Phase.LOADING, 0.3)
    meter.handle(ModelFailed(MODEL, EngineError("no"), None))
    assert meter.tick().phase is Phase.EMPTY
    meter.handle(EngineDied(EngineError("gone")))
    assert meter.tick().phase is Phase.DEAD


def test_a_failed_turn_counts_as_failed(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    finish(meter, [], submitted_ns=clock.ns, prefilled_ns=clock.ns + 7 * NS_PER_MS, reason=StopReason.ERROR)
    now = meter.tick()
    assert (now.totals.turns, now.totals.failed) == (1, 1)
    assert now.speed.mean is None


def test_another_session_starts_with_empty_figures(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    times = grow(meter, clock, 50, 20)
    finish(meter, times, submitted_ns=clock.ns - NS_PER_S, prefilled_ns=times[0] - NS_PER_MS)
    meter.handle(SessionOpened(None, ()))
    now = meter.tick()
    assert (now.speed.mean, now.context.used, now.waterfall) == (None, 0, None)


def test_figures_have_a_history(meter: Meter, clock: Clock) -> None:
    start(meter, clock)
    for _ in range(10):
        grow(meter, clock, 25, 20)
        now = meter.tick(host_sample(clock.ns))
    trace = now.traces[Window.MINUTE]["tokens_per_second"]
    assert trace.latest == pytest.approx(50, rel=0.05)
    assert now.traces[Window.SESSION]["rss_bytes"].latest == 0.7e9


def test_at_rest_the_machines_figures_have_no_holes_and_a_standstill_is_one(meter: Meter, clock: Clock) -> None:
    meter.tick(host_sample(clock.ns))
    clock.forward(5_000)
    now = meter.tick(host_sample(clock.ns, 5.0, busy=40.0)).traces[Window.MINUTE]
    assert now["cpu_machine_pct"].values[1:] == (40.0,) * 10
    assert set(now["tokens_per_second"].values) == {None}
    clock.forward(30_000)
    assert meter.tick(host_sample(clock.ns, 30.0)).traces[Window.MINUTE]["rss_bytes"].values[11:-1] == (None,) * 59


def test_a_turn_between_two_looks_leaves_its_speed_in_the_history(meter: Meter, clock: Clock) -> None:
    meter.tick()
    submitted = clock.ns
    start(meter, clock)
    prefilled = clock.forward(10)
    times = grow(meter, clock, 20, 5)
    finish(meter, times, submitted_ns=submitted, prefilled_ns=prefilled)
    meter.traffic = ModelTraffic(380_000_000, 114_688, 600_000_000)
    now = meter.tick()
    assert now.traces[Window.MINUTE]["tokens_per_second"].latest == pytest.approx(200)
    assert now.roofline is not None
    assert now.traces[Window.MINUTE]["bandwidth_gb_s"].latest == now.roofline.bandwidth_gb_s
    clock.forward(1000)
    assert meter.tick().traces[Window.MINUTE]["tokens_per_second"].latest is None


@pytest.mark.slow
def test_a_day_of_turns_and_samples_leaves_the_rings_bounded() -> None:
    session = ScriptedSession(rate=10)
    for _ in range(24 * 60):
        session.now_ns += 60 * NS_PER_S
        now = session.step()
    assert len(now.markers) <= MARKERS_KEPT
    assert all(len(trace.values) <= SESSION_BUCKETS for traces in now.traces.values() for trace in traces.values())
    assert now.totals.turns > 10


def test_a_snapshot_never_changes_after_it_was_made(meter: Meter, clock: Clock) -> None:
    before = meter.tick(host_sample(clock.ns))
    frozen = repr(before)
    start(meter, clock)
    grow(meter, clock, 50, 20)
    meter.tick(host_sample(clock.ns))
    assert repr(before) == frozen
