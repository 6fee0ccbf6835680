"""Finds the processes that have a database open."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from engine.store.errors import StoreLockedError


def refuse_open(path: Path, again: str) -> None:
    """Raise StoreLockedError when another process of this user has the file open; `again`: the command to repeat after closing it."""
    place = str(path.resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and any(file.path == place for file in process.open_files()):
                raise StoreLockedError(f"{path} is in use", f"Process {process.pid} has it open.", f"Close it, then {again} again.")
