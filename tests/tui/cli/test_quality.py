"""`xchat quality` with the built-in model: the table, the JSON, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engine.lab.quality_run import Outcome

SMALL = ("quality", "-m", "builtin", "--window", "64", "--windows", "2", "--threads", "1", "--threads-batch", "1")


def xchat(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the command redirects the process's output."""
    return subprocess.run(
        [sys.executable, "-m", "tui.cli.main", *arguments], capture_output=True, text=True, env=dict(os.environ), check=False
    )


def test_kv_types_are_compared_in_json() -> None:
    ran = xchat(*SMALL, "--kv", "q4_0", "--json")
    assert ran.returncode == 0, ran.stderr
    outcome = msgspec.json.decode(ran.stdout, type=Outcome)
    base, other = outcome.results
    assert (base.label, base.against, other.label, outcome.windows) == ("f16/f16", None, "q4_0/q4_0", 2)
    assert other.against is not None
    assert other.against.kld.value > 0


def test_a_short_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    ran = xchat("quality", "-m", "builtin", "-f", str(tmp_path / "short"))
    assert ran.returncode == 2
    assert "shorter than one window" in ran.stderr


@pytest.mark.parametrize("arguments", [("--window", "3"), ("--windows", "0"), ("--kv", "nonsense"), ("--threads", "x")])
def test_what_can_not_be_meant_is_refused(arguments: tuple[str, ...]) -> None:
    assert xchat("quality", "-m", "builtin", *arguments).returncode == 2
