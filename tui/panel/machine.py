"""The panes about the machine: memory, processor, threads."""

from __future__ import annotations

from engine.host.cpu import CpuFigures, own_share
from engine.host.sampler import HostSample
from engine.host.threads import ThreadGroup
from engine.host.value import Reading, Unavailable, known
from engine.metrics.snapshot import Snapshot
from tui.drawing.braille import Glyphs, spark
from tui.drawing.rows import UNKNOWN, Role, Row, bar, cells, cut, labelled_bar, level, reading, size
from tui.panel.pane import ChartSpec, Density, Pane, bytes_label

_NO_SAMPLE = Unavailable("not sampled yet")
_NO_CPU = CpuFigures(
    machine_pct=_NO_SAMPLE,
    cores_pct=(),
    process_pct=_NO_SAMPLE,
    others_pct=_NO_SAMPLE,
    steal_pct=_NO_SAMPLE,
    freq_mhz=_NO_SAMPLE,
    freq_max_mhz=_NO_SAMPLE,
    governor=_NO_SAMPLE,
    temperature_c=_NO_SAMPLE,
    quota_cores=_NO_SAMPLE,
    throttled_pct=_NO_SAMPLE,
    load=_NO_SAMPLE,
)


def _memory_headline(now: Snapshot) -> str:
    return f"RSS {size(known(now.host.memory.rss))}" if now.host else UNKNOWN


def _memory_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    host = now.host
    total, available = (known(host.memory.total), known(host.memory.available)) if host else (None, None)
    used = 1 - available / total if total and available is not None else None
    rows = [labelled_bar(width, "machine", used, f"{size(available)} available", level(used, 0.8, 0.95))]
    if density >= Density.NORMAL:
        anon, file = (known(host.memory.anon), known(host.memory.file)) if host else (None, None)
        rows += [
            cells(width, ("private", size(anon)), ("files", size(file))),
            _weights(host, width),
            cells(width, ("KV cache", _purpose(now, "kv")), ("compute", _purpose(now, "compute", "output"))),
        ]
    if density >= Density.FULL:
        swap = host.memory.swap if host else _NO_SAMPLE
        faults = host.major_faults if host else _NO_SAMPLE
        rows += [
            cells(width, ("repacked", _purpose(now, "weights_repacked")), ("Python", size(_python(now)))),
            cells(width, ("others", size(_others(host))), ("total", size(total))),
            reading(width, "own swap", swap, size),
            reading(width, "major faults", faults, "{:,.0f} since the last look".format),
            reading(width, "limit", host.memory.limit if host else _NO_SAMPLE, size),
        ]
    return rows


def _weights(host: HostSample | None, width: int) -> Row:
    """How much of the model's file is in RAM."""
    weights = host.weights if host else _NO_SAMPLE
    if isinstance(weights, Unavailable):
        return reading(width, "weights", weights)
    share = weights.resident / weights.mapped if weights.mapped else None
    return labelled_bar(width, "weights", share, f"{size(weights.resident)} of {size(weights.mapped)}")


def _purpose(now: Snapshot, *names: str) -> str:
    if now.engine is None:
        return UNKNOWN
    found = [now.engine.memory[name] for name in names if name in now.engine.memory]
    return size(float(sum(found))) if found else UNKNOWN


def _python(now: Snapshot) -> float | None:
    """Private memory that the engine did not ask for: the interpreter, its objects, the screen."""
    anon = known(now.host.memory.anon) if now.host else None
    if anon is None:
        return None
    engine = sum(now.engine.memory.get(name, 0) for name in ("kv", "compute", "output", "weights_repacked")) if now.engine else 0
    return max(0.0, anon - engine)


def _others(host: HostSample | None) -> float | None:
    """Memory in use that can't be dropped and isn't ours."""
    if host is None:
        return None
    memory = host.memory
    total, available, anon = known(memory.total), known(memory.available), known(memory.anon)
    if total is None or available is None or anon is None:
        return None
    return max(0.0, total - available - anon - (known(memory.shmem) or 0.0))


MEMORY = Pane(
    "memory",
    "Memory",
    _memory_headline,
    _memory_rows,
    ChartSpec(("rss_bytes",), "RSS, GB", ("RSS",), "GB", divisor=1e9, scale=bytes_label, floor=1e8),
)


def _pct(value: Reading) -> str:
    return UNKNOWN if isinstance(value, Unavailable) else f"{value:.0f} %"


def _cpu_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    cpu = now.host.cpu if now.host else _NO_CPU
    rows = [cells(width, ("┅ xchat", _pct(own_share(cpu)), Role.SECOND), ("others", _pct(cpu.others_pct)))]
    if density >= Density.NORMAL:
        shown = spark(list(cpu.cores_pct), high=100.0, glyphs=Glyphs.BLOCKS)[: max(0, width - 12)]
        count = str(len(cpu.cores_pct)) if cpu.cores_pct else UNKNOWN
        rows += [
            (("cores ", Role.LABEL), (f"{count:>3} ", Role.VALUE), (shown, Role.FIRST)),
            cells(width, ("steal", _pct(cpu.steal_pct)), ("throttled", _pct(cpu.throttled_pct))),
        ]
    if density >= Density.FULL:
        per_token = f", {now.joules_per_token:.2f} J per token" if now.joules_per_token else ""
        rows += [
            reading(width, "frequency", cpu.freq_mhz, lambda mhz: f"{mhz:,.0f} of {known(cpu.freq_max_mhz) or mhz:,.0f} MHz"),
            reading(width, "governor", cpu.governor),
            reading(width, "temperature", cpu.temperature_c, "{:.0f} °C".format),
            reading(width, "quota", cpu.quota_cores, "{:.2f} cores".format),
            reading(width, "load", cpu.load, "{:.2f} runnable tasks".format),
            reading(width, "power", now.host.power_w if now.host else _NO_SAMPLE, lambda watts: f"{watts:.1f} W{per_token}"),
        ]
    return rows


CPU = Pane(
    "cpu",
    "CPU",
    lambda now: _pct(now.host.cpu.machine_pct if now.host else _NO_SAMPLE),
    _cpu_rows,
    ChartSpec(("cpu_machine_pct", "cpu_own_pct"), "% of all cores", ("machine", "xchat"), "%", top=100.0),
)

THREAD_ROWS = {Density.COMPACT: 0, Density.NORMAL: 4, Density.FULL: 8}
"""Threads listed one by one."""


def _threads_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    threads = now.host.threads if now.host else ()
    sums = {group: sum(share.running_pct for share in threads if share.group is group) for group in ThreadGroup}
    groups = [(f"{label} ", f"{sums[group]:3.0f} %" if threads else f"{UNKNOWN:>5}") for label, group in _GROUPS]
    rows: list[Row] = [tuple(run for label, value in groups for run in ((label, Role.LABEL), (f"{value} ", Role.VALUE)))]
    if density >= Density.NORMAL:
        rows.append(_why(width, "decode", now.engine.threads_reason if now.engine else ""))
    if density >= Density.FULL:
        rows.append(_why(width, "prefill", now.engine.threads_batch_reason if now.engine else ""))
    name_width = min(24, max(8, width // 3))
    for place in range(THREAD_ROWS[density]):
        if place >= len(threads):
            rows.append(())
            continue
        share = threads[place]
        value = f" {share.running_pct:3.0f} % wait {share.waiting_pct:3.0f} %"
        name = cut(share.name, name_width)
        room = width - name_width - len(value) - 1
        rows.append(((f"{name:<{name_width}} ", Role.LABEL), *bar(share.running_pct / 100, room), (value, Role.VALUE)))
    return rows


def _why(width: int, label: str, reason: str) -> Row:
    """How many threads compute and why, as far as it fits."""
    return ((f"{label} ", Role.LABEL), (cut(reason or UNKNOWN, max(0, width - len(label) - 1)), Role.VALUE))


_GROUPS = (("compute", ThreadGroup.COMPUTE), ("UI", ThreadGroup.UI), ("db", ThreadGroup.DATABASE))


def _threads_headline(now: Snapshot) -> str:
    if now.host is None or not now.host.threads:
        return UNKNOWN
    return f"{len(now.host.threads)} threads"


THREADS = Pane("threads", "Threads", _threads_headline, _threads_rows)
