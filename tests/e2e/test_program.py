"""The real program in a real terminal, on the built-in model and on tiny files: no fake in it."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests import ggufs
from tests.e2e.conftest import Run
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.e2e

Start = Callable[..., Terminal]

PROMPT = "Message, / for commands, @ for files"
CTRL_C, CTRL_N, CTRL_Q, CTRL_R, ENTER = "\x03", "\x0e", "\x11", "\x12", "\r"


@pytest.fixture
def long_model(tmp_path: Path) -> Path:
    """A model that goes on for 1,500 words, some hundreds a second."""
    return ggufs.scripted(tmp_path / "scripted.gguf", [f" word{number}" for number in range(1500)], n_ctx=2048, layers=16)


def ask(terminal: Terminal, text: str) -> None:
    """Type a message as a person does: the text, and Enter once it is on the screen."""
    terminal.type(text)
    terminal.wait_for(text[:40])
    terminal.type(ENTER)


def ready(terminal: Terminal, model: str) -> None:
    """Wait until the model is loaded."""
    terminal.wait_for(lambda text: PROMPT in text and model in text.splitlines()[-2] and "loading" not in text)


def answered(terminal: Terminal, answers: int = 1) -> None:
    """Wait until so many answers on the screen have their line of figures."""
    terminal.wait_for(lambda text: text.count("first token after") >= answers)


def answering(terminal: Terminal) -> None:
    """Wait until the long model has said some words."""
    terminal.wait_for(lambda text: re.search(r"word\d\d", text) is not None)


def said(text: str, model: str) -> str:
    """What stands below the last line with the model's name: its answer so far."""
    conversation = [line.partition("│")[0].strip() for line in text.partition("╭")[0].splitlines()]
    labels = [row for row, line in enumerate(conversation) if line == model or line.startswith(f"{model}  ")]
    return " ".join(conversation[labels[-1] + 1 :]) if labels else ""


def stop_in_mid_answer(terminal: Terminal) -> None:
    """Stop the built-in model while it tells a story. Hundreds of words a second: a story may be over first; then another."""
    for hero in (
        "a lighthouse",
        "a clockmaker",
        "a fox",
        "the sea",
        "a baker",
        "an owl",
        "a tower",
        "a boat",
        "a garden",
        "a king",
        "a bell",
    ):
        ask(terminal, f"Tell me a long story about {hero}")
        terminal.wait_for(lambda text: len(said(text, "xchat guide").split()) > 3)
        terminal.type(CTRL_C)
        if "Stopped." in terminal.wait_for(lambda text: "first token after" in text):
            return
        terminal.type(CTRL_N)
        terminal.wait_for("Write a message")
    raise AssertionError("every story was over before it could be stopped")


def leave(terminal: Terminal) -> None:
    """Quit, and expect a clean end with the terminal as it was."""
    terminal.type(CTRL_Q)
    assert terminal.wait_for_exit() == 0
    assert b"\x1b[?1049l" in terminal.raw, "the alternate screen was not left"


def turns(xchat: Run, session: str = "last") -> list[dict[str, object]]:
    """What was logged for a session."""
    return list(json.loads(xchat("sessions", "show", session, "--json").stdout)["turns"])


def test_text_typed_before_the_first_frame_is_in_the_prompt(terminal: Start) -> None:
    started = terminal("--no-log", "builtin")
    started.type("early words")
    started.wait_for("│ early words")


def test_a_person_chats_with_the_built_in_model(terminal: Start, xchat: Run) -> None:
    program = terminal("--stream-batch", "1", rows=100)
    ready(program, "xchat guide")
    stop_in_mid_answer(program)

    program.type(CTRL_R)
    program.wait_for("2/2")
    answered(program)
    leave(program)

    logged = turns(xchat)
    assert [turn["stop_reason"] for turn in logged] == ["cancelled", "eog"]
    assert logged[1]["cache_n"], f"regenerate prefilled the whole prompt again: {logged}"

    again = terminal("--resume", rows=100)
    ready(again, "xchat guide")
    again.wait_for("2/2")
    ask(again, "Thank you")
    again.wait_for(lambda text: "first token after" in text.partition("▎ Thank you")[2])
    leave(again)
    assert len(turns(xchat)) == 3


def test_the_second_turn_prefills_only_what_is_new(terminal: Start, xchat: Run, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0")
    ready(program, "scripted")
    ask(program, "first question")
    answered(program, 1)
    ask(program, "second question")
    answered(program, 2)
    leave(program)
    first, second = turns(xchat)
    assert second["cache_n"] == int(str(first["prompt_n"])) + int(str(first["predicted_n"]))


def test_escapes_and_markup_of_the_model_are_shown_and_never_act(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0")
    ready(program, "scripted")
    ask(program, "go")
    screen = program.wait_for("end.")
    assert "␛[31mred" in screen
    assert "[bold]x[/]" in screen
    assert b"\x1b[31mred" not in program.raw
    leave(program)


def test_kill_9_in_mid_answer_loses_no_finished_turn(terminal: Start, xchat: Run, scripted: Path, long_model: Path) -> None:
    program = terminal(str(long_model), "--temp", "0", "-n", "5")
    ready(program, "scripted")
    ask(program, "finished")
    answered(program)
    ask(program, "/set max_tokens none")
    program.wait_for(PROMPT)
    ask(program, "cut")
    answering(program)
    program.kill(signal.SIGKILL)
    program.wait_for_exit()

    assert [turn["predicted_n"] for turn in turns(xchat)] == [5]
    again = terminal(str(scripted))
    again.wait_for("The last conversation was cut off")
    leave(again)


@pytest.mark.parametrize("end", ["hang up", "SIGHUP", "SIGTERM"])
def test_a_lost_terminal_saves_the_partial_answer_within_three_seconds(terminal: Start, xchat: Run, long_model: Path, end: str) -> None:
    program = terminal(str(long_model), "--temp", "0")
    ready(program, "scripted")
    ask(program, "go")
    answering(program)
    process = psutil.Process(program.pid)
    began = time.monotonic()
    if end == "hang up":
        program.hang_up()
    else:
        program.kill(signal.SIGHUP if end == "SIGHUP" else signal.SIGTERM)
        program.wait_for_exit()
    program._reap(began + 10) if program.exit_code is None else None
    assert time.monotonic() - began < 3
    assert not process.is_running()

    (turn,) = turns(xchat)
    assert turn["stop_reason"] == "cancelled"
    assert 10 <= int(str(turn["predicted_n"])) < 1500
    assert xchat("sessions", "list").stdout.count(b"(interrupted)") == 1, "the next start offers it"


def test_control_c_stops_and_does_not_quit(terminal: Start, long_model: Path) -> None:
    program = terminal(str(long_model), "--temp", "0")
    ready(program, "scripted")
    ask(program, "go")
    answering(program)
    program.type(CTRL_C)
    program.wait_for("Stopped.")
    leave(program)


def test_a_broken_file_leaves_the_program_alive(terminal: Start, tmp_path: Path, scripted: Path) -> None:
    broken = tmp_path / "picture.gguf"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    program = terminal(str(broken))
    program.wait_for("picture.gguf")
    ask(program, f"/model {scripted}")
    ready(program, "scripted")
    leave(program)


def test_a_file_that_aborts_the_native_library_does_not_take_the_chat_along(terminal: Start, tmp_path: Path, scripted: Path) -> None:
    aborting = ggufs.duplicate_tokens(tmp_path / "aborting.gguf")
    program = terminal(str(scripted), "--temp", "0")
    ready(program, "scripted")
    ask(program, f"/model {aborting}")
    program.wait_for("aborting.gguf makes the native library fail")
    ask(program, "still here?")
    program.wait_for("end.")
    leave(program)


def test_an_unusable_database_is_said_and_the_chat_goes_on(terminal: Start, isolated_machine: Path, scripted: Path) -> None:
    database = isolated_machine / "data" / "xchat" / "xchat.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"no database at all" * 100)
    program = terminal(str(scripted), "--temp", "0")
    ready(program, "scripted")
    program.wait_for("not logged")
    ask(program, "go")
    program.wait_for("end.")
    leave(program)
    assert database.read_bytes().startswith(b"no database")


def test_the_log_is_private_and_in_wal_mode(terminal: Start, isolated_machine: Path, scripted: Path) -> None:
    program = terminal(str(scripted), "--temp", "0")
    ready(program, "scripted")
    ask(program, "go")
    answered(program)
    leave(program)
    path = isolated_machine / "data" / "xchat" / "xchat.db"
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (60, 20), (80, 24), (200, 50)])
def test_every_size_shows_the_answer_and_the_prompt(terminal: Start, scripted: Path, columns: int, rows: int) -> None:
    program = terminal(str(scripted), "--temp", "0", columns=columns, rows=rows)
    program.wait_for("Message")
    program.wait_for(lambda text: "scripted" in text or columns < 60)
    ask(program, "go")
    program.wait_for("end.")
    for size in ((columns + 20, rows + 5), (40, 10), (columns, rows)):
        program.resize(*size)
        os.kill(program.pid, signal.SIGWINCH)
        program.wait_for("Message")
    leave(program)


def test_alt_keys_work_while_a_search_field_has_the_focus(terminal: Start, scripted: Path) -> None:
    program = terminal(str(scripted))
    ready(program, "scripted")
    ask(program, "A question about branches")
    answered(program)
    program.type("\x1bOQ")
    program.wait_for("Search all messages and titles")
    program.wait_for("1 turn")
    program.type("\x1bi")
    program.wait_for("pinned")
    program.type("\x1bg")
    program.wait_for("1 branch")


def test_the_editor_has_the_terminal_and_what_it_saves_is_in_the_prompt(
    terminal: Start, isolated_machine: Path, long_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "my editor"
    editor.write_text(
        f'#!/bin/sh\nstat -c "%a %n" "$1" > "{tmp_path}/seen"\nprintf "EDITING "; cat "$1"; read line\n'
        '[ "$line" = fail ] && exit 3\nprintf "%s" "$line" >> "$1"\n'
    )
    editor.chmod(0o700)
    monkeypatch.setenv("VISUAL", f"'{editor}'")
    program = terminal(str(long_model))
    ready(program, "scripted")
    ask(program, "go")
    answering(program)
    program.type("draft ")
    program.wait_for("draft")
    program.type("\x1bw")
    program.wait_for("EDITING draft")
    program.type("and more\r")
    program.wait_for(lambda text: "draft and more" in text and "EDITING" not in text)
    mode, _, name = (tmp_path / "seen").read_text().strip().partition(" ")
    assert (mode, Path(name).exists()) == ("600", False)
    program.type("\x1bw")
    program.wait_for("EDITING draft and more")
    program.type("fail\r")
    program.wait_for("ended with status 3")
    assert "draft and more" in program.text
    program.type(CTRL_Q)
    program.wait_for_exit()
