"""Markdown is cut where it can be cut, and nothing of it is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.transcript.messages import Entry
from tui.transcript.pieces import LIST_LINES, Piece, split_markdown, split_plain


def sources(text: str, fence_lines: int = 8) -> list[str]:
    return [piece.source for piece in split_markdown(text, fence_lines=fence_lines)]


def test_each_top_level_block_is_a_piece() -> None:
    assert sources("# Title\n\ntext\nmore\n\n- a\n- b\n") == ["# Title\n", "text\nmore\n", "- a\n- b\n"]


def test_a_long_open_fence_is_cut_and_goes_on_with_the_same_language() -> None:
    pieces = split_markdown("```py\n" + "".join(f"x{n}\n" for n in range(30)), fence_lines=8)
    assert len(pieces) > 2
    assert all(piece.source.startswith("```py\n") for piece in pieces)
    assert [piece.closed for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    lines = [line for piece in pieces for line in piece.source.split("\n") if not line.startswith("```") and line]
    assert lines == [f"x{n}" for n in range(30)]


def test_a_fence_of_four_keeps_a_fence_of_three_inside() -> None:
    text = "````\n" + "```\ncode\n```\n" * 10 + "````"
    assert all(source.startswith("````\n") for source in sources(text))


def test_a_long_list_is_cut_between_its_items_only() -> None:
    text = "\n".join(f"{n}. item\n   with a second line" for n in range(1, 60))
    pieces = sources(text)
    assert len(pieces) > 1
    assert "\n".join(pieces) == text
    assert all(piece[0].isdigit() and piece.count("\n") >= LIST_LINES - 1 for piece in pieces[:-1])


def test_plain_text_is_cut_by_lines() -> None:
    text = "\n".join(map(str, range(120)))
    assert "\n".join(piece.source for piece in split_plain(text)) == text
    assert split_plain("") == [Piece("")]


@given(st.text(alphabet="ab `#-*>|~1.\n", max_size=300))
def test_no_text_is_lost_whatever_the_markdown(text: str) -> None:
    assert "\n".join(piece.source for piece in split_markdown(text, fence_lines=10**6)) == text


@given(st.text(alphabet="ab `#-*>|~1.\n\t", max_size=200), st.integers(1, 40))
def test_an_answer_that_grew_in_any_steps_has_all_its_text(text: str, step: int) -> None:
    entry = Entry.streaming(1)
    for begin in range(0, len(text), step):
        entry.grow(text[begin : begin + step], "", in_thinking=False)
    assert entry.text == text
    kept = "".join(block.source for block in entry.body)
    assert [c for c in kept if c in "ab1"] == [c for c in text if c in "ab1"]
