"""The input of the checks: the kernel's files below a root, this process's limits, and small measurements."""

from __future__ import annotations

import os
import re
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from engine.doctor.disk import read_speed
from engine.doctor.tmux import tmux_option
from engine.host.topology import Topology, read_topology, usable_cpus

MOST_BYTES = 4 << 20
"""Bytes read of one file; the kernel's own are smaller."""
CLOCK_CALLS = 5_000


class NotReadable(Exception):  # noqa: N818
    """A file that a check needs is missing or has other contents; the message names it."""


def clock_call_ns() -> float:
    """Measure the cost of reading the clock once, in nanoseconds; the best of a few rounds."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter_ns()
        for _ in range(CLOCK_CALLS):
            time.perf_counter_ns()
        best = min(best, (time.perf_counter_ns() - began) / CLOCK_CALLS)
    return best


@dataclass(frozen=True)
class Machine:
    """A machine and a process on it; tests give another root and other values."""

    root: Path = Path("/")
    """The folder with `proc`, `sys` and `dev`."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    model: tuple[Path, ...] = ()
    """The parts of the model's file; none when there is no model."""
    no_model: str = "no model is chosen"
    """Why there is no model."""
    system_info: str = ""
    """The features that the native library reports, as llama.cpp prints them."""
    library: str = ""
    """Version and build of the native library."""
    gpus: tuple[str, ...] | None = None
    """GPUs that the native library can compute on, with their memory; None when it was not asked."""
    benchmarked: tuple[int, str, str] | None = None
    """Number, kernel and native library of the newest benchmark in the log of runs."""
    cpus: frozenset[int] = field(default_factory=usable_cpus)
    """The affinity mask."""
    niceness: int = field(default_factory=lambda: os.getpriority(os.PRIO_PROCESS, 0))
    limit: Callable[[int], tuple[int, int]] = resource.getrlimit
    clock_ns: Callable[[], float] = clock_call_ns
    disk_speed: Callable[[Path], float | None] = read_speed
    """Bytes per second of a cold read, or None."""
    tmux: Callable[[str], str | None] = tmux_option
    """The value of a tmux option, or None."""

    def maybe(self, path: str) -> str | None:
        """Return the stripped text of a file below the root; None when it can't be read."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(MOST_BYTES).decode("utf-8", "replace").strip()
        except (OSError, ValueError):
            return None

    def text(self, path: str) -> str:
        """Return the text of a file below the root.

        Raises:
            NotReadable: It can't be read, or is empty.
        """
        found = self.maybe(path)
        if not found:
            raise NotReadable(f"/{path} can't be read")
        return found

    def number(self, path: str) -> int:
        """Return the whole number in a file below the root; raises NotReadable when there is none."""
        text = self.text(path)
        if not re.fullmatch(r"-?\d{1,19}", text):
            raise NotReadable(f"/{path} has no number")
        return int(text)

    def field(self, path: str, name: str) -> int:
        """Return the number after a name in a file of `name number` or `name: number kB` lines; raises NotReadable."""
        match = re.search(rf"^{re.escape(name)}:?\s+(\d{{1,19}})\b", self.text(path), re.MULTILINE)
        if match is None:
            raise NotReadable(f"/{path} has no {name}")
        return int(match[1])

    def pressure(self, kind: str) -> float:
        """Return the percentage of the last ten seconds in which some task waited for `cpu`, `memory` or `io`; raises NotReadable."""
        match = re.match(r"some avg10=(\d{1,3}(?:\.\d+)?)", self.text(f"proc/pressure/{kind}"))
        if match is None:
            raise NotReadable(f"/proc/pressure/{kind} has no figure")
        return float(match[1])

    @cached_property
    def topology(self) -> Topology:
        """CPUs, cores, quota."""
        return read_topology(self.root, self.cpus)

    @cached_property
    def model_bytes(self) -> int:
        """Size of the model's file.

        Raises:
            NotReadable: There is no model.
        """
        if not self.model:
            raise NotReadable(self.no_model)
        try:
            return sum(part.stat().st_size for part in self.model)
        except OSError as error:
            raise NotReadable(f"the model's file can't be read: {error.strerror}") from error

    @cached_property
    def cold_read(self) -> float | None:
        """Measure the read speed of the model's disk once, in bytes per second; None where it can't be measured."""
        return self.disk_speed(self.model[0]) if self.model else None
