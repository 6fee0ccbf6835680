"""Turns as rows of figures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.metrics.side_by_side import Side, side_by_side
from tests.factories import turn_record
from tui.text.table import heading, table_row
from tui.text.turn_table import columns_for, difference_row, side_heading, side_layout


@pytest.mark.parametrize("width", [20, 54, 74, 100, 150, 190])
def test_the_table_takes_no_more_room_than_there_is(width: int) -> None:
    columns = columns_for(width)
    record = replace(turn_record(), noisy="a busy\nneighbour " * 5, preset="x" * 90, rss_peak_bytes=10**15)
    assert len(heading(columns)) <= width
    assert len(table_row(columns, 1_000_000, record)) <= width


def test_the_figures_that_matter_most_stay() -> None:
    assert [column.title for column in columns_for(54)] == ["turn", "prompt", "reused", "generated", "TTFT ms", "tokens/s"]
    assert table_row(columns_for(54), 1, turn_record()).split() == ["1", "20", "5", "10", "300", "50.0"]


def test_what_was_not_measured_is_no_zero_and_a_noisy_turn_says_why() -> None:
    row = table_row(columns_for(200), 3, replace(turn_record(), noisy="swapping"))
    assert "–" in row
    assert row.endswith("noisy: swapping")


@pytest.mark.parametrize("width", [55, 75, 100])
def test_a_comparison_takes_no_more_room_than_there_is(width: int) -> None:
    layout = side_layout(width)
    left, right = Side("a" * 90, (turn_record(),)), Side("正" * 40, (turn_record(),))
    for line in (*side_heading(left, right, layout), *(difference_row(row, layout) for row in side_by_side(left, right))):
        assert len(line) <= width


def test_threads_that_prefill_are_told_from_those_that_decode() -> None:
    one, other = replace(turn_record(), threads=1, threads_batch=2), replace(turn_record(), threads=1, threads_batch=1)
    *_, threads = side_heading(Side("a", (one, other)), Side("b", (other,)), side_layout(100))
    assert threads.split() == ["threads", "(prefill)", "1", "(2)", "or", "1", "1"]


def test_a_comparison_says_what_changed_and_whether_that_is_better() -> None:
    record = turn_record()
    fast = replace(record, timings=replace(record.timings, predicted_ms=100.0))
    row = side_by_side(Side("a", (record,)), Side("b", (fast,)))[0]
    assert difference_row(row, side_layout(100)).split() == [
        "Decode",
        "speed,",
        "tokens/s",
        "50.0",
        "±",
        "0.0",
        "100.0",
        "±",
        "0.0",
        "+100.0%",
        "better",
    ]
