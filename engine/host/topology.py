"""Reads the resources that the engine may use: CPUs by affinity and quota, physical cores, instruction sets, memory.

Read from /proc and /sys on Linux, from Python and psutil elsewhere.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path("/")

_SLOW_CORE = 0.75
"""A core whose top speed is below this share of the fastest one's is an efficiency core."""
_ALMOST = 0.1
"""A quota this little below a whole number of CPUs counts as that number."""
_NO_LIMIT = 1 << 60
"""cgroups version 1 writes a number above this for no limit."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The CPUs this process may run on."""

    usable: int
    """Logical CPUs in the affinity mask."""
    cores: int
    """Physical cores behind them: siblings of a hyper-threaded core count once."""
    fast_cores: int
    """Physical cores that are not efficiency cores."""
    quota: float | None
    """CPU quota of the cgroup in CPUs, None without a limit."""
    numa_nodes: int = 1
    """Memory nodes that the CPUs belong to."""

    @property
    def most_threads(self) -> int:
        """Most threads with a CPU each; more would wait at barriers. A quota counts in whole CPUs, rounded down.

        With a quota of 1.5, two threads use it up after 75 ms of every 100 ms and are throttled for the rest.
        """
        return max(1, min(self.usable, int(self.quota + _ALMOST))) if self.quota is not None else max(1, self.usable)

    @property
    def start_threads(self) -> int:
        """First thread count: fast physical cores, within the quota's whole CPUs."""
        return max(1, min(self.fast_cores, self.most_threads))


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that can still be allocated, in bytes."""

    available: int
    """Free and reclaimable memory, within the cgroup's limit."""
    total: int
    """Memory of the machine, or the cgroup's limit where that is smaller."""
    limited: bool
    """Whether a cgroup's limit decides."""


def read_topology(root: Path = ROOT, affinity: frozenset[int] | None = None) -> Topology:
    """Read the topology; affinity and quota can change while the program runs. Cheap enough to call every second."""
    cpus = affinity if affinity is not None else usable_cpus()
    cores: dict[str, float] = {}
    for cpu in sorted(cpus):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}"
        siblings = _text(folder / "topology/thread_siblings_list") or str(cpu)
        cores[siblings] = max(cores.get(siblings, 0.0), _speed(folder))
    top = max(cores.values(), default=0.0)
    fast = sum(1 for speed in cores.values() if speed >= _SLOW_CORE * top)
    return Topology(usable=len(cpus), cores=len(cores), fast_cores=fast, quota=cpu_quota(root), numa_nodes=_numa_nodes(root, cpus))


def _numa_nodes(root: Path, cpus: frozenset[int]) -> int:
    nodes = (root / "sys/devices/system/node").glob("node[0-9]*/cpulist")
    return max(1, sum(1 for node in nodes if not cpus.isdisjoint(_cpu_list(_text(node)))))


def _cpu_list(text: str) -> set[int]:
    """Parse a list such as `0-3,8` into numbers."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        with suppress(ValueError):
            cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def usable_cpus() -> frozenset[int]:
    """Return the CPUs in the affinity mask."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the smallest CPU quota of the cgroups around this process; None without a limit."""
    quotas = []
    for folder in _cgroups(root, "cpu"):
        words = _text(folder / "cpu.max").split()
        if not words:
            words = [_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")]
        with suppress(ValueError, IndexError, ZeroDivisionError):
            quota = int(words[0]) / int(words[1])
            if quota > 0:
                quotas.append(quota)
    return min(quotas, default=None)


def read_room(root: Path = ROOT) -> Room:
    """Read the available memory."""
    memory = psutil.virtual_memory()
    available, total, limited = memory.available, memory.total, False
    for folder in _cgroups(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is None or limit >= _NO_LIMIT:
            continue
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        # The page cache counts against the limit and is reclaimed under pressure.
        left = max(0, limit - max(0, used - _reclaimable(folder)))
        if left < available:
            available, limited = left, True
        total = min(total, limit)
    return Room(available, total, limited)


def memory_limits(root: Path = ROOT) -> dict[str, int]:
    """Return the limits in bytes of all cgroups around this process, by the kernel's file; above `memory.high` a group is slowed down."""
    files = (folder / name for folder in _cgroups(root, "memory") for name in ("memory.max", "memory.high", "memory.limit_in_bytes"))
    limits = {f"/{file.relative_to(root)}": limit for file in files if (limit := _number(file)) is not None}
    return {name: limit for name, limit in limits.items() if limit < _NO_LIMIT}


def cpu_features(root: Path = ROOT) -> frozenset[str]:
    """Return the instruction sets by the kernel's names (`avx2`, `avx512f`, `asimddp`, …); empty where unknown."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, words = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return frozenset(words.split())
    if platform.machine() == "arm64":
        return frozenset({"asimd", "asimddp"})
    return frozenset()


def _speed(folder: Path) -> float:
    """Return the top speed of a CPU, in a common unit."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        with suppress(ValueError):
            return float(_text(folder / name))
    return 0.0


def _cgroups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the cgroups around this process, innermost first, of version 2 and of version 1."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, inside = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
        else:
            continue
        # In a container the path may be the host's; the outermost folder is then this process's own.
        folder = base / inside.strip("/")
        while True:
            yield folder
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent


def _reclaimable(folder: Path) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in {"inactive_file", "total_inactive_file"} and value.isdecimal():
            return int(value)
    return 0


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
