"""Figures of the processor: load, frequency, temperature, power and threads."""

from __future__ import annotations

from dataclasses import asdict

from engine.host.cpu import own_share
from engine.host.sampler import HostSample
from engine.host.value import Unavailable, known
from engine.metrics.figures.figure import Column, Figure, History, Metric, Value, number_in, of_host
from engine.metrics.snapshot import Snapshot

_NO_THREADS = Unavailable("/proc/self/task/*/schedstat can't be read")


def _threads(host: HostSample) -> Value:
    return [asdict(share) for share in host.threads] if host.threads or host.interval_s is None else _NO_THREADS


def _of_highest(now: Snapshot) -> str:
    highest = known(now.host.cpu.freq_max_mhz) if now.host else None
    return f" of {highest:,.0f}" if highest else ""


def _energy(now: Snapshot) -> Value:
    power = of_host(lambda host: host.power_w)(now)
    if not isinstance(power, float):
        return power
    return power / now.speed.now if now.speed.now else None


def _per_token(now: Snapshot) -> str:
    joules = number_in(_energy(now))
    return f", {joules:.2f} J per token" if joules else ""


# fmt: off
PROCESSOR: tuple[Figure, ...] = (
    Figure("cpu_machine_pct", "CPU, whole machine", label="machine", unit="% of all cores", read=of_host(lambda host: host.cpu.machine_pct),
        panes=("cpu",), group="host", history=History(), column=Column("REAL"), sample_chart="Processor",
        formula="Busy time (user, nice, system, interrupts, steal) / all time since the last sample.",
        source="/proc/stat.", levers="threads, other programs."),
    Figure("cpu_own_pct", "CPU, xchat", label="xchat", unit="% of all cores", read=of_host(lambda host: own_share(host.cpu)),
        panes=("cpu",), group="host", history=History(),
        formula="User and system time of this process / time since the last sample / number of cores; with the others it makes the whole "
        "machine.",
        source="getrusage().", levers="threads, stream_batch, hiding the panel."),
    Figure("cpu_process_pct", "CPU, xchat, in cores", label="process", unit="% of one core",
        read=of_host(lambda host: host.cpu.process_pct), panes=("cpu",), group="host", column=Column("REAL"), sample_chart="Processor",
        metric=Metric("xchat_cpu_ratio"),
        formula="User and system time of this process / time since the last sample; 200 % is two cores.",
        source="getrusage().", levers="threads, stream_batch, hiding the panel."),
    Figure("cpu_others_pct", "CPU, others", label="others", unit="% of all cores", read=of_host(lambda host: host.cpu.others_pct),
        panes=("cpu",), group="host",
        formula="Whole machine - xchat's share of all cores.",
        source="/proc/stat and getrusage().", levers="stopping other programs. Their share of a turn is `disturbed`."),
    Figure("cores_pct", "Cores", label="cores", unit="% of one core",
        read=of_host(lambda host: [round(share, 1) for share in host.cpu.cores_pct]), panes=("cpu",), group="host", key="cpu_cores_pct",
        formula="Number of cores, and a bar with the busy share of each since the last sample; a full bar is 100 %.",
        source="/proc/stat.", levers="threads, other programs."),
    Figure("steal_pct", "Steal", label="steal", unit="% of all cores", read=of_host(lambda host: host.cpu.steal_pct), panes=("cpu",),
        group="host", column=Column("REAL"),
        formula="Time in which the hypervisor ran other machines although this one was ready to run.",
        source="/proc/stat.", levers="another type of virtual machine; nothing inside this one."),
    Figure("throttled_pct", "Throttled", label="throttled", unit="% of time", read=of_host(lambda host: host.cpu.throttled_pct),
        panes=("cpu",), group="host",
        formula="Time in which the control group's quota was used up / time since the last sample.",
        source="cpu.stat of the control group.", levers="a larger CPU quota of the container, fewer threads."),
    Figure("freq_mhz", "Frequency", label="frequency", unit="MHz", read=of_host(lambda host: host.cpu.freq_mhz), panes=("cpu",),
        group="host", row=True, detail=_of_highest, history=History(), column=Column("REAL"),
        formula="Mean over the first cores.",
        source="cpufreq in /sys.", levers="the governor, cooling, fewer busy cores."),
    Figure("governor", "Governor", label="governor", read=of_host(lambda host: host.cpu.governor), panes=("cpu",), group="host", row=True,
        formula="The rule by which the kernel picks the frequency.",
        source="scaling_governor in /sys.", levers="`cpupower frequency-set`, the power profile of the desktop."),
    Figure("temperature_c", "Temperature", label="temperature", unit="°C", read=of_host(lambda host: host.cpu.temperature_c),
        panes=("cpu",), group="host", row=True, fold="max", history=History(), column=Column("REAL"), sample_chart="Temperature",
        formula="Hottest sensor of the processor.",
        source="hwmon or thermal zones in /sys.", levers="cooling."),
    Figure("quota_cores", "Quota", label="quota", unit="cores", read=of_host(lambda host: host.cpu.quota_cores), panes=("cpu",),
        group="host", row=True,
        formula="Quota / period of the control group.",
        source="cpu.max or cpu.cfs_quota_us.", levers="the container's limits."),
    Figure("load", "Load", label="load", unit="tasks", read=of_host(lambda host: host.cpu.load), panes=("cpu",), group="host", row=True,
        formula="Runnable tasks, mean of the last minute.",
        source="getloadavg().", levers="other programs, threads."),
    Figure("power_w", "Power", label="power", unit="W", read=of_host(lambda host: host.power_w), panes=("cpu",), group="host",
        row=True, detail=_per_token, history=History(), column=Column("REAL"), sample_chart="Power",
        formula="Energy of the processor packages / time since the last sample, other programs and idle share included.",
        source="RAPL counters in /sys/class/powercap.", levers="threads, the governor."),
    Figure("joules_per_token", "Energy per token", label="per token", unit="J", read=_energy, panes=("cpu",),
        formula="Power / tokens per second now.",
        source="RAPL counters and token timestamps.", levers="threads: the fastest setting rarely uses the least energy."),
    Figure("thread_running_pct", "Thread, running", unit="% of one core", read=of_host(_threads), panes=("threads",), group="host",
        key="threads",
        formula="Time on a core / time since the last sample. Compute workers that spin at a barrier count as running.",
        source="/proc/self/task/*/schedstat.", levers="threads."),
    Figure("thread_waiting_pct", "Thread, waiting", unit="% of time", read=of_host(_threads), panes=("threads",), key="",
        formula="Time ready to run while no core was free / time since the last sample.",
        source="/proc/self/task/*/schedstat.", levers="one thread fewer, fewer other programs."),
    Figure("threads", "Decode threads", label="decode", unit="threads", read=lambda now: now.engine.threads if now.engine else None,
        panes=("threads",), column=Column("INTEGER"),
        formula="Number of decode threads, and the reason: set by the preset, or chosen by `auto` from measurements.",
        source="The preset and the thread governor.", levers="`threads` in the preset.",
        actions=("fewer_threads", "more_threads")),
    Figure("threads_batch", "Prefill threads", label="prefill", unit="threads",
        read=lambda now: now.engine.threads_batch if now.engine else None, panes=("threads",),
        formula="Number of prefill threads, and the reason: set by the preset, or chosen by `auto` from measurements.",
        source="The preset and the thread governor.", levers="`threads_batch` in the preset."),
)
# fmt: on
