"""The native log: bounded, harmless, private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from engine.llama.log import CONTINUED, ERROR, INFO, MAX_FILE, MAX_LINE, RING_LINES, WARN, NativeLog, last_reason


def test_the_ring_keeps_the_latest_lines() -> None:
    log = NativeLog()
    for number in range(RING_LINES + 5):
        log._receive(INFO, f"line {number}\n".encode(), None)
    assert len(log.lines()) == RING_LINES
    assert log.lines()[-1].text == f"line {RING_LINES + 4}"


def test_debug_lines_and_progress_dots_are_dropped() -> None:
    log = NativeLog()
    log._receive(INFO - 1, b"noise\n", None)
    log._receive(CONTINUED, b"more noise\n", None)
    log._receive(INFO, b"....\n", None)
    log._receive(INFO, None, None)
    assert log.lines() == ()


def test_errors_are_told_apart_and_continued_lines_take_their_level() -> None:
    log = NativeLog()
    log._receive(INFO, b"fine\n", None)
    log._receive(WARN, b"odd\n", None)
    log._receive(CONTINUED, b"odder\n", None)
    assert log.errors() == ["odd", "odder"]
    log._receive(ERROR, b"bad\n", None)
    log._receive(CONTINUED, b"worse\n", None)
    assert log.errors() == ["bad", "worse"]


def test_what_a_terminal_acts_on_is_replaced_and_lines_are_cut() -> None:
    log = NativeLog()
    log._receive(INFO, "name = \x1b[2J\u202e!".encode() + b"\xff", None)
    log._receive(INFO, b"x" * (MAX_LINE + 100), None)
    first, second = log.lines()
    assert first.text == "name = ␛[2J\N{REPLACEMENT CHARACTER}!\N{REPLACEMENT CHARACTER}"
    assert len(second.text) == MAX_LINE


def test_the_file_is_private_and_a_large_one_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "native.log"
    path.write_bytes(b"x" * (MAX_FILE + 1))
    NativeLog(path)._receive(INFO, b"hello\n", None)
    assert path.read_text() == "hello\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "native.log.1").stat().st_size == MAX_FILE + 1


def test_a_file_that_can_not_be_written_is_done_without_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = NativeLog(tmp_path / "missing" / "native.log")
    log._receive(INFO, b"hello\n", None)
    assert [line.text for line in log.lines()] == ["hello"]
    assert capsys.readouterr().err == ""


def test_the_first_error_tells_the_reason() -> None:
    assert last_reason(["llama_model_load: error loading model: why", "llama_model_load_from_file_impl: failed"]) == "why"
    assert last_reason([]) == ""
