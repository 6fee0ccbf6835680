"""Reads the power of the processor packages from the RAPL counters, where possible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.clock import NS_PER_S
from engine.host.procfs import KernelFile
from engine.host.value import Reading, Unavailable

_UJ_PER_J = 1e6


@dataclass(slots=True)
class _Package:
    counter: KernelFile
    range_uj: int
    """The value at which the counter wraps."""
    before_uj: int | None = None


class Energy:
    """The power of the whole packages, all processes and idle power included."""

    def __init__(self, sysfs: Path) -> None:
        self._packages: list[_Package] = []
        self._before_ns: int | None = None
        for folder in sorted((sysfs / "class/powercap").glob("*rapl:[0-9]")):
            counter, limit = KernelFile(folder / "energy_uj"), KernelFile(folder / "max_energy_range_uj")
            self._packages.append(_Package(counter, limit.read_int() or 0))
            limit.close()

    def read(self, now_ns: int) -> Reading:
        """Return the mean power since the last call in watts, all packages together."""
        if not self._packages:
            return Unavailable("no RAPL energy counter here, as in most virtual machines")
        before_ns, self._before_ns = self._before_ns, now_ns
        used = 0
        complete = True
        for package in self._packages:
            value = package.counter.read_int()
            if value is None:
                self._before_ns = None
                return Unavailable("the energy counter is readable for root only (energy_uj)")
            if package.before_uj is None:
                complete = False
            else:
                used += value - package.before_uj + (package.range_uj if value < package.before_uj else 0)
            package.before_uj = value
        if not complete or before_ns is None or now_ns <= before_ns:
            return Unavailable("available from the second sample on")
        return used / _UJ_PER_J / ((now_ns - before_ns) / NS_PER_S)

    def close(self) -> None:
        """Close the files."""
        for package in self._packages:
            package.counter.close()
