"""Gaps, stalls and rates from token timestamps, against literal expectations."""

from __future__ import annotations

import pytest

from engine.clock import NS_PER_MS, NS_PER_S
from engine.host.value import Unavailable
from engine.metrics.latency import (
    HISTOGRAM_BINS,
    RECENT_GAPS,
    GapMeter,
    Surroundings,
    TokenRate,
    histogram_bin,
    histogram_edge_ms,
    likely_cause,
)
from tests.engine.metrics.scripted import host_sample


def steady(count: int, gap_ms: float, start_ns: int = 0) -> list[int]:
    return [start_ns + round(number * gap_ms * NS_PER_MS) for number in range(count)]


def test_percentiles_are_nearest_rank() -> None:
    meter = GapMeter()
    at = 0
    for gap in range(1, 101):
        meter.add([at])
        at += gap * NS_PER_MS
    meter.add([at])
    gaps = meter.figures()
    assert (gaps.count, gaps.p50_ms, gaps.p95_ms, gaps.p99_ms, gaps.max_ms) == (100, 50, 95, 99, 100)


def test_one_token_has_no_gap() -> None:
    meter = GapMeter()
    meter.add([5])
    assert meter.figures().p50_ms is None
    assert meter.figures().max_ms is None


@pytest.mark.parametrize("gap_ms", [0.0, 0.01, 0.25, 1.0, 16.0, 17.0, 999.0, 8000.0, 1e9])
def test_every_gap_has_a_bin_that_contains_it(gap_ms: float) -> None:
    place = histogram_bin(gap_ms)
    assert 0 <= place < HISTOGRAM_BINS
    assert place == 0 or histogram_edge_ms(place) <= gap_ms * (1 + 1e-9)
    assert place == HISTOGRAM_BINS - 1 or gap_ms < histogram_edge_ms(place + 1)


def test_a_gap_over_four_medians_is_a_stall() -> None:
    meter = GapMeter()
    times = steady(30, 16)
    meter.add(times)
    meter.figures()
    meter.add([times[-1] + 63 * NS_PER_MS])
    assert meter.new_stalls() == []
    meter.add([times[-1] + (63 + 65) * NS_PER_MS])
    assert meter.new_stalls() == [(times[-1] + 128 * NS_PER_MS, 65.0)]
    assert meter.new_stalls() == []


def test_short_gaps_of_a_quick_model_are_no_stalls() -> None:
    meter = GapMeter()
    times = steady(30, 2)
    meter.add([*times, times[-1] + 15 * NS_PER_MS])
    assert meter.new_stalls() == []


def test_the_first_tokens_of_a_turn_are_no_measure_for_a_stall() -> None:
    meter = GapMeter()
    meter.add([0, NS_PER_MS, 500 * NS_PER_MS])
    assert meter.new_stalls() == []


def test_a_stall_among_the_first_tokens_is_told_as_soon_as_there_is_a_median() -> None:
    meter = GapMeter()
    first, second, *rest = steady(12, 1)
    meter.add([first, second, *(at_ns + 600 * NS_PER_MS for at_ns in rest)])
    assert meter.new_stalls() == [(rest[0] + 600 * NS_PER_MS, 601.0)]
    assert meter.new_stalls() == []


def test_memory_of_an_endless_answer_is_bounded() -> None:
    meter = GapMeter()
    meter.add(steady(20 * RECENT_GAPS, 10))
    assert len(meter._recent) == RECENT_GAPS
    assert meter.figures().count == 20 * RECENT_GAPS - 1


def test_a_steady_stream_has_its_rate_however_it_is_chunked() -> None:
    for chunk in (1, 7, 16):
        rate = TokenRate()
        times = steady(300, 1000 / 60)
        for begin in range(0, 300, chunk):
            rate.add(times[begin : begin + chunk])
        assert rate.at(times[-1]) == pytest.approx(60, rel=0.02)


def test_a_slow_model_has_a_rate_between_its_tokens() -> None:
    rate = TokenRate()
    rate.add([0, 2 * NS_PER_S, 4 * NS_PER_S])
    assert rate.at(5 * NS_PER_S) == pytest.approx(0.5)


def test_the_rate_sinks_while_no_token_comes() -> None:
    rate = TokenRate()
    times = steady(60, 16)
    rate.add(times)
    assert rate.at(times[-1] + 4 * NS_PER_S) == pytest.approx(0.25)


def test_tokens_painted_together_count_as_many() -> None:
    rate = TokenRate()
    for paint in range(10):
        rate.add_together(paint * 250 * NS_PER_MS, 15)
    assert rate.at(9 * 250 * NS_PER_MS) == pytest.approx(60)


def test_before_the_second_token_there_is_no_rate() -> None:
    rate = TokenRate()
    assert rate.at(0) is None
    rate.add([0])
    assert rate.at(10) is None


STALL = (1_000 * NS_PER_MS, 100.0)


def cause(**around: object) -> str:
    return likely_cause(*STALL, Surroundings(**around))  # type: ignore[arg-type]


def test_a_pause_explains_a_stall_only_when_it_lies_in_it() -> None:
    inside, before = (940 * NS_PER_MS, 990 * NS_PER_MS), (700 * NS_PER_MS, 800 * NS_PER_MS)
    assert cause(collections=[inside]) == "garbage collection"
    assert cause(collections=[before]) == "no cause seen"
    assert cause(paints=[inside]) == "a flush of the screen"
    assert cause(collections=[inside], capturing=True) == "a capture paused the threads"


def test_a_short_pause_does_not_explain_a_long_stall() -> None:
    assert cause(collections=[(990 * NS_PER_MS, 995 * NS_PER_MS)]) == "no cause seen"


def test_the_machine_explains_what_the_program_does_not() -> None:
    assert cause(host=host_sample(0, others=40)) == "another busy program"
    assert cause(host=host_sample(0)) == "no cause seen"


def test_sensors_that_are_missing_explain_nothing() -> None:
    from dataclasses import replace

    host = host_sample(0)
    absent = Unavailable("gone")
    blind = replace(
        host,
        major_faults=absent,
        swapped_in=absent,
        cpu=replace(host.cpu, steal_pct=absent, others_pct=absent, throttled_pct=absent),
    )
    assert cause(host=blind) == "no cause seen"
