"""History of sent messages, saved in a file that only its owner can read."""

from __future__ import annotations

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.atomic_write import write_atomically

KEPT = 1000
"""Number of messages kept."""
LONGEST = 100_000
"""Characters of the longest message that is saved; longer ones are kept in memory only."""


class PromptHistory:
    """Steps through sent messages; the current draft is the newest entry.

    The file is read and written on a thread of its own, in the order of the calls.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "history")
        self._read_entries = self._thread.submit(self._read)
        self._position: int | None = None
        self._draft = ""

    def add(self, text: str) -> None:
        """Add a sent message."""
        entries = self._entries
        self._position = None
        if entries and entries[-1] == text:
            return
        entries.append(text)
        if self._path is not None and len(text) <= LONGEST:
            self._thread.submit(self._append, self._path, text)

    def close(self) -> None:
        """Wait until the file is written."""
        self._thread.shutdown()

    def back(self, current: str) -> str | None:
        """The previous message; None at the oldest."""
        entries = self._entries
        if self._position is None:
            self._draft = current
        position = len(entries) if self._position is None else self._position
        if position == 0:
            return None
        self._position = position - 1
        return entries[self._position]

    def forward(self) -> str | None:
        """The next message, or the draft after the newest; None at the draft."""
        if self._position is None:
            return None
        self._position += 1
        entries = self._entries
        if self._position < len(entries):
            return entries[self._position]
        self._position = None
        return self._draft

    @property
    def _entries(self) -> list[str]:
        """Sent messages, oldest first; waits until the file is read."""
        return self._read_entries.result()

    @staticmethod
    def _append(path: Path, text: str) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open(descriptor, "a", encoding="utf-8") as file:
                file.write(json.dumps(text) + "\n")

    def _read(self) -> list[str]:
        if self._path is None:
            return []
        try:
            lines = self._path.read_text("utf-8", "replace").splitlines()
        except OSError:
            return []
        entries = [entry for entry in map(_parse, lines) if entry]
        if len(lines) > 2 * KEPT:
            with contextlib.suppress(OSError):
                write_atomically(self._path, "".join(json.dumps(entry) + "\n" for entry in entries[-KEPT:]).encode())
        return entries[-KEPT:]


def _parse(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    return entry if isinstance(entry, str) else ""
