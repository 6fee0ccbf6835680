"""What is drawn stays inert and in line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len, get_character_cell_size

from engine.text import drawable


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("\x1b[31mred\x07", "␛[31mred␇"),
        ("a\x00b\x7f", "a␀b␡"),
        ("\x9b2J", "�2J"),
        ("safe\u202egpj.exe", "safegpj.exe"),
        ("a\u2066b\u200fc", "abc"),
        ("👨\u200d👩\u200d👧", "👨👩👧"),
        ("❤\ufe0f", "❤"),
        ("👍🏽", "👍"),
        ("🇩🇪", "DE"),
        ("\ud800", "�"),
        ("tab\tand\nline stay", "tab\tand\nline stay"),
        ("e\u0301 日本 שלום", "e\u0301 日本 שלום"),
    ],
)
def test_what_a_terminal_would_act_on_or_draw_at_its_own_width_is_taken_apart(text: str, drawn: str) -> None:
    assert drawable(text) == drawn


@given(st.text())
def test_the_width_of_a_drawn_line_is_the_sum_of_its_characters(text: str) -> None:
    for line in drawable(text).replace("\t", " ").split("\n"):
        assert cell_len(line) == sum(get_character_cell_size(character) for character in line)


@given(st.text())
def test_nothing_that_is_drawn_is_a_control_character(text: str) -> None:
    assert not any((ord(character) < 32 and character not in "\n\t") or 0x7F <= ord(character) < 0xA0 for character in drawable(text))
