"""Colours and drawing follow what the terminal says of itself."""

from __future__ import annotations

import pytest

from engine.errors import UsageError
from tui.terminal.ascii import ASCII_DRAWING
from tui.terminal.terminal import colour_depth, prepare_environment, read_terminal


@pytest.mark.parametrize(
    ("environ", "depth"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "truecolor"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "screen", "TMUX": "/tmp/tmux,1,0"}, "truecolor"),
        ({"TERM": "screen"}, "256"),
        ({"TERM": "screen-256color"}, "256"),
        ({"TERM": "xterm"}, "256"),
        ({"TERM": "linux"}, "16"),
        ({"TERM": "vt220"}, "16"),
        ({"TERM": "xterm-kitty"}, "truecolor"),
        ({}, "256"),
        ({"TERM": "nobody-knows"}, "256"),
    ],
)
def test_the_colour_depth_is_right_without_colorterm(environ: dict[str, str], depth: str) -> None:
    assert colour_depth(environ) == depth


def test_a_terminal_without_a_cursor_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="xchat ask"):
        read_terminal({"TERM": "dumb"}, encoding="utf-8")


def test_the_linux_console_has_no_braille_and_a_locale_without_utf8_no_lines() -> None:
    console = read_terminal({"TERM": "linux"}, encoding="utf-8")
    assert (console.unicode, console.braille) == (True, False)
    latin = read_terminal({"TERM": "xterm-256color"}, encoding="iso8859-1")
    assert (latin.unicode, latin.braille) == (False, False)


def test_over_ssh_textual_is_told_to_be_calm_but_the_persons_own_settings_stay() -> None:
    environ = {"TERM": "xterm-256color", "SSH_CONNECTION": "1 2 3 4", "TEXTUAL_ANIMATIONS": "full"}
    terminal = prepare_environment(environ, encoding="utf-8")
    assert terminal.remote
    assert environ["TEXTUAL_ANIMATIONS"] == "full"
    assert environ["TEXTUAL_SMOOTH_SCROLL"] == "0"
    assert environ["TEXTUAL_COLOR_SYSTEM"] == "256"


def test_a_missing_term_is_filled_in() -> None:
    environ: dict[str, str] = {}
    prepare_environment(environ, encoding="utf-8")
    assert environ["TERM"] == "xterm"


def test_every_ascii_stand_in_takes_one_cell() -> None:
    assert all(len(sign) == 1 and sign.isascii() for sign in ASCII_DRAWING.values())
    assert "╭─│▎⣿⠀".translate(ASCII_DRAWING) == "+-||# "
