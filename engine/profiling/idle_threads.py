"""Which threads of this process do nothing: a wait inside native code has no name in a Python stack."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from threading import Thread

from engine.clock import NS_PER_MS
from engine.host.procfs import KernelFile

LOOK_NS = 20 * NS_PER_MS
"""Least time between two looks: the kernel counts a running thread's time in ticks of up to 10 ms."""
RESTS_BELOW = 0.05
"""Share of the time that a thread has to run, or to wait for a core, to be called busy."""


class Resting:
    """Reads /proc/self/task/*/schedstat. Elsewhere than on Linux, and for a thread seen for the first time, nobody is known to rest."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._tasks = proc / "self/task"
        self._files: dict[int, KernelFile] = {}
        self._spent: dict[int, int] = {}
        self._looked_ns: int | None = None
        self._idents: frozenset[int] = frozenset()

    def look(self, threads: Iterable[Thread], at_ns: int) -> frozenset[int]:
        """Identities of the threads that did next to nothing between the last two looks."""
        elapsed = at_ns - self._looked_ns if self._looked_ns is not None else LOOK_NS
        if elapsed < LOOK_NS:
            return self._idents
        self._looked_ns = at_ns
        before, self._spent = self._spent, {}
        resting = []
        for thread in threads:
            if thread.ident is None or thread.native_id is None:
                continue
            spent = self._read(thread.native_id)
            if not spent:
                # A thread that is there has run: a kernel that says 0 doesn't count.
                continue
            self._spent[thread.native_id] = spent
            if spent - before.get(thread.native_id, spent - elapsed) < RESTS_BELOW * elapsed:
                resting.append(thread.ident)
        for gone in self._files.keys() - self._spent.keys():
            self._files.pop(gone).close()
        self._idents = frozenset(resting)
        return self._idents

    def close(self) -> None:
        """Let go of the kernel's files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _read(self, tid: int) -> int | None:
        """Nanoseconds that a thread ran or was ready to."""
        file = self._files.get(tid)
        if file is None:
            file = self._files[tid] = KernelFile(self._tasks / str(tid) / "schedstat")
        text = file.read()
        times = text.split() if text is not None else []
        return int(times[0]) + int(times[1]) if len(times) > 1 else None
