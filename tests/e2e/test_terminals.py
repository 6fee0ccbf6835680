"""Somebody else's terminal: its colours, its encoding, its size, what it says to queries, and what it does not say."""

from __future__ import annotations

import base64
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ggufs
from tests.e2e.terminal import XCHAT, Terminal
from tui.terminal.round_trip import HOLD_S

pytestmark = pytest.mark.e2e

Start = Callable[..., Terminal]

PROMPT = "Message, / for commands, @ for files"
CTRL_Q, CTRL_U, CTRL_Y, CTRL_Z, ENTER = "\x11", "\x15", "\x19", "\x1a", "\r"
EXACT, OF_256 = re.compile(rb"\x1b\[[0-9;]*[34]8;2;"), re.compile(rb"\x1b\[[0-9;]*[34]8;5;")


def ready(program: Terminal) -> None:
    """Wait until the model is loaded."""
    program.wait_for(lambda text: "scripted" in text.splitlines()[-2] and "loading" not in text and "starting" not in text)


def leave(program: Terminal) -> None:
    program.type(CTRL_Q)
    assert program.wait_for_exit() == 0


def told(program: Terminal, text: str = "go", *, until: str = "end.") -> str:
    """Send a message and wait for the end of the answer."""
    program.type(text)
    program.wait_for(text)
    program.type(ENTER)
    return program.wait_for(until)


@pytest.mark.parametrize(
    ("variables", "depth"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "exact"),
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm"}, "256"),
        ({"TERM": "screen"}, "256"),
        ({"TERM": "tmux-256color", "TMUX": "/nowhere,1,0"}, "exact"),
        ({"TERM": "linux"}, "16"),
        ({"TERM": "vt100"}, "16"),
        ({"TERM": None}, "256"),
        ({"TERM": "a-terminal-nobody-knows"}, "256"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"}, "16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(str(part) for part in value.values()),
)
def test_colours_are_as_many_as_the_terminal_has(terminal: Start, scripted: Path, variables: dict[str, str | None], depth: str) -> None:
    program = terminal(str(scripted), "--temp", "0", environment={"COLORTERM": None, **variables})
    ready(program)
    told(program)
    leave(program)
    exact, of_256 = EXACT.search(program.raw) is not None, OF_256.search(program.raw) is not None
    assert (exact, of_256) == {"exact": (True, False), "256": (False, True), "16": (False, False)}[depth]


def test_without_colours_nothing_is_told_by_colour_alone(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0", environment={"COLORTERM": "truecolor", "NO_COLOR": "1"})
    ready(program)
    told(program)
    leave(program)
    styles = {code for sequence in re.findall(rb"\x1b\[([0-9;]*)m", program.raw) for code in sequence.split(b";")}
    assert styles <= {b"", b"0", b"1", b"2", b"3", b"4", b"7", b"9", b"39", b"49"}, "the terminal's own two colours, and signs"


def test_a_dumb_terminal_is_told_what_to_do(terminal: Start) -> None:
    program = terminal(environment={"TERM": "dumb"})
    assert program.wait_for_exit() == 2
    assert b"xchat ask" in program.raw
    assert b"\x1b[?1049h" not in program.raw


def test_without_utf8_everything_is_drawn_in_ascii_and_the_columns_stay_in_line(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0", environment={"LC_ALL": "POSIX", "LANG": "POSIX", "PYTHONCOERCECLOCALE": "0"})
    ready(program)
    screen = told(program)
    assert bytes(program.raw).isascii()
    box = [line for line in screen.splitlines() if line.startswith("+")]
    assert len(box) == 2
    assert {len(line) for line in box} == {120}
    assert "??" in screen, "the emoji has two columns"
    leave(program)


@pytest.mark.parametrize("size", [(0, 0), (0, 24), (80, 0)])
def test_a_window_without_a_size_is_taken_for_an_ordinary_one(terminal: Start, scripted: Path, size: tuple[int, int]) -> None:
    columns, rows = size
    sized = 'stty cols "$1" rows "$2"; shift 2; exec "$@"'
    program = terminal("-c", sized, "sh", str(columns), str(rows), *XCHAT, str(scripted), "--temp", "0", command=["sh"])
    program.wait_for("Message")
    program.resize(100, 30)
    program.wait_for(lambda text: "scripted" in text and "loading" not in text)
    told(program)
    leave(program)


def test_a_window_dragged_back_and_forth_shows_everything_again(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0")
    ready(program)
    told(program)
    for columns, rows in ((40, 10), (200, 50), (41, 11), (120, 36), (40, 10), (120, 36)):
        program.resize(columns, rows)
        program.kill(signal.SIGWINCH)
    program.wait_for(lambda text: "end." in text and PROMPT in text and "scripted" in text.splitlines()[-2])
    leave(program)


def test_a_closed_input_is_refused(terminal: Start) -> None:
    program = terminal("-c", 'exec "$@" <&-', "sh", *XCHAT, command=["sh"])
    assert program.wait_for_exit() == 2
    assert b"terminal" in program.raw
    assert b"Traceback" not in program.raw


def test_a_terminal_that_answers_nothing_works_as_well(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0", answers=())
    ready(program)
    told(program)
    assert program.raw.count(b"\x1b[c") == 1, "it was asked again and again"
    leave(program)


def test_answers_that_come_late_and_torn_are_not_taken_for_typing(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0", answers=())
    ready(program)
    while True:
        began = time.monotonic()
        for piece in ("he", "\x1b[?2026;2$y", "l", "\x1b", "[", "?62;2", "2c", "lo", " you"):
            program.type(piece)
        if time.monotonic() - began < HOLD_S:
            break
        program.wait_for("you")  # this machine paused between two pieces, as no line does: nothing can be learnt from it
        program.type(CTRL_U)
        program.wait_for(PROMPT)
    screen = told(program, "!")
    assert "hello you!" in screen
    leave(program)


def test_keys_arrive_when_the_line_tears_their_sequences_apart(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0", environment={"SSH_CONNECTION": "1 2 3 4"})
    ready(program)
    told(program, "earlier")
    program.wait_for("tokens/s")
    for byte in "\x1b[A":
        program.type(byte)
    program.wait_for(lambda text: "│ earlier" in text)
    for byte in "\x1b[200~ and \x1b[31m more\rtext\x1b[201~":
        program.type(byte)
    screen = program.wait_for("│ text")
    assert "earlier and ␛[31m more" in screen, screen
    leave(program)


def test_ctrl_z_gives_the_terminal_back_and_fg_draws_everything_again(terminal: Start, scripted: Path) -> None:
    shell = terminal("--norc", "--noprofile", "-i", command=["bash"], environment={"PS1": "shell> "})
    shell.wait_for("shell>")
    shell.type(" ".join([*XCHAT, str(scripted), "--temp", "0"]) + ENTER)
    ready(shell)
    told(shell)
    shell.type(CTRL_Z)
    shell.wait_for("Stopped")
    assert b"\x1b[?1049l" in shell.raw
    shell.type("echo still $((40 + 2))" + ENTER)
    shell.wait_for("still 42")
    before = len(shell.raw)
    shell.type("fg" + ENTER)
    shell.wait_for(lambda _: b"\x1b[?1049h" in shell.raw[before:] and b"essage, /" in shell.raw[before:])
    shell.wait_for(lambda text: "end." in text and "still 42" not in text)
    shell.type("here again")
    shell.wait_for("here again")
    shell.type(CTRL_Q)
    shell.wait_for("shell>")


def test_no_mouse_leaves_the_mouse_to_the_terminal(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--no-mouse")
    ready(program)
    leave(program)
    assert b"\x1b[?1003h" not in program.raw
    assert b"\x1b[?1000h" not in program.raw


def test_copying_goes_to_the_terminal_and_says_so(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0")
    ready(program)
    told(program)
    program.wait_for("tokens/s")
    program.type(CTRL_Y)
    program.wait_for("OSC 52")
    (copied,) = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", program.raw)
    assert base64.b64decode(copied).decode().startswith("One two three")
    leave(program)


def test_a_text_too_long_for_the_terminal_goes_to_a_file_whose_path_is_said(
    terminal: Start, tmp_path: Path, isolated_machine: Path
) -> None:
    model = ggufs.scripted(tmp_path / "scripted.gguf", [f" {'long' * 40}{number}" for number in range(500)])
    program = terminal(str(model), "--temp", "0", columns=160)
    ready(program)
    told(program, until="tokens/s")
    program.type(CTRL_Y)
    program.wait_for("copied.txt")
    (copied,) = (isolated_machine / "state").rglob("copied.txt")
    assert copied.read_text().endswith("long499")
    assert copied.stat().st_mode & 0o777 == 0o600
    assert b"]52;" not in program.raw
    leave(program)


def test_changed_keys_work_and_clashes_are_told(terminal: Start, scripted: Path, isolated_machine: Path) -> None:
    config = isolated_machine / "config" / "xchat" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[keys]\nhelp = "f5"\ncopy_message = "ctrl+q"\nquit = []\nfly = "f7"\n')
    program = terminal(str(scripted), "--temp", "0", columns=160)
    ready(program)
    program.type("\x1bi")  # the list of notices
    screen = program.wait_for(lambda text: "fly" in text and "can't be left without a key" in text)
    assert "F5 is now Help" in screen
    program.type("\x1b")
    program.type("\x1b[15~")
    program.wait_for("─ Help ─")
    program.type("\x1b")
    program.type("\x1b[21~")
    assert program.wait_for_exit() == 0


def test_xchat_keys_shows_what_arrives(terminal: Start) -> None:
    program = terminal("keys")
    program.wait_for("Press keys")
    for keys, shown in (("\x12", "ctrl+r"), ("\x1b[15~", "f5"), ("\x1by", "alt+y"), ("ä", "ä")):
        program.type(keys)
        program.wait_for(shown)
    program.type("q")
    assert program.wait_for_exit() == 0
