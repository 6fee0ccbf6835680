"""`xchat` with its own database, run to its end in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.paths import database_path
from tests.tui.saved import save_session
from tui.cli.main import main

HOSTILE = "Evil \x1b]0;owned\x07\x1b[2J title\nsecond line \U0001f600 \u202egnp"
"""A line break, an emoji, a direction override, and sequences that would rename and clear the terminal."""


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def xchat(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `xchat ARGUMENTS`."""

    def run(*arguments: str | Path) -> Ran:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = int(left.code or 0)
        return Ran(code, *capsys.readouterr())

    return run


def save(*texts: str, **options: object) -> int:
    """A session in the database of this person; see `save_session`."""
    return asyncio.run(save_session(database_path(), *texts, **options))[0]  # type: ignore[arg-type]
