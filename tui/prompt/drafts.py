"""Keeps the unsent message of each session."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from engine.drafts import NEW, read_drafts, write_drafts


class Drafts:
    """The drafts of all sessions. The file is read and written on a thread of its own, in the order of the calls."""

    def __init__(self, path: Path | None) -> None:
        """`path`: the file; with None drafts are kept in memory only."""
        self._path = path
        self._thread = ThreadPoolExecutor(1, "drafts")
        self._read: Future[dict[str, str]] = self._thread.submit(read_drafts, path) if path is not None else self._thread.submit(dict)
        self._session = NEW

    def numbered(self, session_id: int | None) -> None:
        """Move the draft to the open session's new number."""
        if self._session == NEW and session_id is not None:
            text = self._read.result().get(NEW, "")
            self.keep("")
            self._session = str(session_id)
            self.keep(text)

    def keep(self, text: str) -> None:
        """Save the draft of the open session."""
        drafts = self._read.result()
        if drafts.get(self._session, "") == text:
            return
        drafts[self._session] = text
        path, change = self._path, {self._session: text}
        if path is not None:
            self._thread.submit(_write, path, change)

    def is_open(self, session_id: int | None) -> bool:
        """Return whether this saved session is the open one."""
        return session_id is not None and self._session == str(session_id)

    def open(self, session_id: int | None) -> str:
        """Switch to another session and return its current draft in the file; drafts of deleted sessions are gone."""
        if self._path is not None:
            self._read = self._thread.submit(read_drafts, self._path)
        self._session = NEW if session_id is None else str(session_id)
        return self._read.result().get(self._session, "")

    def close(self) -> None:
        """Wait until the file is written."""
        self._thread.shutdown()


def _write(path: Path, changes: dict[str, str]) -> None:
    with contextlib.suppress(OSError):
        write_drafts(path, changes)
