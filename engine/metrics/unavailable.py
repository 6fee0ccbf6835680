"""Which figures this machine, this terminal or this moment doesn't offer, and why: for the page that explains them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.host.sampler import HostSample
from engine.host.value import Unavailable
from engine.metrics.snapshot import Snapshot


def lacking(now: Snapshot) -> Mapping[str, str]:
    """The reason for each figure that can't be known now, by the id of its definition."""
    reasons: dict[str, str] = {} if now.host is None else _of_the_machine(now.host)
    if now.roofline is None:
        reasons |= dict.fromkeys(("bandwidth_gb_s", "bytes_per_token"), "known while tokens flow")
    elif now.roofline.bandwidth_share is None:
        not_measured = "this host was not measured at this thread count; m measures it"
        reasons |= dict.fromkeys(("bandwidth_share", "ceiling_tokens_per_second", "compute_share"), not_measured)
    if now.price.round_trip_ms is None:
        reasons["round_trip_ms"] = "the terminal has not answered a question yet"
    return reasons


def _of_the_machine(host: HostSample) -> dict[str, str]:
    memory, cpu = host.memory, host.cpu
    readings = {
        "rss_bytes": memory.rss,
        "anon_bytes": memory.anon,
        "file_bytes": memory.file,
        "weights_resident": host.weights,
        "python_bytes": memory.anon,
        "others_bytes": memory.available,
        "available_bytes": memory.available,
        "total_bytes": memory.total,
        "limit_bytes": memory.limit,
        "swap_bytes": memory.swap,
        "major_faults": host.major_faults,
        "cpu_machine_pct": cpu.machine_pct,
        "cpu_own_pct": cpu.process_pct,
        "cpu_others_pct": cpu.others_pct,
        "steal_pct": cpu.steal_pct,
        "throttled_pct": cpu.throttled_pct,
        "freq_mhz": cpu.freq_mhz,
        "governor": cpu.governor,
        "temperature_c": cpu.temperature_c,
        "quota_cores": cpu.quota_cores,
        "load": cpu.load,
        "power_w": host.power_w,
        "joules_per_token": host.power_w,
    }
    reasons = {figure: reading.reason for figure, reading in readings.items() if isinstance(reading, Unavailable)}
    if not host.threads and host.interval_s is not None:
        reasons |= dict.fromkeys(("thread_running_pct", "thread_waiting_pct", "ui_pct"), "/proc/self/task/*/schedstat can't be read")
    return reasons
