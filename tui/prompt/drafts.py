"""Unsent messages, kept for each session until they are sent."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from engine.drafts import NEW, read_drafts, write_drafts


class Drafts:
    """The drafts of all sessions. The file is read and written on a thread of its own, in the order of the calls."""

    def __init__(self, path: Path | None) -> None:
        """`path` is the file; with None drafts are kept in memory only."""
        self._path = path
        self._thread = ThreadPoolExecutor(1, "drafts")
        self._read: Future[dict[str, str]] = self._thread.submit(lambda: read_drafts(path) if path is not None else {})
        self._session = NEW

    def belongs_to(self, session_id: int | None) -> None:
        """The session that is open has this number now: its draft follows."""
        self._session = NEW if session_id is None else str(session_id)

    def keep(self, text: str) -> None:
        """Keep the draft of the open session, and write it."""
        drafts = self._read.result()
        if drafts.get(self._session, "") == text:
            return
        drafts[self._session] = text
        path, change = self._path, {self._session: text}
        if path is not None:
            self._thread.submit(_write, path, change)

    def open(self, session_id: int | None) -> str:
        """Go to another session; return its draft."""
        self.belongs_to(session_id)
        return self._read.result().get(self._session, "")

    def forget(self, session_id: int) -> None:
        """Drop the draft of a deleted session; the file has lost it already."""
        self._read.result().pop(str(session_id), None)

    def close(self) -> None:
        """Wait until the file is written."""
        self._thread.shutdown()


def _write(path: Path, changes: dict[str, str]) -> None:
    with contextlib.suppress(OSError):
        write_drafts(path, changes)
