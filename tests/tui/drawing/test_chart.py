"""Charts are drawn dot by dot, keep still where nothing changed, and show every spike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from engine.metrics.history import Trace
from engine.store.series import nice_ceiling
from tui.drawing.braille import Glyphs, draw, glyphs_for, spark
from tui.drawing.chart import SHRINK_AFTER, Chart, Scale, columns_of, highest, view_of


def line(*values: float | None) -> list[float | None]:
    return list(values)


def trace(values: Sequence[float | None], *, first: int = 0, bucket_s: float = 0.5, span_s: float = 60.0) -> Trace:
    return Trace(first, bucket_s, span_s, tuple(values))


def test_an_area_is_filled_from_the_bottom_to_its_value() -> None:
    assert draw([line(1, 4)], high=4, width=1, height=1).rows == ("⣸",)
    assert draw([line(8, 8, 2, 2)], high=8, width=2, height=2).rows == ("⣿ ", "⣿⣤")


def test_zero_is_drawn_as_a_base_line_and_a_gap_is_left_empty() -> None:
    assert draw([line(0, 0, None, None)], high=9, width=2, height=1).rows == ("⣀ ",)


def test_values_outside_the_scale_are_drawn_at_its_edges() -> None:
    assert draw([line(-5, 50)], high=4, width=1, height=1).rows == draw([line(0, 4)], high=4, width=1, height=1).rows


def test_the_first_area_is_in_front_and_the_second_hatched_behind_it() -> None:
    canvas = draw([line(1, 1), line(8, 8)], high=8, width=1, height=2)
    assert canvas.rows == ("⣗", "⣗")
    assert canvas.owners == (bytes([1]), bytes([0]))


@pytest.mark.parametrize("glyphs", list(Glyphs))
@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 3), (3, 0), (1, 1), (7, 3)])
def test_any_size_gives_exactly_that_many_rows_of_that_width(glyphs: Glyphs, width: int, height: int) -> None:
    rows = draw([line(*[1.0] * 14)], high=2, width=width, height=height, glyphs=glyphs).rows
    assert [len(row) for row in rows] == [width] * height


def test_bars_show_small_values_and_fill_from_below() -> None:
    rows = draw([line(0.01, 0, 5, 5, 10, 10)], high=10, width=3, height=2, glyphs=Glyphs.BLOCKS).rows
    assert rows == ("  █", "▁██")


def test_bars_need_nothing_but_ascii_without_unicode() -> None:
    rows = draw([line(*range(20))], high=20, width=10, height=3, glyphs=Glyphs.ASCII).rows
    assert "".join(rows).isascii()


@pytest.mark.parametrize(
    ("braille", "unicode", "expected"), [(True, True, Glyphs.BRAILLE), (False, True, Glyphs.HALVES), (False, False, Glyphs.ASCII)]
)
def test_the_terminal_decides_what_charts_are_drawn_with(braille: bool, unicode: bool, expected: Glyphs) -> None:
    assert glyphs_for(braille=braille, unicode=unicode) is expected


def test_a_spark_shows_each_value_and_leaves_nothing_blank() -> None:
    assert spark([0, 1, 50, 100, None], high=100, glyphs=Glyphs.BRAILLE) == " ▁▄█ "


@pytest.mark.parametrize(("value", "expected"), [(0, 1), (0.9, 1), (1, 1), (61.1, 80), (100, 100), (101, 150), (4.5e9, 5e9)])
def test_scales_end_at_round_numbers(value: float, expected: float) -> None:
    assert nice_ceiling(value) == pytest.approx(expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -3.0])
def test_a_scale_survives_any_number(value: float) -> None:
    assert nice_ceiling(value) == 1.0


def test_a_scale_grows_at_once_and_shrinks_late() -> None:
    scale = Scale()
    assert scale.fit(70) == 80
    assert [scale.fit(9) for _ in range(SHRINK_AFTER - 1)] == [80] * (SHRINK_AFTER - 1)
    assert scale.fit(9) == 10


def test_the_scale_fits_what_was_measured_since_a_switch() -> None:
    former = trace([90.0] * 10 + [9.0] * 10)
    assert highest([former]) == 90.0
    assert highest([former], since_s=5.0) == 9.0
    assert highest([former], since_s=50.0) == 90.0, "nothing was measured since"
    chart = Chart()
    rows = chart.draw([former], 60, 4, since_s=5.0).rows
    assert chart.top == 10
    assert rows[0].rstrip()[-1] == "⣤", "the present nearly reaches the top"


def test_the_newest_value_is_at_the_right_end_from_the_start_and_ever_after() -> None:
    for first in (0, 3, 500):
        rows = Chart(fixed_top=100).draw([trace([50.0], first=first)], 30, 4).rows
        assert rows[-1].rstrip()[-1] != " "
        assert len(rows[-1].rstrip()) == 30


def test_a_picture_scrolls_by_a_cell_and_on_a_slow_line_by_an_eighth() -> None:
    for slow, jump in ((False, 2), (True, 10)):
        views = [view_of(trace([1.0] * 120, first=first), 40, slow=slow) for first in range(0, 200)]
        lefts = sorted({view.left for view in views})
        assert {late - early for early, late in pairwise(lefts)} == {jump}


def test_every_spike_is_drawn_however_many_buckets_share_a_column() -> None:
    values: list[float | None] = [1.0] * 120
    values[77] = 99.0
    many = trace(values)
    columns = columns_of(many, view_of(many, 5))
    assert max(value for value in columns if value) == 99.0


def test_a_wide_chart_has_no_holes_between_buckets() -> None:
    few = trace([1.0, 2.0, 3.0], span_s=1.5)
    assert None not in columns_of(few, view_of(few, 40))


def test_values_that_are_no_numbers_are_left_out() -> None:
    odd = trace([1.0, float("nan"), float("inf"), None, 2.0])
    assert Chart().draw([odd], 20, 3).rows


def test_nothing_is_drawn_again_while_nothing_changed() -> None:
    chart = Chart()
    assert chart.draw([trace([1.0, 2.0])], 20, 3) is chart.draw([trace([1.0, 2.0])], 20, 3)


def test_without_any_value_the_picture_is_empty() -> None:
    assert Chart().draw([trace([])], 4, 2).rows == ("    ", "    ")
