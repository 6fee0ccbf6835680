"""Copying says which way it went, and what is too long still arrives."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from tui.terminal.clipboard import OSC52_LIMIT, Way, copy


@pytest.fixture
def sent() -> list[str]:
    return []


async def test_a_short_text_goes_to_the_terminal(sent: list[str], tmp_path: Path) -> None:
    copied = await copy("grüße", write=sent.append, folder=tmp_path, environ={})
    assert copied.way is Way.TERMINAL
    assert "5 characters" in copied.sentence
    assert sent == ["\x1b]52;c;" + base64.b64encode("grüße".encode()).decode() + "\x07"]


async def test_a_long_text_goes_to_a_private_file(sent: list[str], tmp_path: Path) -> None:
    text = "x" * OSC52_LIMIT
    copied = await copy(text, write=sent.append, folder=tmp_path, environ={})
    assert copied.way is Way.FILE
    assert sent == []
    file = tmp_path / "copied.txt"
    assert file.read_text() == text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert str(file) in copied.sentence


async def test_a_terminal_that_has_no_such_clipboard_gets_a_file(sent: list[str], tmp_path: Path) -> None:
    assert (await copy("a", write=sent.append, folder=tmp_path, environ={"TERM_PROGRAM": "Apple_Terminal"})).way is Way.FILE


@pytest.mark.parametrize(("exit_code", "way"), [(0, Way.TMUX), (1, Way.TERMINAL)])
async def test_inside_tmux_its_buffer_comes_first(
    sent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, way: Way
) -> None:
    tmux = tmp_path / "tmux"
    tmux.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/buffer\nexit {exit_code}\n')
    tmux.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    copied = await copy("text", write=sent.append, folder=tmp_path, environ={"TMUX": "/tmp/tmux-0/default,1,0"})
    assert copied.way is way
    assert (tmp_path / "arguments").read_text().split() == ["load-buffer", "-w", "-"]
    assert (tmp_path / "buffer").read_text() == "text"
