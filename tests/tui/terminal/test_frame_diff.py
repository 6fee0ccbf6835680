"""What is sent makes the terminal show the same as Textual's own painting would, with fewer bytes."""

from __future__ import annotations

from collections.abc import Iterable

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.color import ColorSystem
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.app import App
from textual.geometry import Region
from textual.strip import Strip

from tests.examples import examples
from tui.terminal.frame_diff import Difference, Picture

WIDTH, HEIGHT = 30, 4
CONSOLE = Console(color_system="256", force_terminal=True, width=WIDTH)
STYLES = (
    None,
    Style(),
    Style(color="red"),
    Style(color="#102030", bgcolor="#405060"),
    Style(bgcolor="#405060", bold=True),
    Style(bold=True, underline=True),
    Style(reverse=True),
    Style(color="green", meta={"offset": (1, 2)}),
    Style(dim=True, strike=True, bgcolor="blue"),
)
NARROW = ("a", "hello", " ", "   ", " " * 14, "─│╭", "⣿⡀", "e\u0301")
TEXTS = (*NARROW, "中文", "😀", "x 中 y")


class Shown:
    """A terminal that what is sent goes to."""

    def __init__(self) -> None:
        self.screen = pyte.Screen(WIDTH, HEIGHT)
        self.screen.reset_mode(7 << 5)
        self.stream = pyte.Stream(self.screen)

    def feed(self, text: str) -> None:
        self.stream.feed(text.replace("\n", ""))

    def cells(self) -> list[list[tuple[object, ...]]]:
        """Each cell as a person sees it: the ink of a plain blank can't be seen."""
        rows: list[list[tuple[object, ...]]] = []
        for y in range(HEIGHT):
            row: list[tuple[object, ...]] = []
            for x in range(WIDTH):
                cell = self.screen.buffer[y][x]
                marks = (cell.underscore, cell.reverse, cell.strikethrough)
                plain = cell.data == " " and not any(marks)
                row.append((cell.data, cell.bg, *marks, None if plain else (cell.fg, cell.bold)))
            rows.append(row)
        return rows


def strip(width: int, parts: list[tuple[str, Style | None]]) -> Strip:
    return Strip([Segment(text, style) for text, style in parts]).adjust_cell_length(width)


def parts(texts: tuple[str, ...]) -> st.SearchStrategy[list[tuple[str, Style | None]]]:
    return st.lists(st.tuples(st.sampled_from(texts), st.sampled_from(STYLES)), max_size=6)


def full(texts: tuple[str, ...]) -> st.SearchStrategy[LayoutUpdate]:
    return st.lists(parts(texts), min_size=HEIGHT, max_size=HEIGHT).map(
        lambda rows: LayoutUpdate([[strip(WIDTH, row)] for row in rows], Region(0, 0, WIDTH, HEIGHT))
    )


@st.composite
def partial(draw: st.DrawFn) -> ChopsUpdate:
    """A widget between two columns repaints some of its rows, or a part of them."""
    left, right = sorted(draw(st.sets(st.integers(0, WIDTH), min_size=2, max_size=2)))
    chops: list[dict[int, Strip | None]] = [{0: None, left: strip(right - left, draw(parts(NARROW))), right: None} for _ in range(HEIGHT)]
    ends = [[*list(row)[1:], WIDTH] for row in chops]
    rows = sorted(draw(st.sets(st.integers(0, HEIGHT - 1), min_size=1)))
    stop = draw(st.integers(left + 1, right))
    return ChopsUpdate(chops, [(y, left, stop) for y in rows], ends)


def same(updates: list[LayoutUpdate | ChopsUpdate], *, erases: bool) -> None:
    picture, ours, textuals = Picture(erases=erases), Shown(), Shown()
    for update in updates:
        ours.feed(Difference(picture, update).render_segments(CONSOLE))
        textuals.feed(update.render_segments(CONSOLE))
        assert ours.cells() == textuals.cells()


@examples(60)
@given(full(NARROW), st.lists(st.one_of(full(NARROW), partial()), max_size=5), st.booleans())
def test_the_terminal_shows_what_textual_painted(first: LayoutUpdate, rest: list[LayoutUpdate | ChopsUpdate], erases: bool) -> None:
    same([first, *rest], erases=erases)


@examples(40)
@given(st.lists(full(TEXTS), min_size=1, max_size=4))
def test_wide_characters_come_and_go(updates: list[LayoutUpdate]) -> None:
    same([*updates], erases=True)


def test_half_of_a_wide_character_is_a_blank() -> None:
    picture = Picture()
    sent(picture, row("中x"))
    half = ChopsUpdate([{0: None, 1: Strip([Segment("yz")]), 3: None}], [(0, 1, 3)], [[1, 3, WIDTH]])
    assert picture.changes(half, ColorSystem.TRUECOLOR).startswith("\x1b[1;1H yz")


def row(text: str, style: Style | None = None) -> LayoutUpdate:
    return LayoutUpdate([[strip(WIDTH, [(text, style)])]], Region(0, 0, WIDTH, 1))


def sent(picture: Picture, update: LayoutUpdate, depth: ColorSystem = ColorSystem.TRUECOLOR) -> str:
    return picture.changes(update, depth)


def test_what_stands_there_already_is_not_sent_again() -> None:
    picture = Picture()
    assert "hello" in sent(picture, row("hello"))
    assert sent(picture, row("hello")) == ""


def test_a_key_sends_a_cell() -> None:
    picture = Picture()
    sent(picture, row("╭─ hello"))
    assert sent(picture, row("╭─ hello!")) == "\x1b[1;9H!\x1b[0m"


def test_after_forgetting_everything_is_sent() -> None:
    picture = Picture()
    first = sent(picture, row("hello"))
    picture.forget()
    assert sent(picture, row("hello")) == first


def test_another_size_is_painted_anew() -> None:
    picture = Picture()
    sent(picture, row("hello"))
    wider = LayoutUpdate([[strip(WIDTH + 5, [("hello", None)])]], Region(0, 0, WIDTH + 5, 1))
    assert "hello" in sent(picture, wider)


def test_a_row_with_a_wide_character_is_sent_whole() -> None:
    picture = Picture()
    sent(picture, row("中 one"))
    assert sent(picture, row("中 two")).startswith("\x1b[1;1H中 two")


def test_colours_are_said_once() -> None:
    ink = Style(color="#102030", bgcolor="#405060")
    assert sent(Picture(), row("one two" * 4, ink)).count("38;2;16;32;48") == 1


def test_coarse_pictures_use_at_most_256_colours() -> None:
    picture = Picture()
    picture.coarse = True
    code = sent(picture, row("x", Style(color="#102030")))
    assert "38;5;" in code
    assert "38;2;" not in code


def test_a_screen_is_never_shown_in_two_kinds_of_colours_within_a_row_and_soon_in_one_kind_only() -> None:
    ink = Style(color="#d5d8de", bgcolor="#14171c")
    picture, shown = Picture(), Shown()

    def page(word: str) -> LayoutUpdate:
        rows: list[Iterable[Strip]] = [[strip(WIDTH, [(f"row {y} of the {word if y == 1 else 'page'}", ink)])] for y in range(HEIGHT)]
        return LayoutUpdate(rows, Region(0, 0, WIDTH, HEIGHT))

    shown.feed(picture.changes(page("page"), ColorSystem.TRUECOLOR))
    exact = shown.cells()
    for coarse, other in ((True, "38;2;"), (False, "38;5;")):
        picture.coarse = coarse
        assert picture.mixed
        changed = picture.changes(page("book" if coarse else "page"), ColorSystem.TRUECOLOR)
        assert "row 1 of the" in changed, "a row that changes is sent whole"
        pieces = [changed]
        while picture.mixed:
            pieces.append(picture.converted(ColorSystem.TRUECOLOR, rows=1))
        assert len(pieces) == HEIGHT
        assert not any(other in piece for piece in pieces)
        shown.feed("".join(pieces))
        assert len({cell[1] for row in shown.cells() for cell in row} - {"default"}) == 1, "one black"
    assert shown.cells() == exact


def test_a_key_is_echoed_in_the_colours_of_its_row_while_the_line_is_jammed() -> None:
    ink = Style(color="#102030")
    picture = Picture()
    sent(picture, row("one", ink))
    picture.coarse = True
    echo = picture.changes(row("two", ink), ColorSystem.TRUECOLOR, at_most=400)
    assert "38;2;" in echo
    assert picture.mixed


def test_without_utf8_the_columns_stay_in_line() -> None:
    assert "|??|-" in sent(Picture(ascii_only=True), row("│中│─"))


def test_links_are_not_sent() -> None:
    assert "]8;" not in sent(Picture(), row("x", Style(link="https://example.invalid")))


@pytest.mark.parametrize("text", TEXTS)
def test_cells_are_counted_as_textual_counts_them(text: str) -> None:
    picture = Picture(erases=False)
    shown = sent(picture, LayoutUpdate([[Strip([Segment(text), Segment("|")])]], Region(0, 0, WIDTH, 1)))
    assert cell_len(shown.removeprefix("\x1b[1;1H").removesuffix("\x1b[0m").rstrip()) == cell_len(text) + 1


def test_textual_still_paints_through_what_is_taken_over() -> None:
    assert callable(App._display)
    assert issubclass(LayoutUpdate, CompositorUpdate)
    assert issubclass(ChopsUpdate, CompositorUpdate)


def test_a_large_update_is_owed_to_a_line_that_cannot_take_it_and_a_small_one_is_sent() -> None:
    picture = Picture()
    sent(picture, row("some text"))
    assert picture.changes(row("something else"), ColorSystem.TRUECOLOR, at_most=5) == ""
    assert picture.owing
    assert picture.changes(row("some text."), ColorSystem.TRUECOLOR, at_most=30) == "\x1b[1;10H.\x1b[0m"
    assert "thing else" in sent(picture, row("something else"))
