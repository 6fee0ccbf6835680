"""The commands that measure, run in this process on the real engine with the built-in model."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from engine.llama.redirect import RealOutput
from tui.cli.lab import common


@pytest.fixture(autouse=True)
def output_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave descriptors 1 and 2 to pytest: a process can redirect them once only."""

    def as_it_is(log_path: Path) -> RealOutput:
        del log_path
        return RealOutput(sys.stdout, sys.stderr)  # type: ignore[arg-type]

    monkeypatch.setattr(common, "redirect_native_output", as_it_is)


class Terminal(io.StringIO):
    """Keeps what a terminal is sent."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard output and error on one terminal."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal
