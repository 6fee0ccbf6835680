"""The last model, preset and theme, remembered between starts. The file can be deleted."""

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
    """What was remembered; the defaults when nothing was, or it can't be read."""
    return read_kept(_path(), Remembered())


def remember(**changes: str | None) -> None:
    """Keep these choices for the next start. Thread-safe; a folder that can't be written to is ignored."""
    with _writing, contextlib.suppress(OSError):
        write_atomically(_path(), msgspec.json.encode(msgspec.structs.replace(recall(), **changes)))
