"""Charts are drawn dot by dot, keep still where nothing changed, and show every spike."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.metrics.history import Trace
from engine.store.series import nice_ceiling
from tui.drawing.braille import Extent, Glyphs, draw, glyphs_for, spark
from tui.drawing.chart import SHRINK_AFTER, Chart, Scale, columns_of, view_of


def line(*values: float | None) -> list[Extent | None]:
    return [None if value is None else Extent(value, value) for value in values]


def trace(values: list[float | None], *, first: int = 0, bucket_s: float = 0.5, span_s: float = 60.0) -> Trace:
    return Trace(first, bucket_s, span_s, tuple(values))


def test_a_rising_line_climbs_through_the_dots_of_one_cell() -> None:
    assert draw([line(0, 3)], low=0, high=3, width=1, height=1).rows == ("⡸",)


def test_a_flat_line_lies_on_the_bottom_and_at_the_top() -> None:
    assert draw([line(0, 0, 9, 9)], low=0, high=9, width=2, height=1).rows == ("⣀⠏",)


def test_a_gap_is_not_bridged() -> None:
    assert draw([line(0, None, None, 3)], low=0, high=3, width=2, height=1).rows == ("⡀⠈",)


def test_values_outside_the_scale_are_drawn_at_its_edges() -> None:
    assert draw([line(-5, 50)], low=0, high=3, width=1, height=1).rows == draw([line(0, 3)], low=0, high=3, width=1, height=1).rows


def test_the_second_line_is_dotted_and_the_first_owns_the_cells_they_share() -> None:
    canvas = draw([line(0, 0, 0, 0), line(0, 0, 3, 3)], low=0, high=3, width=2, height=1)
    assert canvas.rows == ("⣀⣁",)
    assert canvas.owners == (bytes([0, 0]),)


def test_a_cell_that_only_the_second_line_touches_is_its_own() -> None:
    canvas = draw([line(None, None), line(1, 1)], low=0, high=3, width=1, height=1)
    assert canvas.owners == (bytes([1]),)


@pytest.mark.parametrize("glyphs", list(Glyphs))
@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 3), (3, 0), (1, 1), (7, 3)])
def test_any_size_gives_exactly_that_many_rows_of_that_width(glyphs: Glyphs, width: int, height: int) -> None:
    rows = draw([line(*[1.0] * 14)], low=0, high=2, width=width, height=height, glyphs=glyphs).rows
    assert [len(row) for row in rows] == [width] * height


def test_bars_show_small_values_and_fill_from_below() -> None:
    rows = draw([line(0.01, 0, 5, 5, 10, 10)], low=0, high=10, width=3, height=2, glyphs=Glyphs.BLOCKS).rows
    assert rows == ("  █", "▁██")


def test_bars_need_nothing_but_ascii_without_unicode() -> None:
    rows = draw([line(*range(20))], low=0, high=20, width=10, height=3, glyphs=Glyphs.ASCII).rows
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


def test_a_scale_that_is_only_a_little_too_large_stays() -> None:
    scale = Scale()
    scale.fit(70)
    assert {scale.fit(45) for _ in range(5 * SHRINK_AFTER)} == {80}


def test_between_two_jumps_only_the_newest_columns_change() -> None:
    values: list[float | None] = [50.0] * 120
    before = trace(values, first=200)
    after = trace([*values[1:], 90.0], first=201)
    one, two = (Chart(fixed_top=100).draw([each], 30, 4).rows for each in (before, after))
    changed = {x for old, new in zip(one, two, strict=True) for x in range(30) if old[x] != new[x]}
    left = view_of(after, 30).newest // 2 - view_of(after, 30).left // 2
    assert view_of(before, 30).left == view_of(after, 30).left
    assert changed
    assert min(changed) >= left - 1 or changed <= {0, left - 1, left}


def test_a_full_picture_jumps_by_an_eighth() -> None:
    views = [view_of(trace([1.0] * 120, first=first), 40) for first in range(0, 200)]
    lefts = sorted({view.left for view in views})
    assert {late - early for early, late in pairwise(lefts)} == {10}
    assert all(view.left <= view.newest < view.left + view.dots for view in views)


def test_sweep_mode_overwrites_the_oldest_column_in_place() -> None:
    before = view_of(trace([1.0] * 120, first=1000), 30, sweep=True)
    after = view_of(trace([1.0] * 120, first=1001), 30, sweep=True)
    kept = range(after.newest - 40, before.newest)
    assert [before.position(dot) for dot in kept] == [after.position(dot) for dot in kept]


def test_every_spike_is_drawn_however_many_buckets_share_a_column() -> None:
    values: list[float | None] = [1.0] * 120
    values[77] = 99.0
    many = trace(values)
    columns = columns_of(many, view_of(many, 5))
    assert max(column.high for column in columns if column) == 99.0
    assert min(column.low for column in columns if column) == 1.0


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
