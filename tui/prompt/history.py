"""History of sent messages, saved in a file that only its owner can read."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from engine.prompt_history import append_prompt, read_prompts


class PromptHistory:
    """Steps through sent messages; the current draft is the newest entry.

    The file is read and written on a thread of its own, in the order of the calls.
    """

    def __init__(self, path: Path | None, *, written: bool = True) -> None:
        """`path`: the file, if any; unless `written`, it is only read."""
        self._path = path
        self._written = written
        self._thread = ThreadPoolExecutor(1, "history")
        self._read_entries = self._submit_read()
        self._position: int | None = None
        self._draft = ""

    def add(self, text: str) -> None:
        """Add a sent message."""
        entries = self._entries
        self._position = None
        if entries and entries[-1] == text:
            return
        entries.append(text)
        if self._path is not None and self._written:
            self._thread.submit(append_prompt, self._path, text)

    def read_again(self) -> None:
        """Reload the file, from which messages of deleted conversations are removed."""
        if self._path is not None and self._written:
            self._position = None
            self._read_entries = self._submit_read()

    def close(self) -> None:
        """Wait until the file is written."""
        self._thread.shutdown()

    def back(self, current: str) -> str | None:
        """Return the previous message; None at the oldest."""
        entries = self._entries
        if self._position is None:
            self._draft = current
        position = len(entries) if self._position is None else self._position
        if position == 0:
            return None
        self._position = position - 1
        return entries[self._position]

    def forward(self) -> str | None:
        """Return the next message, or the draft after the newest; None at the draft."""
        if self._position is None:
            return None
        self._position += 1
        entries = self._entries
        if self._position < len(entries):
            return entries[self._position]
        self._position = None
        return self._draft

    def newest_first(self) -> list[str]:
        """Return all sent messages, each once."""
        return list(dict.fromkeys(reversed(self._entries)))

    def _submit_read(self) -> Future[list[str]]:
        path = self._path
        return self._thread.submit(lambda: read_prompts(path) if path is not None else [])

    @property
    def _entries(self) -> list[str]:
        """Return sent messages, oldest first; waits until the file is read."""
        return self._read_entries.result()
