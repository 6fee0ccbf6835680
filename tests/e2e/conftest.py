"""The real program on real files: tiny GGUFs, and a shell-like way to run `xchat`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests import ggufs
from tests.e2e.terminal import XCHAT, Terminal

SCRIPT = ("One", " two", " three", " four", " \x1b[31mred", " [bold]x[/]", " 😀", " end.")
"""What the scripted model says: words, an escape sequence, markup and an emoji."""


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says SCRIPT."""
    return ggufs.scripted(tmp_path_factory.mktemp("models") / "scripted.gguf", SCRIPT)


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def xchat() -> Run:
    """Run `xchat ARGUMENTS` to its end, with standard input closed or given."""

    def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "tui.cli.main", *arguments], input=stdin, capture_output=True, timeout=120, check=False
        )

    return run


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """Start `xchat ARGUMENTS` on a terminal; it is ended after the test."""
    opened: list[Terminal] = []

    def start(*arguments: str, command: Sequence[str] = XCHAT, **options: object) -> Terminal:
        opened.append(Terminal([*command, *arguments], **options))  # type: ignore[arg-type]
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture(autouse=True)
def repository_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m tui.cli.main` works from any folder."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
