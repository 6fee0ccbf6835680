"""Running and waiting time of this process's threads."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from engine.host.procfs import KernelFile

MOST_THREADS = 256
"""Most threads sampled; each costs two descriptors and a few microseconds per sample."""


class ThreadGroup(StrEnum):
    """Purpose of a thread."""

    COMPUTE = "compute"
    """The one compute thread and the workers that the native library started for it."""
    UI = "ui"
    """The event loop and the terminal's reader and writer."""
    DATABASE = "database"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ThreadRole:
    """Name of a thread on the screen, and its purpose."""

    name: str
    group: ThreadGroup


ROLES: Mapping[str, ThreadRole] = {
    "MainThread": ThreadRole("event loop", ThreadGroup.UI),
    "textual-output": ThreadRole("terminal out", ThreadGroup.UI),
    "textual-input": ThreadRole("terminal in", ThreadGroup.UI),
    "xchat-compute": ThreadRole("compute", ThreadGroup.COMPUTE),
    "_connection_worker_thread": ThreadRole("database", ThreadGroup.DATABASE),
    "xchat-wait-guard": ThreadRole("wait guard", ThreadGroup.OTHER),
    "xchat-idle-team": ThreadRole("idle team", ThreadGroup.OTHER),
    "asyncio_": ThreadRole("pool", ThreadGroup.OTHER),
}
"""Roles by a part of the Python thread's name; aiosqlite 0.22 and the event loop's pool (which samples) name their threads."""


def role_of(python_name: str) -> ThreadRole:
    """Return the role of a Python thread. Threads without a Python name are compute workers of the native library."""
    return next((role for part, role in ROLES.items() if part in python_name), ThreadRole(python_name, ThreadGroup.OTHER))


@dataclass(frozen=True, slots=True)
class ThreadShare:
    """The shares of one thread since the last sample, in per cent of one core."""

    tid: int
    name: str
    group: ThreadGroup
    running_pct: float
    waiting_pct: float
    """Ready to run, but no core was free."""


@dataclass(slots=True)
class _Watched:
    schedstat: KernelFile
    python_name: str | None
    role: ThreadRole
    before: tuple[int, int] | None = None


class ThreadTimes:
    """Reads /proc/self/task/*/schedstat: nanoseconds on a core and nanoseconds in the run queue."""

    def __init__(self, proc: Path) -> None:
        self._tasks = proc / "self/task"
        self._watched: dict[int, _Watched] = {}
        self._before_ns: int | None = None

    def read(self, now_ns: int) -> tuple[ThreadShare, ...]:
        """Return every thread, busiest first; empty where the kernel doesn't report them, and at the first call."""
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
        elif python_name is not None and python_name != watched.python_name:
            watched.python_name, watched.role = python_name, role_of(python_name)
        text = watched.schedstat.read()
        times = text.split() if text is not None else []
        if len(times) < 2:
            return None
        now = (int(times[0]), int(times[1]))
        before, watched.before = watched.before, now
        if before is None or elapsed_ns <= 0:
            return None
        running, waiting = ((new - old) / elapsed_ns * 100 for old, new in zip(before, now, strict=True))
        return ThreadShare(tid, watched.role.name, watched.role.group, min(100.0, max(0.0, running)), min(100.0, max(0.0, waiting)))

    def _watch(self, tid: int, python_name: str | None) -> _Watched:
        folder = self._tasks / str(tid)
        if python_name is None:
            native = ""
            with contextlib.suppress(OSError):
                native = (folder / "comm").read_text("utf-8", "replace").strip()
            role = ThreadRole(f"worker {tid} ({native})" if native else f"worker {tid}", ThreadGroup.COMPUTE)
        else:
            role = role_of(python_name)
        watched = self._watched[tid] = _Watched(KernelFile(folder / "schedstat"), python_name, role)
        return watched

    def close(self) -> None:
        """Close the files."""
        for watched in self._watched.values():
            watched.schedstat.close()
        self._watched.clear()
