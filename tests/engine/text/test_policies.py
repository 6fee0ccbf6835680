"""One corpus of hostile strings through every policy: nothing that acts gets through, and what people write stays readable."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given

from engine import text as room
from engine.text import clean_title, drawable, file_name, one_line, printable, storable, visible
from tests.hostile import HOSTILE, JOINED, ORDINARY, acting, texts

ALLOWED: dict[Callable[[str], str], dict[str, bool]] = {
    visible: {"lines": True, "joiners": True, "breaks": True},
    drawable: {"lines": True},
    one_line: {},
    printable: {"joiners": True},
    clean_title: {"joiners": True},
    lambda text: file_name(Path(text.replace("/", ""))): {"joiners": True},
}
EVERY = "".join(map(chr, range(0x110000)))
LETTERS_OF_FLAGS = {0x1F1E6 + index: chr(ord("A") + index) for index in range(26)}
"""Where columns matter, half a flag is drawn as the letter it stands for."""

policies = pytest.mark.parametrize("policy", ALLOWED)


def test_every_policy_of_the_room_is_tried() -> None:
    assert len(ALLOWED) + len({storable}) == sum(callable(getattr(room, name)) for name in room.__all__)


@policies
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_the_corpus_acts(policy: Callable[[str], str], text: str) -> None:
    assert not acting(policy(text), **ALLOWED[policy])


@policies
@given(text=texts)
def test_nothing_that_can_be_thought_of_acts(policy: Callable[[str], str], text: str) -> None:
    cleaned = policy(text)
    assert not acting(cleaned, **ALLOWED[policy])
    cleaned.encode()


@pytest.mark.slow
@pytest.mark.parametrize("policy", [visible, drawable, one_line, lambda text: printable(text, len(EVERY))])
def test_no_code_point_of_unicode_acts(policy: Callable[[str], str]) -> None:
    assert not acting(policy(EVERY), lines=policy in (visible, drawable), joiners=True, breaks=True)


@policies
@pytest.mark.parametrize("text", ORDINARY)
def test_what_people_write_stays_as_it_is(policy: Callable[[str], str], text: str) -> None:
    assert policy(text) == text


@pytest.mark.parametrize("policy", [visible, printable, clean_title])
@pytest.mark.parametrize("text", JOINED)
def test_joined_emoji_and_letters_stay_joined_where_columns_do_not_matter(policy: Callable[[str], str], text: str) -> None:
    assert policy(text) == text


def test_a_text_is_not_smuggled_in_marks_that_choose_a_form() -> None:
    smuggled = "x" + "".join(chr(0xE0100 + byte) for byte in b"do this")
    assert visible(smuggled) == smuggled[:2]
    assert visible("葛\U000e0100飾区") == "葛\U000e0100飾区"


@pytest.mark.parametrize("policy", [visible, drawable])
@given(text=texts)
@example(text="🇦 and 🇩🇪")
def test_letters_and_line_breaks_are_never_lost(policy: Callable[[str], str], text: str) -> None:
    def letters(of: str) -> list[str]:
        return [character for character in of.translate(LETTERS_OF_FLAGS) if character.isalnum() or character == "\n"]

    assert letters(policy(text)) == letters(text.replace("\u2028", "\n").replace("\u2029", "\n"))


def test_names_and_titles_stay_on_one_line_of_bounded_length() -> None:
    assert printable("a\x1b[31mb\x9b2J\u202e\n\x7f") == "a␛[31mb�2J�␊␡"
    assert printable("x" * 500, 100) == "x" * 99 + "…"
    assert clean_title(" two\nlines \x1b]0;x\x07 ") == "two lines ]0;x"
    assert len(clean_title("wide " * 1_000)) <= room.TITLE_LENGTH


def test_halves_of_pairs_are_joined_where_the_text_is_kept() -> None:
    assert storable("\ud83e\udd99 \ud83e") == "🦙 \ufffd"


def test_the_room_imports_nothing_of_ours() -> None:
    script = "import sys, engine.text; print([name for name in sys.modules if name.startswith(('engine', 'tui'))])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert sorted(eval(done.stdout)) == ["engine", "engine.text", "engine.text.policies", "engine.text.tables"]
