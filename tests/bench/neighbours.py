"""Other programs that compete for the CPUs: busy loops, memory copies, another llama.cpp, compilers.

    python -m tests.bench.neighbours KIND [MODEL]

runs one of them until it is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil

KINDS = ("cpu", "memory", "llama", "compiler")
_SOURCE = "#include <stdio.h>\n#include <stdlib.h>\n" + "".join(
    f"int f{n}(int x) {{ int y = {n}; for (int i = 0; i < x; i++) y = y * 31 + (i ^ {n}) % 7; return y; }}\n" for n in range(400)
)


def burn() -> None:
    """Compute in the registers."""
    while True:
        pass


def copy() -> None:
    """Copy far more than the caches take."""
    source = np.ones(32 << 20, np.uint8)
    target = np.empty_like(source)
    while True:
        np.copyto(target, source)


def infer(model: str) -> None:
    """Decode with llama.cpp's own defaults on two threads."""
    from tests.bench.bare import BareLlama

    bare = BareLlama(Path(model), threads=2)
    while True:
        bare.measure()


def compile_c() -> None:
    """Compile C again and again; Python where there is no C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "busy.c")
        source.write_text(_SOURCE)
        while True:
            try:
                subprocess.run(["cc", "-O2", "-c", str(source), "-o", str(source.with_suffix(".o"))], check=True)
            except FileNotFoundError:
                compile("\n".join(f"def f{n}(x): return [x * {n} for y in range({n})]" for n in range(4_000)), "busy", "exec")


def pulse(busy_ms: float, period_ms: float) -> None:
    """Compute for a part of every period."""
    while True:
        begin = time.perf_counter()
        while time.perf_counter() - begin < busy_ms / 1e3:
            pass
        time.sleep(max(0.0, period_ms / 1e3 - (time.perf_counter() - begin)))


class Neighbours:
    """Running neighbours."""

    def __init__(self, processes: Sequence[psutil.Popen]) -> None:
        self._processes = processes

    def cpu_s(self) -> float:
        """Processor time that they have used, in nanosecond steps where the kernel counts it."""
        used = 0.0
        for process in self._processes:
            with suppress(OSError):
                used += int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9
        return used


@contextmanager
def neighbours(kind: str, count: int, *arguments: str, cpu: int | None = None, warm_s: float = 0.5) -> Iterator[Neighbours]:
    """Run that many of one kind, on one CPU if told, with all that they start."""
    command = [sys.executable, "-m", "tests.bench.neighbours", kind, *arguments]
    processes = [psutil.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(count)]
    try:
        for process in processes:
            if cpu is not None:
                process.cpu_affinity([cpu])
        time.sleep(warm_s if count else 0.0)
        yield Neighbours(processes)
        if any(process.poll() is not None for process in processes):
            raise RuntimeError(f"a {kind} neighbour has ended by itself")
    finally:
        for process in processes:
            process.stdin.close()
            process.wait()


def end_with_the_starter() -> None:
    """End this process when the one that started it has ended."""
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    os.setpgid(0, 0)
    threading.Thread(target=end_with_the_starter, daemon=True).start()
    what, *rest = sys.argv[1:]
    if what == "llama":
        infer(rest[0])
    elif what == "pulse":
        pulse(*map(float, rest))
    else:
        {"cpu": burn, "memory": copy, "compiler": compile_c}[what]()
