"""The panel in the real program on a real terminal."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ggufs
from tests.e2e.conftest import Run
from tests.e2e.terminal import TIMEOUT_S, Terminal

pytestmark = pytest.mark.e2e

Start = Callable[..., Terminal]

CTRL_G, CTRL_Q, ENTER, ESCAPE, SHIFT_TAB = "\x07", "\x11", "\r", "\x1b", "\x1b[Z"
WORDS = [f" word{number}" for number in range(1000)]
RESIZES_PER_S = 40
SIZES = ((200, 50), (81, 25), (120, 36), (40, 10), (99, 41), (8, 3), (160, 20), (37, 60), (100, 26), (1, 1))


@pytest.fixture
def wordy(tmp_path: Path) -> Path:
    """A model that goes on for 1,000 words, some hundreds a second."""
    return ggufs.scripted(tmp_path / "scripted.gguf", WORDS, layers=12)


def ready(program: Terminal) -> None:
    program.wait_for(lambda text: "scripted" in text.splitlines()[-2] and "loading" not in text and "starting" not in text)


def ask(program: Terminal) -> None:
    program.type("go")
    program.wait_for("go")
    program.type(ENTER)


def leave(program: Terminal) -> None:
    program.type(CTRL_Q)
    assert program.wait_for_exit() == 0


def test_a_window_resized_forty_times_a_second_stays_responsive_and_loses_nothing(terminal: Start, xchat: Run, wordy: Path) -> None:
    program = terminal(str(wordy), "--temp", "0")
    ready(program)
    program.wait_for("1 Speed")
    ask(program)
    program.wait_for("word9")
    sizes = itertools.cycle(SIZES)

    def resize_until(happened: Callable[[], bool]) -> bool:
        for _ in range(int(TIMEOUT_S * RESIZES_PER_S)):
            program.resize(*next(sizes))
            program.drain(1 / RESIZES_PER_S)
            if happened():
                return True
        return False

    for key in "§¶¤":
        sent = len(program.raw)
        program.type(key)
        assert resize_until(lambda key=key, sent=sent: key.encode() in program.raw[sent:]), "no echo while the window changes"  # type: ignore[misc]

    program.resize(120, 40)
    program.wait_for(lambda text: "word999" in text and "first token after" in text and "§¶¤" in text and "1 Speed" in text)
    leave(program)
    (logged,) = json.loads(xchat("sessions", "show", "last", "--json").stdout)["turns"]
    assert (logged["predicted_n"], logged["stop_reason"]) == (len(WORDS), "eog")


def test_on_an_ordinary_small_terminal_the_panel_comes_with_one_key_and_goes_with_the_same(terminal: Start, wordy: Path) -> None:
    program = terminal(str(wordy), "--temp", "0", columns=80, rows=24)
    ready(program)
    ask(program)
    program.wait_for("word9")
    program.type(CTRL_G)
    program.wait_for(lambda text: "1 Speed" in text and "4 CPU" in text and "? Explain" in text.splitlines()[-1])
    program.type("?")
    program.wait_for("Speed: explanation")
    program.type(ESCAPE)
    program.wait_for(lambda text: "Speed: explanation" not in text)
    program.type(CTRL_G)
    program.wait_for(lambda text: "1 Speed" not in text and "word" in text)
    program.type("back at the message")
    program.wait_for("back at the message")
    leave(program)


def test_a_wide_terminal_shows_all_nine_panes(terminal: Start, wordy: Path) -> None:
    program = terminal(str(wordy), "--temp", "0", columns=200, rows=50)
    ready(program)
    program.wait_for(lambda text: all(f"{number} {title}" in text for number, title in ((1, "Speed"), (5, "Latency"), (9, "Events"))))
    program.type(SHIFT_TAB)
    program.wait_for("? Explain")
    program.type(ESCAPE)
    program.wait_for("F3 Models")
    leave(program)
