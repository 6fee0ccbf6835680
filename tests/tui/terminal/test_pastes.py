"""Typing and pastes are told apart, however the line tears them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tui.terminal.pastes import END, LOST_END_S, START, Part, Pasted, PasteSplitter, Typed, Withdrawn


def split(*reads: str) -> list[Part]:
    splitter = PasteSplitter()
    return [part for number, read in enumerate(reads) for part in splitter.feed(read, number * 0.001)]


def test_typing_goes_to_the_parser_as_it_came() -> None:
    assert split("a", "\x1b[A", "hello\r") == [Typed("a"), Typed("\x1b[A"), Typed("hello\r")]


def test_a_bracketed_paste_is_one_piece_with_what_was_typed_around_it() -> None:
    assert split(f"x{START}one\rtwo{END}\r") == [Typed("x"), Pasted("one\rtwo"), Typed("\r")]


@given(st.lists(st.integers(0, 30), max_size=6))
def test_a_paste_whose_end_is_torn_anywhere_arrives_whole(cuts: list[int]) -> None:
    stream = f"some \x1b[31m text{END}"
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    reads = [stream[begin:end] for begin, end in pairwise(places)]
    assert split(START, *reads) == [Pasted("some \x1b[31m text")]


@given(st.integers(1, len(START) - 1), st.booleans())
def test_a_paste_whose_start_is_torn_arrives_whole(cut: int, bytewise: bool) -> None:
    stream = f"{START}some \x1b[31m\rtext{END}z"
    reads = list(stream) if bytewise else [stream[:cut], stream[cut:]]
    parts = split("x", *reads)
    assert [part for part in parts if isinstance(part, Pasted)] == [Pasted("some \x1b[31m\rtext")]
    before = parts[: parts.index(Withdrawn())]
    assert START.startswith("".join(part.text for part in before if isinstance(part, Typed)).removeprefix("x"))
    assert parts[-1] == Typed("z")


def test_many_lines_at_once_without_brackets_are_a_paste() -> None:
    text = "a line\r" * 40
    assert split(text) == [Pasted(text, bracketed=False)]


def test_one_long_line_with_enter_at_its_end_is_a_message_that_was_sent() -> None:
    line = "a question that was written to the terminal at once " * 3
    assert split(f"{line}\r") == [Pasted(line, bracketed=False), Typed("\r")]


def test_escape_sequences_are_never_taken_for_a_paste() -> None:
    arrows = "\x1b[A" * 40
    assert split(arrows) == [Typed(arrows)]


def test_a_paste_whose_end_is_lost_does_not_swallow_the_keyboard() -> None:
    splitter = PasteSplitter()
    splitter.feed(f"{START}half", 0.0)
    assert splitter.tick(LOST_END_S / 2) == []
    assert splitter.tick(LOST_END_S) == [Pasted("half")]
    assert splitter.feed("k", 2.0) == [Typed("k")]


def test_control_characters_in_a_burst_are_text() -> None:
    text = "a line \x1b[31m with \x11 and \x03\r" * 5
    assert split(text) == [Pasted(text, bracketed=False)]


def test_the_short_end_of_a_burst_belongs_to_it() -> None:
    text = "a line\r" * 40
    assert split(text, "\x11 the end") == [Pasted(text, bracketed=False), Pasted("\x11 the end", bracketed=False)]


def test_a_burst_after_an_arrow_key_is_a_burst() -> None:
    text = "a line\r" * 40
    assert split("\x1b[A", text) == [Typed("\x1b[A"), Pasted(text, bracketed=False)]


def test_mouse_reports_and_keys_that_repeat_are_never_a_burst() -> None:
    reports = "\x1b[<35;10;10M" * 20 + "\x1bOP" * 20 + "\x1b[97;5u" * 20
    assert split(reports) == [Typed(reports)]


def test_keys_right_after_a_burst_are_keys() -> None:
    text = "a line\r" * 40
    assert split(text, "\x1b[A") == [Pasted(text, bracketed=False), Typed("\x1b[A")]
