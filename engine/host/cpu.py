"""Processor load, frequency and temperature. Shares are per cent over the time since the last sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.host.procfs import KernelFile
from engine.host.value import Reading, Unavailable

_FIRST = Unavailable("available from the second sample on")
_BUSY = (0, 1, 2, 5, 6, 7)
"""Columns of a `cpu` line of /proc/stat that are work: user, nice, system, irq, softirq, steal. Guest time is inside user."""
_STEAL = 7


@dataclass(frozen=True, slots=True)
class CpuFigures:
    """Shares of the machine are per cent of all cores, shares of this process per cent of one core."""

    machine_pct: Reading
    """All cores together."""
    cores_pct: tuple[float, ...]
    """Each core; empty when unknown."""
    process_pct: Reading
    """This process; 200 is two cores."""
    others_pct: Reading
    """Use by other processes, in per cent of all cores."""
    steal_pct: Reading
    """Time that the hypervisor gave to other machines while this one was ready to run."""
    freq_mhz: Reading
    """Current frequency, mean of the sampled cores."""
    freq_max_mhz: Reading
    """Highest frequency of the hardware."""
    governor: str | Unavailable
    """The kernel's frequency governor."""
    temperature_c: Reading
    """The hottest processor sensor."""
    quota_cores: Reading
    """CPU quota of the cgroup in cores."""
    throttled_pct: Reading
    """Share of the time in which the cgroup was throttled."""
    load: Reading
    """Runnable tasks, mean of the last minute."""


def own_share(cpu: CpuFigures) -> Reading:
    """Use by this process in per cent of all cores, like `machine_pct` and `others_pct`."""
    own = cpu.process_pct
    return own if isinstance(own, Unavailable) or not cpu.cores_pct else own / len(cpu.cores_pct)


class CoreTimes:
    """Busy shares from /proc/stat."""

    def __init__(self, proc: Path) -> None:
        self._stat = KernelFile(proc / "stat")
        self._before: list[tuple[int, ...]] = []

    def read(self) -> tuple[Reading, tuple[float, ...], Reading]:
        """Return the machine's share, the share of each core and the steal share, in per cent since the last call."""
        text = self._stat.read()
        if text is None:
            self._before = []
            missing = Unavailable("/proc/stat can't be read")
            return missing, (), missing
        rows = [tuple(map(int, line.split()[1:9])) for line in text.splitlines() if line.startswith("cpu")]
        before, self._before = self._before, rows
        if len(before) != len(rows) or not rows:  # the first sample, or a core went on or off
            return _FIRST, (), _FIRST
        shares = [_share(old, new) for old, new in zip(before, rows, strict=True)]
        total = sum(rows[0]) - sum(before[0])
        steal = (rows[0][_STEAL] - before[0][_STEAL]) / total * 100 if total > 0 and len(rows[0]) > _STEAL else 0.0
        return shares[0], tuple(shares[1:]), max(0.0, steal)

    def close(self) -> None:
        """Close the file."""
        self._stat.close()


def _share(old: tuple[int, ...], new: tuple[int, ...]) -> float:
    total = sum(new) - sum(old)
    busy = sum(new[column] - old[column] for column in _BUSY if column < len(new))
    return min(100.0, max(0.0, busy / total * 100)) if total > 0 else 0.0


class Frequency:
    """Frequency and governor from cpufreq. Few cores are sampled: on some kernels one reading costs a millisecond."""

    LOOKED_AT = 4

    def __init__(self, sysfs: Path) -> None:
        self._policies = sorted((sysfs / "devices/system/cpu/cpufreq").glob("policy*"))[: self.LOOKED_AT]
        self._current = [KernelFile(policy / "scaling_cur_freq") for policy in self._policies]

    def read(self) -> tuple[Reading, Reading, str | Unavailable]:
        """Return the current and the highest frequency in MHz, and the governor."""
        missing = Unavailable("no cpufreq here, as in most virtual machines and containers")
        if not self._policies:
            return missing, missing, missing
        now = [value / 1000 for file in self._current if (value := file.read_int())]
        first = self._policies[0]
        top = KernelFile(first / "cpuinfo_max_freq")
        governor = KernelFile(first / "scaling_governor")
        try:
            highest, name = top.read_int(), governor.read()
        finally:
            top.close()
            governor.close()
        return sum(now) / len(now) if now else missing, highest / 1000 if highest else missing, name.strip() if name else missing

    def close(self) -> None:
        """Close the files."""
        for file in self._current:
            file.close()


_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "x86_pkg_temp", "cpu-thermal", "soc_thermal", "acpitz")
"""Names under which kernels list the processor's own sensor, best first."""


class Temperature:
    """The processor's temperature, from hwmon or the thermal zones."""

    def __init__(self, sysfs: Path) -> None:
        found: dict[str, list[Path]] = {}
        for name_file in [*sysfs.glob("class/hwmon/hwmon*/name"), *sysfs.glob("class/thermal/thermal_zone*/type")]:
            try:
                name = name_file.read_text("utf-8", "replace").strip()
            except OSError:
                continue
            inputs = [*name_file.parent.glob("temp*_input"), *name_file.parent.glob("temp")]
            found.setdefault(name, []).extend(inputs)
        chosen = next((found[name] for name in _CPU_SENSORS if found.get(name)), [])
        self._files = [KernelFile(path) for path in chosen]

    def read(self) -> Reading:
        """Return the temperature of the hottest sensor in °C."""
        values = [value / 1000 for file in self._files if (value := file.read_int()) is not None]
        return max(values) if values else Unavailable("no readable sensor of the processor")

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
