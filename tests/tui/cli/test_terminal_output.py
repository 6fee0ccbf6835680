"""A terminal shows what a command writes and never acts on it; a pipe gets the exact text."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from tests.hostile import HOSTILE, acting, texts
from tests.tui.cli.conftest import Run, save
from tui.cli.main import main
from tui.cli.output import guarded, write_json, write_sequence

ALL = " ".join(HOSTILE).replace("\ud83d", "").replace("\udc80", "")


class Terminal(io.StringIO):
    """Keeps what a terminal is sent."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run `xchat ARGUMENTS` with standard output and error on one terminal."""

    def run(*arguments: str | Path) -> str:
        terminal = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            main([str(argument) for argument in arguments])
        return terminal.getvalue()

    return run


@given(text=texts)
def test_nothing_acts_on_a_terminal(text: str) -> None:
    terminal = Terminal()
    stream = guarded(terminal)
    stream.write(text)
    stream.buffer.write(text.encode("utf-8", "replace"))
    assert not acting(terminal.getvalue(), lines=True, joiners=True, breaks=True)


@given(text=texts)
def test_json_on_a_terminal_keeps_every_character_as_an_escape(text: str) -> None:
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", guarded(terminal))
        write_json({"text": text})
    assert json.loads(terminal.getvalue()) == {"text": text}


@pytest.mark.parametrize(
    "arguments",
    [
        ("sessions", "list"),
        ("sessions", "list", "--json"),
        ("sessions", "show", "last"),
        ("sessions", "show", "last", "--json"),
        ("sessions", "show", "last", "--branches"),
        ("sessions", "search", "calc", "--json"),
        ("sessions", "performance", "last"),
        *(
            ("export", "last", "--what", what, "--format", form, "--chat")
            for what in ("chat", "turns")
            for form in ("csv", "json", "jsonl", "md", "html")
        ),
        *(("export", "last", "--format", f"llama-bench-{form}") for form in ("csv", "json", "jsonl", "sql")),
        ("models", "list"),
        ("models", "list", "--json"),
        ("models", "show", "evil\x1b[2J\u202e"),
        ("presets", "show", "evil\x1b[2J\u202e"),
        ("stats",),
        ("stats", "--json"),
        ("evil\x1b]0;x\x07\u202e.gguf", "--no-such-flag\x1b[2J"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_no_command_sends_a_terminal_what_a_text_says(on_terminal: Callable[..., str], arguments: tuple[str, ...]) -> None:
    save(ALL, title=ALL, model=f"Tiny {ALL}", preset=f"daily {ALL}")
    try:
        sent = on_terminal(*arguments)
    except SystemExit:
        return
    assert sent
    assert not acting(sent, lines=True, joiners=True, breaks=True)


def test_the_words_that_were_found_stand_out_and_nothing_else_acts(on_terminal: Callable[..., str]) -> None:
    save(f"where is calc {ALL}")
    sent = on_terminal("sessions", "search", "calc")
    assert "\x1b[1mcalc\x1b[22m" in sent
    assert not acting(sent.replace("\x1b[1m", "").replace("\x1b[22m", ""), lines=True, joiners=True, breaks=True)


def test_a_pipe_gets_the_exact_text(xchat: Run) -> None:
    session_id = save(ALL)
    assert ALL in xchat("sessions", "show", str(session_id)).out
    rows = [json.loads(line) for line in xchat("export", "last", "--what", "chat", "--format", "jsonl").out.split("\n") if line]
    assert any(row["text"] == ALL for row in rows)


def test_a_file_name_that_is_no_utf_8_goes_through_a_pipe_as_it_is() -> None:
    bytes_out = io.BytesIO()
    stream = guarded(io.TextIOWrapper(bytes_out, "utf-8", "strict"))
    stream.write("caf\udce9.gguf")
    stream.flush()
    assert bytes_out.getvalue() == b"caf\xe9.gguf"


def test_sequences_of_our_own_reach_terminals_only() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    write_sequence("\x1b[K", guarded(terminal))
    write_sequence("\x1b[K", guarded(pipe))
    assert (terminal.getvalue(), pipe.getvalue()) == ("\x1b[K", "")


def test_an_error_is_as_inert_as_any_text(on_terminal: Callable[..., str]) -> None:
    sent = on_terminal("sessions", "show", "\x1b[2J\u202e")
    assert "␛[2J" in sent
    assert not acting(sent, lines=True)
