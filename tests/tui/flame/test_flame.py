from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from rich.style import Style
from textual.color import Color

from engine.profiling.frames import Module
from engine.profiling.tree import FlameTree, Node, Order, frames_of
from tests.engine.profiling.captures import record, stacks, timed
from tests.tui.host import Host, screen_lines
from tui.flame.icicle import Icicle
from tui.flame.layout import Block, lay_out, short_label
from tui.flame.look import FlameLook, Tint
from tui.flame.subject import CaptureSubject, SortKey
from tui.flame.table import Column, Row, RowTable
from tui.theming import load_themes, parse_theme, variable_defaults


def spans(row: Iterable[Block]) -> list[tuple[int, int]]:
    return [(block.left, block.right) for block in row]


def many(count: int) -> FlameTree:
    return FlameTree([((f"f{number:05}",), 1) for number in range(count)])


def test_children_tile_their_parent() -> None:
    rows = lay_out(FlameTree([(("a",), 3), (("b",), 4), (("c",), 3)]), Node(0, 0, 3), 11)
    assert spans(rows[0]) == [(0, 11)]
    assert spans(rows[1]) == [(0, 4), (4, 8), (8, 11)]


def test_what_is_too_narrow_is_marked_not_dropped() -> None:
    tree = FlameTree([(("wide",), 90), *(((f"f{number}",), 1) for number in range(10))])
    rows = lay_out(tree, tree.root, 20)
    assert [(block.node is None, block.left, block.right) for block in rows[1]] == [(False, 0, 18), (True, 18, 20)]


def test_ten_thousand_siblings_are_one_rest() -> None:
    tree = many(10_000)
    (block,) = lay_out(tree, tree.root, 80)[1]
    assert (block.node, block.left, block.right) == (None, 0, 80)


def test_time_order_places_blocks_where_they_happened() -> None:
    tree = FlameTree(frames_of(timed(), order=Order.TIME), order=Order.TIME)
    rows = lay_out(tree, tree.root, 40)
    assert spans(rows[3]) == [(0, 20), (20, 30), (30, 40)]


@pytest.mark.parametrize("width", [0, -3])
def test_no_room_is_no_rows(width: int) -> None:
    assert lay_out(many(3), Node(0, 0, 3), width) == []


@pytest.mark.parametrize(
    ("room", "label"),
    [
        (60, "Scheduler.step (engine/llama/scheduler.py)"),
        (20, "Scheduler.step"),
        (8, "step"),
        (3, "st…"),
        (2, ""),
    ],
)
def test_a_label_says_as_much_as_fits(room: int, label: str) -> None:
    assert short_label("Scheduler.step (engine/llama/scheduler.py)", room) == label


def test_a_thread_is_labelled_by_its_name() -> None:
    assert short_label("thread: compute", 20) == "compute"


def test_every_part_has_a_colour_in_every_theme() -> None:
    for theme in load_themes().themes.values():
        variables = {**theme.to_color_system().generate(), **variable_defaults(theme), **theme.variables}
        look = FlameLook(variables, Style())
        for tint in Tint:
            assert look.block(tint, 0).bgcolor is not None, (theme.name, tint)


def test_parts_have_colours_of_their_own_in_the_themes_that_come_with_xchat() -> None:
    for theme in load_themes().themes.values():
        colours = [theme.variables[f"flame-{module}"] for module in Module]
        assert len(set(colours)) == len(colours), theme.name


def test_a_theme_changes_the_colour_of_a_part() -> None:
    text = Path(__file__).parents[3].joinpath("themes/dark.toml").read_text()
    mine, _ = parse_theme("mine", re.sub('flame-engine = ".*"', 'flame-engine = "#123456"', text), file="mine.toml")
    look = FlameLook({**mine.to_color_system().generate(), **mine.variables}, Style())
    assert look.block(Tint.ENGINE, 0).bgcolor == Color.parse("#123456").rich_color


def test_text_stays_readable_on_every_shade() -> None:
    for theme in load_themes().themes.values():
        if theme.ansi:
            continue
        look = FlameLook({**theme.to_color_system().generate(), **theme.variables}, Style())
        for tint in Tint:
            for shade in range(3):
                style = look.block(tint, shade)
                assert style.color is not None
                assert style.bgcolor is not None
                ink, paper = Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)
                assert abs(ink.brightness - paper.brightness) > 0.25


async def test_moving_and_zooming_by_keys() -> None:
    icicle = Icicle()
    async with Host(icicle).run_test(size=(80, 12)) as pilot:
        icicle.show(FlameTree(frames_of(stacks())), lambda _: Tint.PYTHON)
        icicle.focus()
        await pilot.press("right")
        assert icicle.flame.label(icicle.cursor) == "thread: compute"
        await pilot.press("down", "down", "down", "down")
        assert icicle.flame.label(icicle.cursor) == "llama_decode (libllama.so)"
        await pilot.press("right", "up", "enter")
        assert icicle.flame.label(icicle.top) == "decode (engine/llama/context.py)"
        assert screen_lines(pilot.app)[0].startswith("▏decode (engine/llama/context.py)")
        await pilot.press("backspace")
        assert icicle.top == icicle.flame.root


async def test_a_click_selects_and_a_second_one_zooms() -> None:
    icicle = Icicle()
    async with Host(icicle).run_test(size=(80, 12)) as pilot:
        icicle.show(FlameTree(frames_of(stacks())), lambda _: Tint.PYTHON)
        await pilot.click(Icicle, offset=(60, 2))
        assert icicle.flame.label(icicle.cursor).startswith("step")
        await pilot.click(Icicle, offset=(60, 2))
        assert icicle.flame.label(icicle.top).startswith("step")
        await pilot.click(Icicle, offset=(5, 0), button=3)
        assert icicle.top == icicle.flame.root


async def test_zooming_out_stays_on_the_block_one_comes_from() -> None:
    icicle = Icicle()
    async with Host(icicle).run_test(size=(80, 12)) as pilot:
        icicle.show(FlameTree(frames_of(stacks())), lambda _: Tint.PYTHON)
        icicle.focus()
        await pilot.press("right", "down", "enter", "down", "enter", "backspace")
        assert icicle.flame.label(icicle.cursor) == "decode (engine/llama/context.py)"
        await pilot.press("0")
        assert icicle.flame.label(icicle.cursor) == "step (engine/llama/compute.py)"


async def test_in_order_of_time_the_cursor_begins_on_a_block_that_can_be_seen() -> None:
    icicle = Icicle()
    async with Host(icicle).run_test(size=(40, 6)) as pilot:
        icicle.show(FlameTree([(("narrow",), 1), (("wide",), 500)], order=Order.TIME), lambda _: Tint.PYTHON)
        await pilot.pause()
        assert icicle.flame.label(icicle.cursor) == "wide"


async def test_callers_stand_on_their_head() -> None:
    icicle = Icicle(upwards=True)
    async with Host(icicle).run_test(size=(60, 6)) as pilot:
        icicle.show(FlameTree([(("a", "b"), 1)], root="root"), lambda _: Tint.PYTHON)
        await pilot.pause()
        assert [line.strip("▏ ") for line in screen_lines(pilot.app)] == ["", "", "", "b", "a", "root"]
        icicle.focus()
        await pilot.press("up")
        assert icicle.flame.label(icicle.cursor) == "b"


async def test_deep_stacks_scroll_with_the_cursor() -> None:
    icicle = Icicle()
    async with Host(icicle).run_test(size=(60, 6)) as pilot:
        icicle.show(FlameTree([(tuple(f"f{depth}" for depth in range(50)), 1)]), lambda _: Tint.PYTHON)
        icicle.focus()
        await pilot.press(*["down"] * 30)
        assert icicle.scroll_offset.y > 20
        assert any("f30" in line for line in screen_lines(pilot.app))


async def test_escape_sequences_in_a_frame_reach_no_cell() -> None:
    icicle = Icicle()
    async with Host(icicle).run_test(size=(60, 6)) as pilot:
        icicle.show(FlameTree([(("a\x1b[31m\x07b",), 1)]), lambda _: Tint.PYTHON)
        await pilot.pause()
        assert not any("\x1b" in line or "\x07" in line for line in screen_lines(pilot.app))


async def test_of_ten_thousand_distinct_stacks_only_what_is_seen_is_looked_at() -> None:
    folded = FlameTree([((*(f"f{number % (depth + 2)}_{depth}" for depth in range(20)), f"leaf{number}"), 1) for number in range(10_000)])
    icicle = Icicle()
    async with Host(icicle).run_test(size=(200, 50)) as pilot:
        icicle.show(folded, lambda _: Tint.PYTHON)
        await pilot.pause()
        assert 0 < len(folded._children) < 500


async def test_a_name_that_is_cut_ends_in_an_ellipsis() -> None:
    table = RowTable()
    async with Host(table).run_test(size=(24, 4)) as pilot:
        rows = [Row("f", ("1", "a_function_with_a_long_name"), Tint.PYTHON), Row("g", ("1", "short"), Tint.PYTHON)]
        table.show((Column("own", 5), Column("function")), rows, sorted_by=0)
        await pilot.pause()
        assert screen_lines(pilot.app)[1].endswith(" a_function_wi…")
        assert screen_lines(pilot.app)[2].endswith(" short")


async def test_a_table_scrolls_sorts_and_chooses() -> None:
    chosen: list[str] = []
    clicked: list[int] = []

    class TableHost(Host):
        def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
            chosen.append(event.key)

        def on_row_table_heading_clicked(self, event: RowTable.HeadingClicked) -> None:
            clicked.append(event.column)

    table = RowTable()
    async with TableHost(table).run_test(size=(40, 8)) as pilot:
        rows = [Row(f"f{number}", (f"{number}", f"f{number}"), Tint.PYTHON) for number in range(100)]
        table.show((Column("own", 5), Column("function")), rows, sorted_by=0)
        table.focus()
        await pilot.pause()
        assert screen_lines(pilot.app)[0].split() == ["own▾", "function"]
        await pilot.press("end", "up", "enter")
        assert chosen == ["f98"]
        assert screen_lines(pilot.app)[-1].split() == ["99", "f99"]
        await pilot.press("home")
        await pilot.click(RowTable, offset=(2, 3))
        assert table.key == "f2"
        await pilot.click(RowTable, offset=(12, 0))
        assert clicked == [1]


def test_seconds_in_the_table_are_those_of_the_looks_that_were_made() -> None:
    capture = record(looks=50)
    rows = CaptureSubject(capture).rows(SortKey.OWN)
    (decode,) = [row for row in rows if row.key.startswith("llama_decode")]
    assert decode.cells[1] == "1.60"
    assert capture.time(40) == "1.60 s"
