"""Histories hold a window of a figure, at any age, in bounded memory."""

from __future__ import annotations

import sys

import pytest

from engine.clock import NS_PER_S
from engine.metrics.history import SESSION_BUCKETS, Track, Window


def fed(seconds: range, *, fold: str = "mean", step: float = 1.0) -> Track:
    track = Track(fold=fold)  # type: ignore[arg-type]
    for second in seconds:
        track.push(second * NS_PER_S, second * step)
    return track


def test_the_last_minute_is_kept_at_half_a_second() -> None:
    trace = fed(range(0, 300)).trace(Window.MINUTE)
    assert trace.bucket_s == 0.5
    assert trace.span_s == 60
    assert trace.latest == 299
    assert len(trace.values) == 120
    assert trace.values[-3:] == (298, None, 299)


def test_several_values_in_a_bucket_become_their_mean_or_their_greatest() -> None:
    for fold, expected in (("mean", 2.0), ("max", 3.0)):
        track = Track(fold=fold)  # type: ignore[arg-type]
        for value in (1.0, 2.0, 3.0):
            track.push(100, value)
        assert track.trace(Window.MINUTE).latest == expected


def test_a_gap_in_the_data_is_a_gap_in_the_history() -> None:
    track = Track()
    track.push(0, 1.0)
    track.push(2 * NS_PER_S, None)
    track.push(3 * NS_PER_S, 4.0)
    assert track.trace(Window.MINUTE).values == (1.0, None, None, None, None, None, 4.0)


def test_a_value_that_stands_for_the_time_before_it_leaves_no_hole() -> None:
    track = Track()
    track.push(0, 1.0)
    track.push(3 * NS_PER_S, 4.0, covers_s=3.0)
    track.push(6 * NS_PER_S, 5.0, covers_s=1.0)
    assert track.trace(Window.MINUTE).values == (1.0, *(4.0,) * 6, *(None,) * 3, *(5.0,) * 3)


def test_the_session_is_held_whole_and_its_buckets_widen() -> None:
    trace = fed(range(0, 3600)).trace(Window.SESSION)
    assert trace.first == 0
    assert len(trace.values) <= SESSION_BUCKETS
    assert trace.bucket_s * trace.last <= 3600
    assert trace.values[0] == pytest.approx(trace.bucket_s / 2, abs=2)
    assert trace.latest == pytest.approx(3600, abs=2 * trace.bucket_s)


def test_the_greatest_value_of_a_session_survives_all_widening() -> None:
    track = Track(fold="max")
    for second in range(20_000):
        track.push(second * NS_PER_S, 99.0 if second == 1234 else 1.0)
    assert max(value for value in track.trace(Window.SESSION).values if value is not None) == 99.0


@pytest.mark.slow
def test_a_day_of_samples_stays_within_bounds() -> None:
    track = Track()
    for tick in range(24 * 3600 * 2):
        track.push(tick * NS_PER_S // 2, float(tick % 100))
    for window in Window:
        trace = track.trace(window)
        assert len(trace.values) <= SESSION_BUCKETS
        assert sys.getsizeof(trace.values) < 4096
    assert track.trace(Window.SESSION).bucket_s * SESSION_BUCKETS >= 24 * 3600


def test_a_program_that_slept_for_a_day_leaves_a_gap_and_no_more() -> None:
    track = fed(range(0, 100))
    track.push((100 + 24 * 3600) * NS_PER_S, 7.0)
    for window in Window:
        assert track.trace(window).latest == 7.0
        assert len(track.trace(window).values) <= SESSION_BUCKETS


def test_a_clock_that_goes_back_changes_nothing_but_the_newest_bucket() -> None:
    track = fed(range(0, 10))
    before = track.trace(Window.MINUTE)
    track.push(3 * NS_PER_S, 100.0)
    after = track.trace(Window.MINUTE)
    assert after.first == before.first
    assert after.values[:-1] == before.values[:-1]


def test_a_history_that_begins_late_in_the_program_is_drawn_at_its_time() -> None:
    track = Track()
    track.push(5000 * NS_PER_S, 1.0)
    trace = track.trace(Window.SESSION)
    assert trace.first * trace.bucket_s <= 5000 < (trace.last + 1) * trace.bucket_s


def test_freezing_costs_nothing_while_nothing_came() -> None:
    track = fed(range(0, 10))
    assert track.trace(Window.MINUTE) is track.trace(Window.MINUTE)
