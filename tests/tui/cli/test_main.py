"""Errors of the operating system as the command line puts them."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from engine.paths import HINT, state_dir
from tui.cli.main import in_words


def refused(path: Path) -> OSError:
    return PermissionError(errno.EACCES, "Permission denied", str(path))


def test_variables_are_named_only_where_a_folder_of_xchats_own_is_refused(tmp_path: Path) -> None:
    assert in_words(refused(state_dir() / "xchat.log")).hint == HINT
    assert HINT not in in_words(refused(tmp_path / "somewhere" / "out.csv")).hint
    assert "out.csv" in str(in_words(refused(tmp_path / "out.csv")))


@pytest.mark.parametrize(("error", "what"), [(MemoryError(), "memory"), (RuntimeError("can't start new thread"), "threads")])
def test_what_the_system_refuses_is_not_an_error_of_the_programs_own(error: Exception, what: str) -> None:
    assert str(in_words(error)).startswith(f"The system allows xchat no more {what}. End other programs")
    assert "Internal error" in str(in_words(RuntimeError("another")))
