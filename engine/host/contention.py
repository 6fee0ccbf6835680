"""Detects programs that compete for this process's CPUs, by the kernel's counters and the waiting time of compute threads.

`RunQueueWait` reads /proc/self/task/*/schedstat, whose second figure is the time a thread was ready to run while another one had its CPU.
`crowded_now` needs no earlier reading, so it works for the first call of a process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from engine.host.procfs import KernelFile

COMPUTE_THREAD = "xchat-compute"
"""The Python name of the thread that computes; its OpenMP workers have no Python name."""

CROWDED_PRESSURE = 10.0
"""Percentage of the last ten seconds in which some task waited for a CPU (`some avg10`) from which the machine counts as crowded."""
CALM_PRESSURE = 2.0
"""Pressure below which one more runnable program at the moment of the reading does not count."""

READ_EVERY_NS = 2_000_000
"""Least time between two readings after calls; one takes about 20 µs, and a call of a tiny model not much longer."""
LIST_EVERY_NS = 500_000_000
"""Interval between listings of the compute threads while their number stays."""


def crowded_now(proc: Path = Path("/proc"), cpus: int | None = None, *, computed_lately: bool = False) -> bool | None:
    """Return whether other programs compete for the CPUs now; None where the kernel does not report it.

    Costs two small reads. `/proc/pressure/cpu` covers ten seconds, `procs_running` of `/proc/stat` this instant. The pressure alone does
    not count where this process has computed in those seconds (`computed_lately`), since its own threads waited too.
    """
    pressure = _pressure(proc / "pressure/cpu")
    running = _running(proc / "stat")
    if pressure is None and running is None:
        return None
    if pressure is not None and pressure >= CROWDED_PRESSURE and (running is None or not computed_lately):
        return True
    crowd = running is not None and running > (cpus or os.cpu_count() or 1)
    return crowd and (pressure is None or pressure >= CALM_PRESSURE)


def _pressure(path: Path) -> float | None:
    try:
        words = path.read_text("ascii", "replace").split("\n", 1)[0].split()
        return float(dict(word.split("=", 1) for word in words if "=" in word)["avg10"])
    except (OSError, KeyError, ValueError):
        return None


def _running(path: Path) -> int | None:
    """Count the threads that run or are ready to run, this one included."""
    try:
        text = path.read_text("ascii", "replace")
        return int(text.rsplit("procs_running ", 1)[1].split(None, 1)[0])
    except (OSError, ValueError, IndexError):
        return None


def compute_tids(tasks: Path) -> frozenset[int]:
    """Return the ids of the compute thread and of the native library's workers."""
    try:
        tids = frozenset(map(int, os.listdir(tasks)))
    except (OSError, ValueError):
        return frozenset()
    python = {thread.native_id for thread in threading.enumerate() if thread.name != COMPUTE_THREAD}
    return tids - python


class RunQueueWait:
    """Time that the compute threads waited for a CPU since the last reading. For one thread."""

    def __init__(
        self,
        tasks: Path = Path("/proc/self/task"),
        tids: Callable[[Path], frozenset[int]] = compute_tids,
        *,
        process_ns: Callable[[], int] | None = None,
    ) -> None:
        """Start without files; `refresh` opens them.

        Args:
            tasks: Folder of the threads.
            tids: Lists the threads that count.
            process_ns: CPU time of this process. With it, waiting caused by this process's other threads, such as the screen's, is not
                counted.
        """
        self._tasks = tasks
        self._tids = tids
        self._process_ns = process_ns
        self._process_before = process_ns() if process_ns is not None else 0
        self._owed_ns = 0
        """CPU time attributed to the other threads too early: the kernel updates a running thread's own file at the next tick."""
        self._files: dict[int, KernelFile] = {}
        self._before: dict[int, tuple[int, int]] = {}
        self._threads = 0
        self._listed_ns = self._read_ns = 0

    def refresh(self) -> None:
        """List the compute threads again: workers come and go with the thread count."""
        now = self._tids(self._tasks)
        for gone in self._files.keys() - now:
            self._files.pop(gone).close()
            self._before.pop(gone, None)
        for new in now - self._files.keys():
            self._files[new] = KernelFile(self._tasks / str(new) / "schedstat")

    def since_last(self) -> int | None:
        """Return the nanoseconds waited by all threads together; None where the kernel does not report it, and at the first call."""
        ran, waited, known = 0, 0, False
        for tid, file in self._files.items():
            words = (file.read() or "").split()
            if len(words) < 2 or not (words[0].isdigit() and words[1].isdigit()):
                continue
            now = int(words[0]), int(words[1])
            before = self._before.get(tid)
            self._before[tid] = now
            if before is not None:
                known = True
                ran += max(0, now[0] - before[0])
                waited += max(0, now[1] - before[1])
        by_own_threads = min(waited, self._other_threads(ran))
        return waited - by_own_threads if known else None

    def _other_threads(self, ran_ns: int) -> int:
        """Return the CPU time of other threads of this process since the last reading, while these threads used `ran_ns`."""
        if self._process_ns is None:
            return 0
        now = self._process_ns()
        used = self._owed_ns + now - self._process_before - ran_ns
        self._process_before, self._owed_ns = now, min(0, used)
        return max(0, used)

    def after_call(self, at_ns: int, threads: int) -> int | None:
        """Return the waiting time after a decode call, like `since_last`; None also soon after the last reading.

        Args:
            at_ns: The time, by `engine.clock`.
            threads: Number of threads of the call; a new number may have started workers.
        """
        if at_ns - self._read_ns < READ_EVERY_NS:
            return None
        self._read_ns = at_ns
        if threads != self._threads or at_ns - self._listed_ns >= LIST_EVERY_NS:
            self._threads, self._listed_ns = threads, at_ns
            self.refresh()
        return self.since_last()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()
