"""The file of unsent messages by session, readable by its owner only. Blocking."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from engine import paths
from engine.atomic_write import write_atomically
from engine.regular_file import read_kept

KEPT = 200
"""Most drafts kept; older ones are dropped."""
LONGEST = 1_000_000
"""Longest draft that is saved, in characters."""
NEW = "new"
"""Key of a session without a number."""


def drafts_path() -> Path:
    """Return the path of the file."""
    return paths.state_dir() / "drafts.json"


def read_drafts(path: Path) -> dict[str, str]:
    """Read the drafts by session, the newest last; none when the file is missing or can't be read."""
    return {session: text for session, text in read_kept(path, dict[str, object]()).items() if isinstance(text, str)}


def write_drafts(path: Path, changes: Mapping[str, str]) -> None:
    """Change the drafts of some sessions; an empty one is removed.

    Raises:
        OSError: The file can't be replaced.
    """
    drafts = read_drafts(path)
    for session, text in changes.items():
        drafts.pop(session, None)
        if text.strip() and len(text) <= LONGEST:
            drafts[session] = text
    write_atomically(path, msgspec.json.encode(dict(list(drafts.items())[-KEPT:])))


def forget_drafts(path: Path, session_ids: Iterable[int]) -> None:
    """Remove the drafts of deleted sessions.

    Raises:
        OSError: The file can't be replaced.
    """
    gone = dict.fromkeys(map(str, session_ids), "")
    if gone.keys() & read_drafts(path).keys():
        with contextlib.suppress(FileNotFoundError):
            write_drafts(path, gone)
