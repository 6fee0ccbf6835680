"""Saves the last model, preset and theme between starts. The file can be deleted."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import msgspec

from engine.atomic_write import write_atomically
from engine.paths import state_dir
from engine.regular_file import read_kept

_writing = threading.Lock()


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """The choices of the last run."""

    model: str | None = None
    preset: str | None = None
    theme: str | None = None


def _path() -> Path:
    return state_dir() / "last.json"


def recall() -> Remembered:
    """Read the saved choices; the defaults when there are none, or they can't be read."""
    return read_kept(_path(), Remembered())


def remember(**changes: str | None) -> None:
    """Save choices for the next start. Thread-safe; ignores a folder that can't be written."""
    with _writing, contextlib.suppress(OSError):
        write_atomically(_path(), msgspec.json.encode(msgspec.structs.replace(recall(), **changes)))
