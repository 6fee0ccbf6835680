"""xchat in tmux: it starts it, survives a lost terminal in it, comes back to it, and copies into its buffer."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ggufs
from tests.bench.neighbours import neighbours
from tests.e2e.terminal import XCHAT, Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.tmux, pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")]

Start = Callable[..., Terminal]

PROMPT = "Message, / for commands, @ for files"
ANSWERING_S = 6.5
"""Over twice as long as a line must be behind to be called slow."""
F2, F3 = "\x1bOQ", "\x1bOR"
CTRL_B, CTRL_Q, CTRL_Y, ENTER, ESCAPE = "\x02", "\x11", "\x19", "\r", "\x1b"


@pytest.fixture
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Run a command of a tmux server of the test's own, which xchat finds too; returns what it printed."""
    sockets = tmp_path / "tmux"
    sockets.mkdir(mode=0o700)
    monkeypatch.setenv("TMUX_TMPDIR", str(sockets))
    monkeypatch.delenv("TMUX", raising=False)
    tmux_program = shutil.which("tmux") or "tmux"

    def run(*arguments: str) -> str:
        return subprocess.run([tmux_program, *arguments], capture_output=True, text=True, check=False).stdout

    yield run
    run("kill-server")


@pytest.fixture
def wordy(tmp_path: Path) -> Path:
    """A model that counts to 1,500, at the pace of a real one."""
    return ggufs.scripted(tmp_path / "scripted.gguf", [f" word{number}" for number in range(1500)], layers=20)


def ready(program: Terminal) -> None:
    program.wait_for(lambda text: "scripted" in text and PROMPT in text and "loading" not in text and "starting" not in text)


def ask(program: Terminal, text: str = "go") -> None:
    program.type(text)
    program.wait_for(text)
    program.type(ENTER)


def test_a_lost_terminal_does_not_end_the_answer_and_the_same_command_comes_back_to_it(
    terminal: Start, tmux: Callable[..., str], wordy: Path
) -> None:
    first = terminal("--tmux", str(wordy), "--temp", "0")
    ready(first)
    ask(first)
    first.wait_for("word30")
    first.hang_up()
    again = terminal("--tmux", str(wordy), "--temp", "0")
    again.wait_for("word300")
    again.type(ESCAPE)
    again.wait_for("Stopped")
    again.type(CTRL_Q)
    again.wait_for_exit()
    assert tmux("list-sessions") == ""


def test_beside_four_busy_processes_tmux_is_not_a_slow_line(terminal: Start, tmux: Callable[..., str], wordy: Path) -> None:
    with neighbours("cpu", 4):
        program = terminal("--tmux", str(wordy), "--temp", "0")
        ready(program)
        ask(program)
        program.wait_for("answering")
        seen = [program.text]
        end = time.monotonic() + ANSWERING_S
        while time.monotonic() < end and "answering" in program.text:
            program.wait_for_news()
            seen.append(program.text)
        assert not any("slow line" in text or "connection is slow" in text for text in seen)
        assert any("word10 " in text for text in seen)
        program.type(CTRL_Q)
        program.wait_for_exit()


def test_inside_tmux_the_option_changes_nothing(terminal: Start, tmux: Callable[..., str], scripted: Path) -> None:
    command = shlex.join([*XCHAT, "--tmux", str(scripted), "--temp", "0"])
    program = terminal("new-session", "-s", "mine", command, command=["tmux"])
    ready(program)
    assert tmux("list-sessions", "-F", "#{session_name}").split() == ["mine"]
    program.type(CTRL_Q)
    program.wait_for_exit()


@pytest.mark.parametrize("columns", [4, 3, 2])
def test_in_a_few_columns_it_starts_opens_lists_and_quits(
    terminal: Start, tmux: Callable[..., str], scripted: Path, tmp_path: Path, columns: int
) -> None:
    ended = tmp_path / "ended"
    command = f"{shlex.join([*XCHAT, str(scripted), '--temp', '0'])}; echo $? > {shlex.quote(str(ended))}"
    program = terminal("new-session", command, ";", "set", "status", "off", command=["tmux"], columns=columns, rows=24)

    def narrow() -> None:
        program.resize(columns, 24)
        program.wait_for(lambda text: "".join(text.split()) == "Toonarrow")

    narrow()
    program.resize(80, 24)
    ready(program)
    narrow()
    for key, title in ((F2, "Sessions"), (F3, "Models")):
        program.type(key)
        program.resize(80, 24)
        program.wait_for(title)
        program.type(ESCAPE)
        program.wait_for(PROMPT)
        narrow()
    program.type(CTRL_Q)
    program.wait_for_exit()
    assert ended.read_text() == "0\n"


def test_the_options_are_kept_on_the_way_into_tmux(terminal: Start, tmux: Callable[..., str], scripted: Path) -> None:
    program = terminal("--tmux", str(scripted), "--temp", "0", "--system", "two words; $HOME 'and' quotes")
    ready(program)
    ask(program, "/system")
    program.wait_for("two words; $HOME 'and' quotes")
    program.type(CTRL_Q)
    program.wait_for_exit()


def test_without_tmux_the_option_is_refused(terminal: Start, tmp_path: Path) -> None:
    program = terminal("--tmux", environment={"PATH": str(tmp_path)})
    assert program.wait_for_exit() == 2
    assert b"tmux is not installed" in program.raw


def test_copying_fills_tmuxs_buffer_and_says_so(terminal: Start, tmux: Callable[..., str], scripted: Path) -> None:
    program = terminal("--tmux", str(scripted), "--temp", "0")
    ready(program)
    ask(program)
    program.wait_for("end.")
    program.type(CTRL_Y)
    program.wait_for("tmux's buffer")
    assert tmux("show-buffer").startswith("One two three")
    program.type(CTRL_Q)
    program.wait_for_exit()


@pytest.mark.parametrize("bracketed", [True, False])
def test_five_thousand_pasted_lines_are_text_and_nothing_is_sent(
    terminal: Start, tmux: Callable[..., str], scripted: Path, tmp_path: Path, bracketed: bool
) -> None:
    program = terminal("--tmux", str(scripted), "--temp", "0")
    ready(program)
    pasted = tmp_path / "pasted.txt"
    pasted.write_text("".join(f"line {number} \x1b[31m\n" for number in range(5000)) + "the last one")
    tmux("load-buffer", str(pasted))
    tmux("paste-buffer", *(["-p"] if bracketed else []))
    program.wait_for("the last one")
    program.wait_for("line 4999 ␛[31m")
    assert not any(line.strip("▎ ") == "You" for line in program.text.splitlines()), "the conversation is still empty"
    program.type(CTRL_Q)
    program.wait_for_exit()


def test_tmux_gets_exact_colours_and_is_not_asked_for_them_in_vain(terminal: Start, tmux: Callable[..., str], scripted: Path) -> None:
    program = terminal("--tmux", str(scripted), "--temp", "0", environment={"COLORTERM": None})
    ready(program)
    tmux("pipe-pane", "-o", f"cat > {shlex.quote(os.environ['TMUX_TMPDIR'])}/raw")
    ask(program)
    program.wait_for("end.")
    program.type(CTRL_Q)
    program.wait_for_exit()
    assert b"38;2;" in Path(os.environ["TMUX_TMPDIR"], "raw").read_bytes()
    assert b"38;2;" not in program.raw, "the terminal outside has 256 colours"


def test_keys_that_xchat_uses_arrive_through_tmux(terminal: Start, tmux: Callable[..., str]) -> None:
    program = terminal("new-session", shlex.join([sys.executable, "-m", "tui.cli.main", "keys"]), command=["tmux"])
    program.wait_for("Press keys")
    for sent, shown in (
        ("\x0a", "ctrl+j"),
        ("\x1by", "alt+y"),
        ("\x1b[1;5A", "ctrl+up"),
        ("\x1b[1;5F", "ctrl+end"),
        ("\x1b[21~", "f10"),
        ("\x1bOP", "f1"),
        ("\x1a", "ctrl+z"),
    ):
        program.type(sent)
        program.wait_for(shown)
    program.type("q")
    program.wait_for_exit()
