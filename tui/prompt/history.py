"""What was sent before, kept over the end of the program in a file that only its owner can read."""

from __future__ import annotations

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.atomic_write import write_atomically

KEPT = 1000
"""Older messages are forgotten."""
LONGEST = 100_000
"""Longer messages are remembered until the program ends, but not written down."""


class PromptHistory:
    """Walks back and forth through what was sent; the text under way is kept at the near end.

    The file is read and written on a thread of its own, in the order of the calls.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "history")
        self._read_entries = self._thread.submit(self._read)
        self._position: int | None = None
        self._draft = ""

    def add(self, text: str) -> None:
        """Remember a message that was sent."""
        entries = self._entries
        self._position = None
        if entries and entries[-1] == text:
            return
        entries.append(text)
        if self._path is not None and len(text) <= LONGEST:
            self._thread.submit(self._append, self._path, text)

    def close(self) -> None:
        """Wait until everything is written."""
        self._thread.shutdown()

    def back(self, current: str) -> str | None:
        """The message before the one shown; None at the far end."""
        entries = self._entries
        if self._position is None:
            self._draft = current
        position = len(entries) if self._position is None else self._position
        if position == 0:
            return None
        self._position = position - 1
        return entries[self._position]

    def forward(self) -> str | None:
        """The message after the one shown, at last the text that was under way; None there."""
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
        """What was sent before, oldest first; waits for the file when it was not read yet."""
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
