"""xchat through a real SSH server: slow lines, lines that die, and what a person sees meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests import ggufs
from tests.e2e import ssh
from tests.e2e.conftest import Run
from tests.e2e.terminal import XCHAT, Terminal

pytestmark = [pytest.mark.e2e, pytest.mark.ssh, pytest.mark.skipif(bool(ssh.missing()), reason=ssh.missing() or "never")]

Start = Callable[..., Terminal]

CTRL_Q, ENTER, ESCAPE, PAGE_UP, PAGE_DOWN, CTRL_END = "\x11", "\r", "\x1b", "\x1b[5~", "\x1b[6~", "\x1b[1;5F"
PROMPT = "Message, / for commands, @ for files"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ssh.Host]:
    folder = tmp_path / "ssh"
    folder.mkdir()
    with ssh.server(folder) as one:
        yield one


@pytest.fixture
def wordy(tmp_path: Path) -> Path:
    """A model that counts to 1,500."""
    return ggufs.scripted(tmp_path / "scripted.gguf", [f" word{number}" for number in range(1500)], layers=20)


@pytest.fixture
def steady(tmp_path: Path) -> Path:
    """The same at the pace of a real model, so that the answer outlasts what happens to the line."""
    return ggufs.scripted(tmp_path / "scripted-steady.gguf", [f" word{number}" for number in range(1500)], layers=60)


def ready(program: Terminal) -> None:
    program.wait_for(lambda text: "scripted" in text.splitlines()[-2] and "loading" not in text and "starting" not in text)


def ask(program: Terminal, text: str = "go") -> None:
    program.type(text)
    program.wait_for(text)
    program.type(ENTER)


def leave(program: Terminal) -> None:
    program.type(CTRL_Q)
    program.wait_for_exit()
    assert b"\x1b[?1049l" in program.raw


def still_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def pids(model: Path) -> set[int]:
    """Processes of xchat on this model, at the far end."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline", "name"])
        if str(model) in (process.info["cmdline"] or ()) and process.info["name"] not in {"ssh", "sshd", "sh", "bash"}
    }


def gone(pid: int, within_s: float) -> bool:
    """Wait for a process that is not ours to end."""
    deadline = time.monotonic() + within_s
    while still_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not still_running(pid)


def test_over_ssh_a_session_sends_few_bytes_and_is_quiet_at_rest(terminal: Start, host: ssh.Host, scripted: Path) -> None:
    program = terminal(command=host.command([*XCHAT, str(scripted), "--temp", "0"]), columns=120, rows=40, environment={"COLORTERM": None})
    ready(program)
    program.wait_for("1 Speed")
    assert len(program.raw) < 30_000, "the start"
    ask(program)
    program.wait_for("tokens/s")
    for _ in range(20):
        before = len(program.raw)
        program.drain(1.5)
        if len(program.raw) == before:
            break
    program.type("x")
    program.wait_for("│ x")
    assert len(program.raw) - before < 1500, "a key, and at most a tick of the panel"
    leave(program)


def test_on_a_line_that_takes_little_the_text_comes_through_and_keys_echo(terminal: Start, host: ssh.Host, wordy: Path) -> None:
    with ssh.slow_line(host, round_trip_ms=160, bytes_per_s=8000) as line:
        program = terminal(command=line.host.command([*XCHAT, str(wordy), "--temp", "0"]), columns=120, rows=40)
        ready(program)
        ask(program)
        program.wait_for("word100")
        began = time.monotonic()
        program.type("§")
        program.wait_for("§")
        assert time.monotonic() - began < 5, "generous: machines are busy; measured by the benches"
        program.type("\x7f" + ESCAPE)
        program.wait_for("Stopped")
        leave(program)


def test_a_person_who_scrolls_faster_than_the_line_sees_where_it_ended(terminal: Start, host: ssh.Host, wordy: Path) -> None:
    with ssh.slow_line(host, round_trip_ms=100, bytes_per_s=6000) as line:
        program = terminal(command=line.host.command([*XCHAT, str(wordy), "--temp", "0"]), columns=100, rows=30)
        ready(program)
        ask(program)
        program.wait_for("word1499", timeout=120)
        program.wait_for("tokens/s")
        for key in [PAGE_UP, PAGE_DOWN] * 20 + [PAGE_UP] * 60:
            program.type(key)
        program.wait_for(lambda text: "You" in text and "word0 word1 " in text)
        program.type(CTRL_END)
        program.wait_for(lambda text: "word1499" in text and "tokens/s" in text and "word0 " not in text)
        leave(program)


def test_a_slow_line_is_noticed_and_spared(terminal: Start, host: ssh.Host, steady: Path) -> None:
    with ssh.slow_line(host, round_trip_ms=100, bytes_per_s=1500) as line:
        program = terminal(command=line.host.command([*XCHAT, str(steady), "--temp", "0"]), columns=80, rows=24)
        ready(program)
        ask(program)
        program.wait_for("slow line")
        program.type(ESCAPE)
        program.wait_for("Stopped")
        leave(program)


@pytest.mark.parametrize("how", ["the connection drops", "the line goes silent"])
def test_a_lost_line_saves_the_partial_answer_and_leaves_no_process(
    terminal: Start, host: ssh.Host, steady: Path, xchat: Run, how: str
) -> None:
    with ssh.slow_line(host, round_trip_ms=20) as line:
        options = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2")
        program = terminal(command=line.host.command([*XCHAT, str(steady), "--temp", "0"], options=options))
        ready(program)
        ask(program)
        program.wait_for("word30")
        (far,) = pids(steady)
        if how == "the connection drops":
            line.process.kill()
        else:
            line.cut()
            program.wait_for_exit()
            line.process.kill()
        assert gone(far, within_s=5)

    (session,) = json.loads(xchat("sessions", "list", "--json").stdout)
    saved = json.loads(xchat("sessions", "show", str(session["id"]), "--json").stdout)
    (turn,) = saved["turns"]
    assert turn["stop_reason"] == "cancelled"
    assert turn["predicted_n"] >= 30
    last_word = saved["messages"][-1]["text"].split()[-1]

    again = terminal(command=host.command([*XCHAT, str(steady), "--temp", "0", "--resume"]))
    again.wait_for(last_word)
    leave(again)


def test_compression_of_ssh_and_few_bytes_go_together(terminal: Start, host: ssh.Host, scripted: Path) -> None:
    program = terminal(command=host.command([*XCHAT, str(scripted), "--temp", "0", "--low-bandwidth"], options=("-C",)))
    ready(program)
    ask(program)
    program.wait_for("end.")
    assert b"8;2;" not in program.raw
    leave(program)
