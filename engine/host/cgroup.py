"""Limits and throttling of this process's control group, version 1 or 2."""

from __future__ import annotations

from pathlib import Path

from engine.host.procfs import KernelFile
from engine.host.value import Reading, Unavailable

_NO_LIMIT = Unavailable("no limit is set")
_NO_CGROUP = Unavailable("no control group can be read")
_UNLIMITED = 1 << 60
"""Version 1 writes a huge number where there is no memory limit."""


class ControlGroup:
    """The group of this process."""

    def __init__(self, proc: Path, sysfs: Path) -> None:
        paths = _paths(proc)
        root = sysfs / "fs/cgroup"
        self._v2 = (root / "cgroup.controllers").exists()
        self._cpu = _deepest(root if self._v2 else root / "cpu", paths.get("" if self._v2 else "cpu"))
        self._memory = _deepest(root if self._v2 else root / "memory", paths.get("" if self._v2 else "memory"))
        self._stat = KernelFile(self._cpu / "cpu.stat") if self._cpu is not None else None
        self._before: tuple[int, int] | None = None

    def quota_cores(self) -> Reading:
        """Return the CPU quota of the group in cores."""
        if self._cpu is None:
            return _NO_CGROUP
        if self._v2:
            words = _text(self._cpu / "cpu.max").split()
        else:
            words = [_text(self._cpu / "cpu.cfs_quota_us").strip(), _text(self._cpu / "cpu.cfs_period_us").strip()]
        try:
            quota, period = int(words[0]), int(words[1])
        except (ValueError, IndexError):
            return _NO_LIMIT
        return quota / period if quota > 0 and period > 0 else _NO_LIMIT

    def memory_limit(self) -> Reading:
        """Return the memory limit of the group in bytes."""
        if self._memory is None:
            return _NO_CGROUP
        text = _text(self._memory / ("memory.max" if self._v2 else "memory.limit_in_bytes")).strip()
        return float(text) if text.isdigit() and int(text) < _UNLIMITED else _NO_LIMIT

    def throttled_pct(self, now_ns: int) -> Reading:
        """Return the percentage of the time since the last call in which the group was throttled; over 100 for several cores."""
        text = self._stat.read() if self._stat is not None else None
        if text is None:
            self._before = None
            return _NO_CGROUP
        fields = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
        if "throttled_usec" in fields:
            throttled = int(fields["throttled_usec"]) * 1000
        elif "throttled_time" in fields:
            throttled = int(fields["throttled_time"])
        else:
            return _NO_LIMIT
        before, self._before = self._before, (now_ns, throttled)
        if before is None or now_ns <= before[0]:
            return Unavailable("available from the second sample on")
        return max(0.0, (throttled - before[1]) / (now_ns - before[0]) * 100)

    def close(self) -> None:
        """Close the file."""
        if self._stat is not None:
            self._stat.close()


def _paths(proc: Path) -> dict[str, str]:
    """Map controllers to paths from /proc/self/cgroup; the version 2 hierarchy has an empty name."""
    paths = {}
    for line in _text(proc / "self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _deepest(root: Path, path: str | None) -> Path | None:
    """Return the group's folder, or the nearest visible ancestor: a container often sees its own group as the root."""
    if path is None:
        return None
    folder = root / path.lstrip("/")
    while folder != root and not folder.is_dir():
        folder = folder.parent
    return folder if folder.is_dir() else None


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""
