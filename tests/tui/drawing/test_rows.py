"""Rows keep their width whatever is in them; panes are placed so that the first ones win."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.host.value import Unavailable
from engine.metrics.snapshot import EMPTY, EngineFigures, Marker, MarkerKind, Totals
from engine.numbers import byte_size, milliseconds, percent, significant
from tui.drawing.rows import (
    STACK,
    Role,
    Row,
    bar,
    cells,
    changed_span,
    cut,
    fit,
    labelled_bar,
    meters,
    reading,
    stacked_bar,
    text_of,
    written,
)
from tui.panel.layout import HEIGHT_OF_TITLE, arrange, expand, figure_rows
from tui.panel.limits import EVENTS
from tui.panel.machine import THREADS
from tui.panel.pane import Density, axis_label, bytes_label
from tui.panel.panel import PANES

NOTHING_YET = frozenset({"speed", "latency", "roofline"})
"""Panes that are empty before the first answer."""

texts = st.text(st.sampled_from("ab 1.─█⡇漢字é\n\t\x1b"), max_size=12)
rows = st.lists(st.tuples(texts, st.sampled_from(list(Role))), max_size=4).map(tuple)


def row(*texts: str) -> Row:
    return tuple((text, Role.TEXT) for text in texts)


@given(rows, st.integers(0, 20))
def test_a_fitted_row_has_exactly_its_width(anything: Row, width: int) -> None:
    printable = tuple((text.replace("\n", "").replace("\t", "").replace("\x1b", ""), role) for text, role in anything)
    assert cell_len(text_of(fit(printable, width))) == width


@given(texts, st.integers(0, 12))
def test_text_from_outside_is_cut_to_its_room_and_cannot_act(text: str, width: int) -> None:
    shown = cut(text, width)
    assert cell_len(shown) <= width
    assert not set(shown) & {"\x1b", "\n", "\t"}


@given(st.text("abc", min_size=8, max_size=8), st.text("abc", min_size=8, max_size=8))
def test_outside_the_changed_span_two_rows_are_alike(old: str, new: str) -> None:
    span = changed_span(row(old), row(new), 8)
    if span is None:
        assert old == new
        return
    begin, length = span
    assert old[:begin] + old[begin + length :] == new[:begin] + new[begin + length :]
    assert old[begin] != new[begin]
    assert old[begin + length - 1] != new[begin + length - 1]


def test_another_colour_of_the_same_text_is_a_change() -> None:
    old: Row = (("ab", Role.TEXT), ("cd", Role.TEXT))
    new: Row = (("ab", Role.TEXT), ("cd", Role.BAD))
    assert changed_span(old, new, 4) == (2, 2)


def test_rows_with_wide_characters_are_repainted_whole() -> None:
    assert changed_span(row("漢a"), row("漢b"), 3) == (0, 3)


def test_another_split_of_the_same_row_is_no_change() -> None:
    assert changed_span(row("ab", "cd"), row("abcd"), 4) is None


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (byte_size(None), "–"),
        (byte_size(0), "0 B"),
        (byte_size(999), "999 B"),
        (byte_size(638e6), "638 MB"),
        (byte_size(4.31e9), "4.31 GB"),
        (milliseconds(0.313), "0.31 ms"),
        (milliseconds(16.44), "16.4 ms"),
        (milliseconds(1284), "1.28 s"),
        (milliseconds(61_000), "61.0 s"),
        (milliseconds(999.7), "1.00 s"),
        (byte_size(98.24e6), "98.2 MB"),
        (byte_size(999.7e6), "1.00 GB"),
        (significant(1234.56), "1,235"),
        (significant(99.96), "100"),
        (significant(0.314), "0.31"),
        (significant(None), "–"),
        (percent(0.071), "7 %"),
    ],
)
def test_numbers_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0.15, "0.15"), (0.2, "0.2"), (1.5, "1.5"), (3.0, "3"), (60.0, "60"), (800.0, "800"), (15_000.0, "15k")]
)
def test_the_end_of_a_scale_is_given_exactly(value: float, expected: str) -> None:
    assert axis_label(value) == expected


@pytest.mark.parametrize(("value", "expected"), [(1.5e8, "150M"), (8e8, "800M"), (1.5e9, "1.5G"), (2e9, "2G"), (1e11, "100G")])
def test_the_scale_of_memory_has_a_unit(value: float, expected: str) -> None:
    assert bytes_label(value) == expected


def test_a_turn_that_nobody_could_judge_is_not_called_quiet() -> None:
    finished = replace(EMPTY, totals=Totals(turns=1))
    said = [text_of(EVENTS.rows(now, 40, Density.NORMAL)[0]) for now in (EMPTY, finished, replace(finished, judged=True))]
    assert said == ["no turn yet", "turn too short to be judged", "clean: figures can be compared"]


def test_an_event_that_names_its_kind_does_not_say_it_twice() -> None:
    markers = (Marker(1.0, 0, MarkerKind.PRESET, "daily"), Marker(2.0, 1_000, MarkerKind.TURN, "turn 3"))
    _, newest, older, *_ = (text_of(row)[len("00:00:00") :] for row in EVENTS.rows(replace(EMPTY, markers=markers), 40, Density.NORMAL))
    assert (newest, older) == (" turn 3", " preset daily")


def test_what_is_unavailable_says_why() -> None:
    assert text_of(reading(60, "power", Unavailable("no counter"))) == "power unavailable: no counter"
    assert text_of(reading(60, "power", written(3.0, "W"))) == "power 3.00 W"


def test_a_stacked_bar_fills_its_room_and_shows_every_part() -> None:
    row = stacked_bar(10, [(0.001, Role.FIRST), (5.0, Role.SECOND), (0.0, Role.THIRD)], 10.0)
    assert [(len(text), role) for text, role in row] == [(1, Role.FIRST), (5, Role.SECOND), (4, Role.GRID)]
    assert len(text_of(stacked_bar(3, [(1.0, role) for role in STACK], 5.0))) == 3


@pytest.mark.parametrize("cores", [0, 1, 2, 7, 8, 64, 192])
@pytest.mark.parametrize("width", [20, 38, 80])
def test_each_core_has_a_meter_and_many_are_grouped(cores: int, width: int) -> None:
    drawn = [text_of(row) for row in meters(width, [0.5] * cores, 2)]
    assert len(drawn) == 2
    assert all(len(row) <= width for row in drawn)
    assert not cores or f"{cores - 1} " in " ".join(drawn).replace("-", " ")


@pytest.mark.parametrize("share", [None, -1.0, 0.0, 0.5, 1.0, 7.0, float("inf")])
def test_a_bar_never_leaves_its_room(share: float | None) -> None:
    assert len(text_of(bar(share, 10))) == 10


@pytest.mark.parametrize("width", range(0, 50, 7))
def test_figures_side_by_side_fit_any_width(width: int) -> None:
    assert len(text_of(fit(cells(width, ("label", "12.3"), ("other", "4,567")), width))) == width
    assert len(text_of(fit(labelled_bar(width, "used", 0.4, "40 %"), width))) == width


@given(st.integers(-1, 230), st.integers(-1, 70), st.sampled_from([None, *Density]), st.sets(st.sampled_from(PANES)), st.booleans())
def test_placed_panes_never_overlap_nor_leave_the_panel(
    width: int, height: int, density: Density | None, chosen: set[object], idle: bool
) -> None:
    panes = [pane for pane in PANES if pane in chosen]
    layout = arrange(panes, width, height, density, collapsed=NOTHING_YET if idle else frozenset())
    assert len(layout.placed) + layout.left_out == len(panes)
    assert sum(layout.widths) <= max(0, width)
    below: dict[int, int] = {}
    for placed in layout.placed:
        assert placed.top >= below.get(placed.column, 0)
        figures = figure_rows(placed.pane, placed.density) if placed.density is not None else 0
        assert placed.height >= HEIGHT_OF_TITLE + figures + placed.chart_height
        below[placed.column] = placed.top + placed.height
    assert all(bottom <= height for bottom in below.values())
    heights = {placed.top: {other.height for other in layout.placed if other.top == placed.top} for placed in layout.placed}
    assert all(len(alike) == 1 for alike in heights.values()), "panes side by side are of one height"


def test_a_small_panel_shows_the_first_panes_with_a_chart_rather_than_all_without() -> None:
    layout = arrange(PANES, 40, 27)
    assert [placed.pane.id for placed in layout.placed][:4] == ["speed", "context", "memory", "cpu"]
    assert layout.placed[0].chart_height >= 5
    assert layout.placed[3].chart_height >= 5
    assert layout.left_out > 0


def test_a_large_panel_shows_every_pane_with_charts_of_at_least_four_rows() -> None:
    layout = arrange(PANES, 200, 49)
    assert layout.left_out == 0
    assert all(placed.chart_height >= 5 for placed in layout.placed if placed.pane.chart is not None)


def test_panes_without_anything_to_show_are_a_line_each_below_the_others() -> None:
    layout = arrange(PANES, 40, 30, collapsed=NOTHING_YET)
    lines = [placed for placed in layout.placed if placed.density is None]
    assert {placed.pane.id for placed in lines} == NOTHING_YET
    assert {placed.height for placed in lines} == {1}
    assert min(placed.top for placed in lines) >= max(placed.top for placed in layout.placed if placed.density is not None)


def test_before_anything_is_measured_no_pane_shows_dashes() -> None:
    assert all(pane.missing(EMPTY) for pane in PANES)


@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.id)
@pytest.mark.parametrize("size", [(0, 0), (10, 3), (80, 23), (200, 49)])
def test_an_expanded_pane_fills_the_panel(pane: object, size: tuple[int, int]) -> None:
    layout = expand(pane, *size)  # type: ignore[arg-type]
    for placed in layout.placed:
        assert placed.height <= max(size[1], HEIGHT_OF_TITLE + figure_rows(placed.pane, Density.COMPACT))
        assert layout.widths == (size[0],)


def test_the_threads_pane_says_how_many_compute_and_why() -> None:
    engine = EngineFigures("tiny", "Q4_K_M", 8192, 1, 2, 812.0, {}, "1 thread: others keep 1.0 CPUs busy", "2 threads to begin with")
    shown = [text_of(line) for line in THREADS.rows(replace(EMPTY, engine=engine), 60, Density.FULL)]
    assert "decode 1 thread: others keep 1.0 CPUs busy" in shown
    assert "prefill 2 threads to begin with" in shown
