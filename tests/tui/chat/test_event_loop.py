"""What the event loop must never do: wait for a disk."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.guide.builtin import expected_digest
from tests.tui.host import wait_until
from tests.tui.program import program

pytestmark = pytest.mark.slow

KERNEL = ("/proc/", "/sys/", "/dev/")
"""Files that are no files: the kernel answers from memory."""

CODE = (".py", ".pyc", ".so")
"""A module imported on first use is read once, as every program reads its own."""

_watched: list[tuple[int, list[str]]] = []


def _on_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watched:
        return
    thread, seen = _watched[-1]
    path = arguments[0]
    if threading.get_ident() != thread or not isinstance(path, str | bytes | os.PathLike):
        return
    name = os.fsdecode(path)
    if not name.startswith(KERNEL) and not name.endswith(CODE):
        seen.append(f"open {name}\n{''.join(traceback.format_stack(limit=8)[:-1])}")


sys.addaudithook(_on_open)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Files that this thread opens and flushes to the disk in the meantime, with the place that does."""
    seen: list[str] = []
    thread = threading.get_ident()
    real = os.fsync

    def fsync(fd: int) -> None:
        if threading.get_ident() == thread:
            seen.append(f"fsync\n{''.join(traceback.format_stack(limit=8)[:-1])}")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    _watched.append((thread, seen))
    try:
        yield seen
    finally:
        _watched.pop()


async def test_the_watch_sees_a_file_opened_on_the_loop_and_none_opened_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    with watched(monkeypatch) as seen:
        beside = threading.Thread(target=file.write_text, args=("x",))
        beside.start()
        beside.join()
        assert seen == []
        assert file.read_text() == "x"
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    assert [line.split()[0] for line in seen] == ["open", "open", "fsync"]


async def test_nothing_on_the_event_loop_waits_for_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected_digest()  # the real engine reads it on its own thread when it loads a model
    async with program(size=(120, 36), database=tmp_path / "xchat.db") as run:
        with watched(monkeypatch) as seen:
            await run.send("Hello")
            await run.answered()
            for action in ("next_preset", "fewer_threads", "more_threads", "toggle_panel", "new_session", "sessions"):
                run.app.do(action)
                await run.pilot.pause()
            await run.pilot.press("escape")
            await run.send("/theme light")
            await run.pilot.pause()
            await run.send("/preset quick")
            await run.pilot.press("shift+tab", "s", "a")
            await wait_until(run.pilot, lambda: run.app.theme == "light", "the theme is chosen")
            await run.pilot.pause()
    assert "\n".join(seen) == ""
