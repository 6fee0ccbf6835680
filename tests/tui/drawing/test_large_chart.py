"""Large charts count turns in whole numbers and name their marks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.factories import turn_record
from tui.drawing.braille import Glyphs
from tui.drawing.large_chart import Plot, named_marks, plot, whole_ticks
from tui.library.logged_chart import switches_of


@pytest.mark.parametrize(("last", "most", "expected"), [(2, 9, [1, 2]), (14, 6, [1, 5, 10]), (400, 5, [1, 100, 200, 300, 400])])
def test_an_axis_that_counts_has_whole_numbers(last: int, most: int, expected: list[int]) -> None:
    assert whole_ticks(1, last, most) == expected


def test_marks_are_named_where_there_is_room_and_never_over_each_other() -> None:
    marks = ((-50.0, "turn 2"), (-49.0, "turn 3"), (-20.0, "preset fast"), (-2.0, "turn 4"))
    found = named_marks(Plot((), -60.0, 0.0, 10.0, marks), 120)
    assert found == [(-50.0, "t", "left"), (-49.0, "turn 3", "left"), (-20.0, "preset fast", "left"), (-2.0, "turn 4", "right")]
    text = plot(Plot((((-60.0, 1.0), (0.0, 2.0)),), -60.0, 0.0, 10.0, marks, times=True), 120, 12, Glyphs.BRAILLE).plain
    assert all(name in text for name in ("turn 3", "preset fast", "turn 4", "-60 s", "now"))


def test_turns_are_marked_where_quant_preset_or_threads_change() -> None:
    turn = turn_record(quant="Q8_0", preset="daily", threads=2)
    turns = [turn, turn, replace(turn, quant="Q4_1"), replace(turn, quant="Q4_1", threads=4)]
    assert switches_of(turns) == [(1, "Q8_0 · daily · 2 threads"), (3, "Q4_1 · daily · 2 threads"), (4, "Q4_1 · daily · 4 threads")]
