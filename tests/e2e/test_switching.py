"""Switching in the real program: quants, presets and threads by key, and a conversation that goes on after a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.models.check import check_model
from engine.models.quantize import Quantization, plan
from tests import ggufs
from tests.e2e.terminal import Terminal

pytestmark = pytest.mark.e2e

Start = Callable[..., Terminal]


def test_quants_presets_and_threads_change_in_the_middle_of_a_conversation(terminal: Start) -> None:
    source = ggufs.dense(Path.home() / "tiny-F32.gguf", layers=2)
    smaller = Quantization(plan(check_model(source), "Q8_0")).run()
    shown = terminal(str(smaller), "--preset", "fast", "-n", "8")
    shown.wait_for("Q8_0")
    shown.wait_for("fast")
    shown.type("Hello\r")
    shown.wait_for("8 tokens")
    shown.type("/threads 1\r")
    shown.wait_for("1 thread")
    shown.type("\x1bj")  # Alt+J
    shown.wait_for("Switched to preset low-memory")
    shown.type("\x1bz")  # Alt+Z
    shown.wait_for("Switched to preset fast")
    shown.type(f"/model {source}\r")
    shown.wait_for("Switched to tiny-F32.gguf")
    shown.type("Still there?\r")
    shown.wait_for("▎ Still there?")
    shown.type("\x11")  # Ctrl+Q
    assert shown.wait_for_exit() == 0

    again = terminal("--resume")
    again.wait_for("tiny F32")
    again.wait_for("Still there?")
    again.wait_for("fast")
    again.type("\x11")
    assert again.wait_for_exit() == 0
