"""A session's title is one short line, whatever the first message was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chat.titles import MAX_TITLE_CELLS, session_title


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Why is the sky blue?", "Why is the sky blue?"),
        ("  two\n\n lines\tand a tab ", "two lines and a tab"),
        ("red \x1b[31malert\x07\x00", "red [31malert"),
        ("over\u202eride\ufeff", "override"),
        ("", ""),
        ("\n\x1b", ""),
        ("👩‍👩‍👧 family", "👩‍👩‍👧 family"),
    ],
)
def test_it_is_one_clean_line(message: str, title: str) -> None:
    assert session_title(message) == title


def test_a_long_one_ends_after_a_word() -> None:
    assert session_title("word " * 30) == "word " * 11 + "word…"
    assert session_title("alphabet soup", 10) == "alphabet…"


def test_a_long_word_is_cut() -> None:
    assert session_title("x" * 100) == "x" * 59 + "…"


def test_wide_characters_count_twice() -> None:
    assert session_title("漢" * 40) == "漢" * 29 + "…"
    assert session_title("漢" * 30) == "漢" * 30


def test_megabytes_are_not_read_to_their_end() -> None:
    assert session_title("a" * 2_000_000).endswith("…")


@given(st.text(max_size=200))
def test_it_never_breaks_a_line_or_the_limit(message: str) -> None:
    title = session_title(message)
    assert len(title) <= MAX_TITLE_CELLS + sum(not character.isprintable() or not character.isascii() for character in title)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in title)
