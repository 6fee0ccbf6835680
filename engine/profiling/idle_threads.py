"""Finds the idle threads of this process by their CPU time: a wait inside native code has no name in a Python stack."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Thread

from engine.clock import NS_PER_MS
from engine.host.procfs import KernelFile

INTERVAL_NS = 20 * NS_PER_MS
"""Least time between two samples, since the kernel counts a running thread's time in ticks of up to 10 ms."""
IDLE_BELOW = 0.05
"""Share of time running or waiting for a core below which a thread is idle."""


class IdleThreads:
    """Reads /proc/self/task/*/schedstat. Without it, and in the first sample of a thread, none is known to be idle."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._tasks = proc / "self/task"
        self._files: dict[int, KernelFile] = {}
        self._spent: dict[int, int] = {}
        self._sampled_ns: int | None = None
        self._idents: frozenset[int] = frozenset()

    def sample(self, threads: Iterable[Thread], at_ns: int) -> frozenset[int]:
        """Identities of the threads that were idle between the last two samples."""
        elapsed = at_ns - self._sampled_ns if self._sampled_ns is not None else INTERVAL_NS
        if elapsed < INTERVAL_NS:
            return self._idents
        self._sampled_ns = at_ns
        before, self._spent = self._spent, {}
        idle = []
        for thread in threads:
            if thread.ident is None or thread.native_id is None:
                continue
            spent = self._read(thread.native_id)
            if not spent:
                # An existing thread has run, so a 0 of the kernel doesn't count.
                continue
            self._spent[thread.native_id] = spent
            if spent - before.get(thread.native_id, spent - elapsed) < IDLE_BELOW * elapsed:
                idle.append(thread.ident)
        for gone in self._files.keys() - self._spent.keys():
            self._files.pop(gone).close()
        self._idents = frozenset(idle)
        return self._idents

    def close(self) -> None:
        """Close the kernel's files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _read(self, tid: int) -> int | None:
        """Return the nanoseconds that a thread ran or was ready to run."""
        file = self._files.get(tid)
        if file is None:
            file = self._files[tid] = KernelFile(self._tasks / str(tid) / "schedstat")
        text = file.read()
        times = text.split() if text is not None else []
        return int(times[0]) + int(times[1]) if len(times) > 1 else None
