"""Switches the spinning of OpenMP threads off and on in the running process.

libgomp lets a thread that waits at a barrier spin for 3 to 15 ms before it sleeps, unless it manages more threads than there are CPUs:
then it spins 100 times only (`gomp_managed_threads > gomp_available_cpus`, libgomp `wait.h`). An idle team that belongs to another thread
counts as managed, so starting one throttles spinning, and letting its thread end brings spinning back; both take effect within a running
call. Starting the team costs about 0.2 ms, keeping it costs nothing.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path

_ENVIRONMENT = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""Variables that already decide how threads wait."""


class SpinLever:
    """Throttles or allows spinning for the whole process. Call its methods from one thread."""

    def __init__(self, gomp: ctypes.CDLL, cpus: int) -> None:
        self._gomp = gomp
        self._cpus = cpus
        self._body = ctypes.cast(ctypes.CDLL(None).abs, ctypes.c_void_p)
        self._let_go: threading.Event | None = None
        self._holder: threading.Thread | None = None

    @property
    def throttled(self) -> bool:
        """Whether waiting threads sleep at once."""
        return self._holder is not None

    def throttle(self) -> None:
        """Let waiting threads sleep at once."""
        if self._holder is not None:
            return
        up, let_go = threading.Event(), threading.Event()

        def hold() -> None:
            # One more than the CPUs: with the compute thread itself that is always more than libgomp counts CPUs.
            self._gomp.GOMP_parallel(self._body, ctypes.c_void_p(1), ctypes.c_uint(self._cpus + 1), ctypes.c_uint(0))
            up.set()
            let_go.wait()

        holder = threading.Thread(target=hold, name="xchat-idle-team", daemon=True)
        try:
            holder.start()
        except RuntimeError:
            return  # no more threads can be started, so waiting threads keep spinning
        self._let_go, self._holder = let_go, holder
        up.wait()

    def release(self) -> None:
        """Let waiting threads spin again."""
        holder, let_go = self._holder, self._let_go
        if holder is not None and let_go is not None:
            let_go.set()
            holder.join()
        self._holder = self._let_go = None


def find_lever(maps: Path = Path("/proc/self/maps")) -> tuple[SpinLever | None, str]:
    """Find the libgomp of the loaded native library; without one, return None and the reason."""
    for name in _ENVIRONMENT:
        if os.environ.get(name):
            return None, f"{name} in the environment sets how threads wait"
    try:
        loaded = {
            line.split(None, 5)[5].strip() for line in maps.read_text("utf-8", "replace").splitlines() if len(line.split(None, 5)) == 6
        }
    except OSError:
        return None, "this system does not show which libraries are loaded"
    paths = sorted(path for path in loaded if Path(path).name.startswith("libgomp"))
    if len(paths) != 1:
        return None, "the native library was not built with libgomp" if not paths else "several copies of libgomp are loaded"
    try:
        gomp = ctypes.CDLL(paths[0])
        gomp.GOMP_parallel.restype = None
    except (OSError, AttributeError):
        return None, "libgomp cannot be called"
    return SpinLever(gomp, os.cpu_count() or 1), ""
