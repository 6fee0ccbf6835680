"""The threads of this process: who runs, and who waits for a core that somebody else has."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from engine.metrics.kernelfile import KernelFile

MOST_THREADS = 256
"""Threads beyond this many are not looked at: each costs two descriptors and some microseconds per sample."""


class ThreadGroup(StrEnum):
    """What a thread is for."""

    COMPUTE = "compute"
    """The one compute thread and the workers that the native library started for it."""
    UI = "ui"
    """The event loop and the terminal's reader and writer."""
    DATABASE = "database"
    OTHER = "other"


GROUP_PREFIXES: Mapping[str, ThreadGroup] = {
    "MainThread": ThreadGroup.UI,
    "textual": ThreadGroup.UI,
    "compute": ThreadGroup.COMPUTE,
    "xchat-compute": ThreadGroup.COMPUTE,
    "llama": ThreadGroup.COMPUTE,
    "aiosqlite": ThreadGroup.DATABASE,
    "store": ThreadGroup.DATABASE,
}
"""Beginnings of Python thread names."""


@dataclass(frozen=True, slots=True)
class ThreadShare:
    """One thread, over the time since the last sample. Per cent of one core."""

    tid: int
    name: str
    group: ThreadGroup
    running_pct: float
    waiting_pct: float
    """Ready to run, but no core was free."""


@dataclass(slots=True)
class _Watched:
    schedstat: KernelFile
    name: str
    group: ThreadGroup
    before: tuple[int, int] | None = field(default=None)


class ThreadTimes:
    """Reads /proc/self/task/*/schedstat: nanoseconds on a core and nanoseconds in the run queue."""

    def __init__(self, proc: Path) -> None:
        self._tasks = proc / "self/task"
        self._watched: dict[int, _Watched] = {}
        self._before_ns: int | None = None

    def read(self, now_ns: int) -> tuple[ThreadShare, ...]:
        """Every thread, busiest first; empty where the kernel doesn't tell, and at the first call."""
        try:
            tids = sorted(map(int, os.listdir(self._tasks)))[:MOST_THREADS]
        except OSError:
            return ()
        for gone in self._watched.keys() - set(tids):
            self._watched.pop(gone).schedstat.close()
        names = {thread.native_id: thread.name for thread in threading.enumerate()}
        elapsed = now_ns - self._before_ns if self._before_ns is not None else 0
        self._before_ns = now_ns
        shares = []
        for tid in tids:
            share = self._share(tid, names.get(tid), elapsed)
            if share is not None:
                shares.append(share)
        shares.sort(key=lambda share: -share.running_pct)
        return tuple(shares)

    def _share(self, tid: int, python_name: str | None, elapsed_ns: int) -> ThreadShare | None:
        watched = self._watched.get(tid)
        if watched is None:
            watched = self._watch(tid, python_name)
        elif python_name is not None and python_name != watched.name:
            watched.name, watched.group = python_name, group_of(python_name)
        text = watched.schedstat.read()
        times = text.split() if text is not None else []
        if len(times) < 2:
            return None
        now = (int(times[0]), int(times[1]))
        before, watched.before = watched.before, now
        if before is None or elapsed_ns <= 0:
            return None
        running, waiting = ((new - old) / elapsed_ns * 100 for old, new in zip(before, now, strict=True))
        return ThreadShare(tid, watched.name, watched.group, min(100.0, max(0.0, running)), min(100.0, max(0.0, waiting)))

    def _watch(self, tid: int, python_name: str | None) -> _Watched:
        folder = self._tasks / str(tid)
        if python_name is None:
            native = ""
            with contextlib.suppress(OSError):
                native = (folder / "comm").read_text("utf-8", "replace").strip()
            name, group = f"worker {tid} ({native})" if native else f"worker {tid}", ThreadGroup.COMPUTE
        else:
            name, group = python_name, group_of(python_name)
        watched = self._watched[tid] = _Watched(KernelFile(folder / "schedstat"), name, group)
        return watched

    def close(self) -> None:
        """Give the descriptors back."""
        for watched in self._watched.values():
            watched.schedstat.close()
        self._watched.clear()


def group_of(python_name: str) -> ThreadGroup:
    """What a Python thread is for, by its name. Threads without one were started by the native library: compute workers."""
    return next((group for prefix, group in GROUP_PREFIXES.items() if python_name.startswith(prefix)), ThreadGroup.OTHER)
