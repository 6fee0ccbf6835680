"""What is said about a turn: noisy or not, memory-bound or not, an alert or not, and which stream_batch is best."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from engine.clock import NS_PER_S
from engine.errors import UsageError
from engine.host.bandwidth import HostLimits
from engine.host.sampler import HostSample
from engine.host.threads import ThreadGroup, ThreadShare
from engine.host.value import Unavailable
from engine.metrics.alerts import FORGET_S, THRESHOLDS, Alerts, Usual
from engine.metrics.noise import NoiseWatch
from engine.metrics.pacing import BIGGEST, Costs, smallest_batch
from engine.metrics.roofline import ModelTraffic, roofline, verdict
from engine.metrics.snapshot import Snapshot
from tests.engine.metrics.scripted import host_sample

QUIET = replace(host_sample(0), threads=())
"""The kernel of this machine does not say how long threads waited."""


def noisy(*samples: HostSample) -> str | None:
    watch = NoiseWatch()
    watch.begin()
    for sample in samples:
        watch.sample(sample)
    return watch.verdict()


def with_cpu(**figures: Any) -> HostSample:
    return replace(QUIET, cpu=replace(QUIET.cpu, **figures))


def test_a_quiet_machine_is_not_noisy() -> None:
    assert noisy(QUIET, QUIET) is None


@pytest.mark.parametrize(
    ("samples", "cause"),
    [
        ((with_cpu(others_pct=40.0),), "Other processes used 40 % of the cores"),
        ((with_cpu(steal_pct=9.0),), "The hypervisor took 9 % of the time"),
        ((with_cpu(throttled_pct=30.0),), "The control group throttled xchat 30 % of the time"),
        ((replace(QUIET, swapped_in=500.0),), "The machine swapped"),
        ((replace(QUIET, major_faults=100.0),), "200 page faults a second waited for the disk"),
        ((with_cpu(freq_mhz=3000.0), with_cpu(freq_mhz=2000.0)), "The clock fell from 3,000 to 2,000 MHz"),
        ((with_cpu(temperature_c=98.0),), "The processor was 98 °C hot"),
        ((with_cpu(others_pct=40.0, steal_pct=9.0),), "Other processes used 40 % of the cores; the hypervisor took 9 % of the time"),
    ],
)
def test_each_kind_of_noise_is_named(samples: tuple[HostSample, ...], cause: str) -> None:
    assert noisy(*samples) == cause


def waiting(*percent: float) -> HostSample:
    return replace(
        QUIET, threads=tuple(ThreadShare(number, "compute", ThreadGroup.COMPUTE, 50.0, pct) for number, pct in enumerate(percent))
    )


def test_what_others_took_is_how_long_compute_threads_waited_not_how_busy_others_are() -> None:
    beside = replace(waiting(1.0), cpu=replace(QUIET.cpu, others_pct=50.0))
    assert noisy(beside) is None
    assert noisy(waiting(20.0, 10.0)) == "Other programs took 30 % of its time"


def test_the_exact_share_of_the_engine_stands_over_that_of_the_samples_until_the_next_turn() -> None:
    watch = NoiseWatch()
    watch.begin()
    watch.sample(replace(waiting(90.0), cpu=replace(QUIET.cpu, steal_pct=10.0)))
    watch.waited(0.25)
    assert watch.share == pytest.approx(0.35)
    watch.begin()
    assert watch.share is None


def test_a_turn_over_before_the_first_sample_is_judged_by_what_its_threads_waited() -> None:
    watch = NoiseWatch()
    watch.begin()
    watch.waited(0.01)
    assert (watch.judged, watch.verdict()) == (True, None)


def test_a_short_burst_of_a_neighbour_in_a_long_turn_is_no_noise() -> None:
    assert noisy(with_cpu(others_pct=90.0), *[QUIET] * 30) is None


def test_sensors_that_are_missing_make_no_noise() -> None:
    absent = Unavailable("gone")
    assert noisy(with_cpu(others_pct=absent, steal_pct=absent, throttled_pct=absent, freq_mhz=absent, temperature_c=absent)) is None


def test_the_first_sample_of_a_program_says_nothing() -> None:
    assert noisy(replace(with_cpu(others_pct=90.0), interval_s=None)) is None


def test_what_happens_between_two_turns_makes_neither_noisy() -> None:
    watch = NoiseWatch()
    watch.sample(with_cpu(others_pct=90.0))
    watch.begin()
    watch.sample(QUIET)
    watch.end()
    watch.sample(with_cpu(others_pct=90.0))
    watch.capture(True)
    assert watch.verdict() is None


def test_a_sample_mostly_about_the_time_before_the_turn_says_nothing_about_it() -> None:
    watch = NoiseWatch()
    watch.begin(10 * NS_PER_S)
    watch.sample(replace(with_cpu(others_pct=90.0), at_ns=10 * NS_PER_S + 1, interval_s=5.0))
    assert (watch.judged, watch.verdict()) == (False, None)
    watch.sample(replace(with_cpu(others_pct=40.0), at_ns=10 * NS_PER_S + NS_PER_S // 4, interval_s=0.25))
    assert watch.judged
    assert watch.verdict() == "Other processes used 40 % of the cores"


def test_a_turn_that_overlaps_a_capture_is_noisy_and_the_next_is_not() -> None:
    watch = NoiseWatch()
    watch.capture(True)
    watch.begin()
    watch.capture(False)
    assert watch.verdict() == "A capture ran"
    watch.begin()
    assert watch.verdict() is None


TRAFFIC = ModelTraffic(weights_bytes=400_000_000, kv_bytes_per_position=100_000, active_params=600_000_000, window_bytes=1_000_000)


def test_bytes_per_token_grow_with_depth_in_blocks() -> None:
    assert TRAFFIC.bytes_per_token(0) == 401_000_000 + 256 * 100_000
    assert TRAFFIC.bytes_per_token(255) == TRAFFIC.bytes_per_token(0)
    assert TRAFFIC.bytes_per_token(256) == 401_000_000 + 512 * 100_000


def test_a_speed_is_placed_under_the_roof() -> None:
    roof = roofline(TRAFFIC, 0, 40.0, HostLimits(2, 20.0, 100.0))
    assert roof.bandwidth_gb_s == pytest.approx(426.6e6 * 40 / 1e9)
    assert roof.bandwidth_share == pytest.approx(roof.bandwidth_gb_s / 20)
    assert roof.compute_share == pytest.approx(0.48)
    assert roof.ceiling_tokens_per_second == pytest.approx(20e9 / 426.6e6)


@pytest.mark.parametrize(
    ("read", "compute", "begin"),
    [
        (0.8, 0.2, "memory-bound"),
        (0.6, 0.9, "compute-bound"),
        (0.8, None, "memory-bound"),
        (0.2, 0.1, "neither"),
        (0.1, 0.3, "neither"),
        (0.1, None, "neither"),
    ],
)
def test_what_holds_the_speed_down_is_said_in_words(read: float, compute: float | None, begin: str) -> None:
    assert verdict(read, compute).startswith(begin)


def full(share: float) -> HostSample:
    return replace(QUIET, memory=replace(QUIET.memory, total=10e9, available=10e9 * (1 - share)))


def test_an_alert_rings_once_and_is_armed_again_when_the_figure_came_back() -> None:
    alerts = Alerts()
    rung = [len(alerts.check(Snapshot(host=full(share)))[1]) for share in (0.5, 0.85, 0.9, 0.79, 0.85, 0.7, 0.85)]
    assert rung == [0, 1, 0, 0, 0, 0, 1]


def test_thresholds_come_from_the_config_and_can_be_switched_off() -> None:
    assert Alerts({"memory_pct": 95}).check(Snapshot(host=full(0.9)))[0] == ()
    assert Alerts({"memory_pct": 0}).check(Snapshot(host=full(0.99)))[0] == ()


def test_an_alert_nobody_knows_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UsageError, match="stalls_per_minute"):
        Alerts({"tea": 1})


def test_failed_and_long_turns_ring_after_enough_turns_the_long_ones_only_where_the_config_limits_them() -> None:
    alerts, unlimited = Alerts({"mean_answer_s": 5}), Alerts()
    for turn in range(10):
        for each in (alerts, unlimited):
            each.turn(failed=turn % 2 == 0, seconds=9.0)
        assert {alert.id for alert in alerts.check(Snapshot())[0]} == ({"failed_turns_pct", "mean_answer_s"} if turn >= 4 else set())
        assert {alert.id for alert in unlimited.check(Snapshot())[0]} == ({"failed_turns_pct"} if turn >= 4 else set())


def ids_after(alerts: Alerts, speeds: Iterable[float], stalls: int = 0) -> set[str]:
    for speed in speeds:
        alerts.turn(failed=False, seconds=1.0, predicted_n=40, per_second=speed)
    return {alert.id for alert in alerts.check(Snapshot(stalls_per_minute=stalls))[0]}


def test_a_speed_is_compared_with_what_is_usual_for_the_model_here_and_clears_by_itself() -> None:
    alerts = Alerts()
    assert ids_after(alerts, [1.0] * 9) == set(), "nothing is known to compare it with"
    alerts.model_changed()
    alerts.compare_with(Usual(50.0, 0.0, 40))
    assert ids_after(alerts, [30.0] * 5) == set()
    assert ids_after(alerts, [10.0] * 5) == {"slower_times"}
    assert ids_after(alerts, [45.0] * 5) == set(), "it is as fast as usual again"


def test_an_alert_about_turns_of_long_ago_or_of_another_model_clears() -> None:
    now_s = 0.0
    alerts = Alerts(clock_s=lambda: now_s)
    alerts.compare_with(Usual(50.0, 0.0, 40))
    assert ids_after(alerts, [10.0] * 5) == {"slower_times"}
    now_s = FORGET_S + 1
    assert ids_after(alerts, []) == set()
    assert ids_after(alerts, [10.0] * 5) == {"slower_times"}
    alerts.model_changed()
    assert ids_after(alerts, []) == set()


@pytest.mark.parametrize(("limits", "ring_at"), [({}, 41), ({"stalls_per_minute": 6.0}, 7)])
def test_stalls_ring_beyond_what_is_usual_on_a_busy_machine_unless_the_config_limits_them(limits: dict[str, float], ring_at: int) -> None:
    alerts = Alerts(limits)
    alerts.compare_with(Usual(50.0, 20.0, 40))
    assert ids_after(alerts, [], ring_at - 1) == set()
    assert ids_after(alerts, [], ring_at) == {"stalls_per_minute"}


def test_memory_of_a_container_is_compared_with_its_limit() -> None:
    memory = replace(QUIET.memory, anon=0.9e9, limit=1e9, total=64e9, available=60e9)
    assert [alert.id for alert in Alerts().check(Snapshot(host=replace(QUIET, memory=memory)))[0]] == ["memory_pct"]


def test_every_alert_says_value_limit_and_what_to_do() -> None:
    for threshold in THRESHOLDS:
        assert threshold.advice.endswith(".")
        assert "{value" in threshold.sentence
        assert "{limit" in threshold.sentence


def test_cheap_painting_shows_every_token() -> None:
    assert smallest_batch(Costs(60, 0.1, 200)).batch == 1


def test_dear_painting_takes_the_smallest_batch_under_the_bound() -> None:
    choice = smallest_batch(Costs(60, 3.0, 200))
    assert choice.batch == 18
    assert choice.sentence == "18: keeps painting under 1 % of a core"
    assert 60 / choice.batch * 3.0 / 1e3 <= 0.01


def test_a_slow_line_takes_a_batch_that_its_bytes_allow() -> None:
    costs = Costs(60, 0.2, 900, link_bytes_per_s=8_000)
    choice = smallest_batch(costs)
    assert 60 / choice.batch * 900 <= 8_000
    assert "the limit of the connection" in choice.sentence


def test_text_does_not_wait_longer_than_half_a_second_for_painting() -> None:
    assert smallest_batch(Costs(10, 200.0, 200)).batch == 5


def test_the_choice_does_not_swing_around_a_bound() -> None:
    current, chosen = 18, []
    for paint_ms in (3.0, 2.9, 3.0, 2.6, 3.0, 2.4):
        current = smallest_batch(Costs(60, paint_ms, 200), current=current).batch
        chosen.append(current)
    assert chosen == [18] * 6
    assert smallest_batch(Costs(60, 0.5, 200), current=18).batch == 5


@pytest.mark.parametrize("costs", [Costs(0, 3, 200), Costs(-1, 3, 200), Costs(1e6, 1e6, 1e9, 1.0), Costs(60, 0.0, 0.0, 0.0)])
def test_any_measurement_gives_a_batch_that_exists(costs: Costs) -> None:
    assert 1 <= smallest_batch(costs, current=4).batch <= BIGGEST
