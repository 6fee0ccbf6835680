"""Samples of the machine and this process: memory, processor, threads, faults, energy.

A sample costs under 2 ms and never fails: what can't be read is `Unavailable` with the reason. Reads /proc and /sys on Linux, psutil
elsewhere.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.host.cgroup import ControlGroup
from engine.host.cpu import CoreTimes, CpuFigures, Frequency, Temperature
from engine.host.energy import Energy
from engine.host.memory import NOT_LINUX, LinuxMemory, MemoryFigures, Residency, file_residency
from engine.host.procfs import KernelFile
from engine.host.threads import ThreadShare, ThreadTimes
from engine.host.value import Reading, Unavailable

SLOW_EVERY_NS = 5 * NS_PER_S
"""Interval between readings of slow or costly sensors: frequency, temperature, quota, the resident part of the model."""

_FIRST = Unavailable("available from the second sample on")


@dataclass(frozen=True, slots=True)
class HostSample:
    """One sample of the machine. Rates and shares cover the time since the last sample."""

    at_ns: int
    interval_s: float | None
    """Time since the last sample; None for the first."""
    memory: MemoryFigures
    cpu: CpuFigures
    threads: tuple[ThreadShare, ...]
    """Busiest first; empty where the kernel doesn't report them."""
    major_faults: Reading
    """Page faults of this process that waited for the disk, since the last sample."""
    swapped_in: Reading
    """Pages that the machine read back from swap since the last sample."""
    power_w: Reading
    """Power of the processor packages, other programs and idle power included."""
    weights: Residency | Unavailable
    """The resident part of the model's file."""
    cost_ms: float
    """Cost of taking this sample."""


class HostSampler(Protocol):
    """Takes samples of this machine. Called from one thread."""

    def watch_model(self, path: Path | None) -> None:
        """Set the mapped file that `weights` describes."""

    def sample(self) -> HostSample:
        """Take a sample."""

    def close(self) -> None:
        """Close all files."""


def host_sampler() -> HostSampler:
    """Make the sampler for this operating system."""
    return LinuxSampler() if sys.platform.startswith("linux") else PortableSampler()


class _ProcessTimes:
    """CPU time and major faults of this process, from getrusage."""

    def __init__(self) -> None:
        self._before: tuple[int, float, int] | None = None

    def read(self, at_ns: int) -> tuple[Reading, Reading]:
        """Return the CPU use in per cent of one core, and the major faults, since the last call."""
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        now = (at_ns, usage.ru_utime + usage.ru_stime, usage.ru_majflt)
        before, self._before = self._before, now
        if before is None or at_ns <= before[0]:
            return _FIRST, _FIRST
        seconds = (at_ns - before[0]) / NS_PER_S
        return max(0.0, (now[1] - before[1]) / seconds * 100), float(max(0, now[2] - before[2]))


def _others(machine: Reading, process: Reading, cores: int) -> Reading:
    """Return the machine's busy share without this process."""
    if isinstance(machine, Unavailable) or isinstance(process, Unavailable):
        return machine if isinstance(machine, Unavailable) else process
    return max(0.0, machine - process / max(1, cores))


def _load() -> Reading:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return Unavailable("this system has no load average")


class LinuxSampler:
    """Reads /proc and /sys; other roots serve containers that mount them elsewhere."""

    def __init__(self, proc: Path = Path("/proc"), sysfs: Path = Path("/sys")) -> None:
        self._proc = proc
        self._memory = LinuxMemory(proc)
        self._cores = CoreTimes(proc)
        self._group = ControlGroup(proc, sysfs)
        self._frequency = Frequency(sysfs)
        self._temperature = Temperature(sysfs)
        self._energy = Energy(sysfs)
        self._threads = ThreadTimes(proc)
        self._vmstat = KernelFile(proc / "vmstat")
        self._times = _ProcessTimes()
        self._swapped: int | None = None
        self._before_ns: int | None = None
        self._model: Path | None = None
        self._slow_at_ns: int | None = None
        self._slow: _SlowFigures | None = None

    def watch_model(self, path: Path | None) -> None:
        """Set the mapped file that `weights` describes."""
        self._model = path
        self._slow_at_ns = None

    def sample(self) -> HostSample:
        """Take a sample."""
        at_ns = now_ns()
        slow = self._slowly(at_ns)
        process, faults = self._times.read(at_ns)
        machine, cores, steal = self._cores.read()
        threads = self._threads.read(at_ns)
        memory = self._memory.read(slow.memory_limit)
        cpu = replace(
            slow.cpu,
            machine_pct=machine,
            cores_pct=cores,
            process_pct=process,
            others_pct=_others(machine, process, len(cores)),
            steal_pct=steal,
            throttled_pct=self._group.throttled_pct(at_ns),
            load=_load(),
        )
        interval = (at_ns - self._before_ns) / NS_PER_S if self._before_ns is not None else None
        self._before_ns = at_ns
        swapped, power = self._swapped_in(), self._energy.read(at_ns)
        cost_ms = (now_ns() - at_ns) / NS_PER_MS
        return HostSample(at_ns, interval, memory, cpu, threads, faults, swapped, power, slow.weights, cost_ms)

    def _slowly(self, at_ns: int) -> _SlowFigures:
        if self._slow is None or self._slow_at_ns is None or at_ns - self._slow_at_ns >= SLOW_EVERY_NS:
            frequency, highest, governor = self._frequency.read()
            cpu = CpuFigures(
                machine_pct=_FIRST,
                cores_pct=(),
                process_pct=_FIRST,
                others_pct=_FIRST,
                steal_pct=_FIRST,
                freq_mhz=frequency,
                freq_max_mhz=highest,
                governor=governor,
                temperature_c=self._temperature.read(),
                quota_cores=self._group.quota_cores(),
                throttled_pct=_FIRST,
                load=_FIRST,
            )
            weights = file_residency(self._model, self._proc) if self._model is not None else Unavailable("no model file is loaded")
            self._slow = _SlowFigures(cpu, self._group.memory_limit(), weights)
            self._slow_at_ns = at_ns
        return self._slow

    def _swapped_in(self) -> Reading:
        text = self._vmstat.read()
        place = text.find("\npswpin ") if text is not None else -1
        if text is None or place < 0:
            return Unavailable("/proc/vmstat has no pswpin")
        now = int(text[place + len("\npswpin ") :].split(maxsplit=1)[0])
        before, self._swapped = self._swapped, now
        return _FIRST if before is None else float(max(0, now - before))

    def close(self) -> None:
        """Close all files."""
        for probe in (
            self._memory,
            self._cores,
            self._group,
            self._frequency,
            self._temperature,
            self._energy,
            self._threads,
            self._vmstat,
        ):
            probe.close()


@dataclass(frozen=True, slots=True)
class _SlowFigures:
    cpu: CpuFigures
    memory_limit: Reading
    weights: Residency | Unavailable


class PortableSampler:
    """Samples memory and processor shares with psutil, on every system."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        self._times = _ProcessTimes()
        self._before_ns: int | None = None
        psutil.cpu_percent(percpu=True)

    def watch_model(self, path: Path | None) -> None:
        """Do nothing: only Linux reports the resident part of a file."""

    def sample(self) -> HostSample:
        """Take a sample."""
        at_ns = now_ns()
        process, faults = self._times.read(at_ns)
        machine = self._psutil.virtual_memory()
        swap = self._psutil.swap_memory()
        cores = tuple(self._psutil.cpu_percent(percpu=True))
        first = self._before_ns is None
        busy: Reading = _FIRST if first or not cores else sum(cores) / len(cores)
        interval = None if self._before_ns is None else (at_ns - self._before_ns) / NS_PER_S
        self._before_ns = at_ns
        memory = MemoryFigures(
            rss=float(self._process.memory_info().rss),
            total=float(machine.total),
            available=float(machine.available),
            swap_used=float(swap.used),
        )
        cpu = CpuFigures(
            machine_pct=busy,
            cores_pct=() if first else cores,
            process_pct=process,
            others_pct=_others(busy, process, len(cores)),
            steal_pct=NOT_LINUX,
            freq_mhz=NOT_LINUX,
            freq_max_mhz=NOT_LINUX,
            governor=NOT_LINUX,
            temperature_c=NOT_LINUX,
            quota_cores=NOT_LINUX,
            throttled_pct=NOT_LINUX,
            load=_load(),
        )
        cost_ms = (now_ns() - at_ns) / NS_PER_MS
        return HostSample(at_ns, interval, memory, cpu, (), faults, NOT_LINUX, NOT_LINUX, NOT_LINUX, cost_ms)

    def close(self) -> None:
        """Do nothing: no files are open."""
