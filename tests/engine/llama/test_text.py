"""Tokens to text: bytes that arrive in halves, and stop strings that straddle tokens."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from engine.llama.text import PieceTable, StopScanner, TextStream, whole_text


def stream(pieces: Sequence[bytes], stops: Sequence[str] = ()) -> tuple[list[str], bool, str]:
    """What each piece made visible, whether a stop string came up, and the tail."""
    text = TextStream(PieceTable(len(pieces), lambda token: pieces[token]), stops)
    shown = []
    for token in range(len(pieces)):
        decoded = text.feed(token)
        shown.append(decoded.text)
        if decoded.stopped:
            return shown, True, text.finish(stopped=True)
    return shown, False, text.finish(stopped=False)


def test_a_character_split_over_tokens_appears_with_its_last_byte() -> None:
    emoji = "😀".encode()
    assert stream([b"a", emoji[:1], emoji[1:3], emoji[3:] + b"!"]) == (["a", "", "", "😀!"], False, "")


def test_an_unfinished_character_at_the_end_becomes_a_replacement() -> None:
    assert stream([b"ok", b"\xf0\x9f"]) == (["ok", ""], False, "\N{REPLACEMENT CHARACTER}")


def test_an_unfinished_character_of_a_cut_answer_is_left_out_and_completed_when_it_goes_on() -> None:
    pieces = [b"Hello ", *(bytes([byte]) for byte in "🎉".encode()), b" done."]
    table = PieceTable(len(pieces), lambda token: pieces[token])
    for cut in range(1, len(pieces)):
        first, rest = TextStream(table, ()), TextStream(table, (), range(cut))
        text = "".join(first.feed(token).text for token in range(cut)) + first.finish(stopped=False, cut=True)
        text += "".join(rest.feed(token).text for token in range(cut, len(pieces))) + rest.finish(stopped=False)
        assert text == "Hello 🎉 done."


def test_bytes_that_are_no_text_become_replacements_at_once() -> None:
    assert stream([b"\xff", b"a"]) == (["\N{REPLACEMENT CHARACTER}", "a"], False, "")


def test_a_stop_string_over_three_tokens_is_never_shown() -> None:
    assert stream([b"one <", b"|e", b"nd|> two"], ["<|end|>"]) == (["one ", "", ""], True, "")


def test_what_looked_like_a_stop_string_is_shown_when_it_is_none() -> None:
    assert stream([b"a <", b"|e", b"lse"], ["<|end|>"]) == (["a ", "", "<|else"], False, "")


def test_a_beginning_of_a_stop_string_at_the_end_is_the_tail() -> None:
    assert stream([b"a <|e"], ["<|end|>"]) == (["a "], False, "<|e")


def test_the_earliest_of_several_stop_strings_counts() -> None:
    assert stream([b"x STOP y END"], ["END", "STOP"]) == (["x "], True, "")


def test_an_empty_stop_string_stops_nothing() -> None:
    assert stream([b"text"], ["", ""]) == (["text"], False, "")


@given(
    st.text(alphabet="ab<|>", max_size=40),
    st.lists(st.integers(1, 5), max_size=20),
    st.lists(st.text("ab<|>", min_size=1, max_size=4), max_size=3),
)
def test_any_cut_of_a_text_shows_the_same(text: str, cuts: list[int], stops: list[str]) -> None:
    scanner = StopScanner(stops)
    shown, stopped, rest = "", False, text
    while rest and not stopped:
        size = cuts.pop() if cuts else len(rest)
        piece, rest = rest[:size], rest[size:]
        visible, stopped = scanner.feed(piece)
        shown += visible
    if not stopped:
        shown += scanner.flush()
    ends = [at for stop in stops if (at := text.find(stop)) >= 0]
    # A stop string counts as soon as it is whole, so one that ends earlier wins over one that begins earlier.
    assert stopped == bool(ends)
    assert text.startswith(shown)
    if not ends:
        assert shown == text


def test_whole_text_joins_bytes_before_it_decodes() -> None:
    pieces = ["é".encode()[:1], "é".encode()[1:]]
    assert whole_text(PieceTable(2, lambda token: pieces[token]), [0, 1]) == "é"
