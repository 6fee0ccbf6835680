"""The panes of the machine: memory, CPU, threads."""

from __future__ import annotations

from engine.host.threads import ThreadGroup
from engine.host.value import Unavailable, known
from engine.metrics.figures import BY_ID
from engine.metrics.figures.figure import NOT_SAMPLED
from engine.metrics.snapshot import Snapshot
from engine.numbers import UNKNOWN, byte_size, percent, significant
from tui.drawing.rows import LOAD, STACK, STORE, Role, Row, bar, cells, cut, labelled_bar, legend, meters, reading, stacked_bar
from tui.panel.pane import ChartSpec, Density, Pane
from tui.panel.values import own_rows, pair, pairs, shown


def _memory_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    memory = now.host.memory if now.host else None
    total, available = (known(memory.total), known(memory.available)) if memory else (None, None)
    parts = _memory_parts(now, total or 0.0, available or 0.0)
    free = f" {byte_size(available)} free"
    room = width - len(free)
    stack = stacked_bar(room, [(value, role) for _, value, role in parts], total or 0.0) if room >= 8 else ()
    rows: list[Row] = [(*stack, (free if stack else free.lstrip(), Role.VALUE))]
    if density >= Density.NORMAL:
        named = [(name, byte_size(value), role) for name, value, role in parts if value]
        rows += [legend(width, *named[first : first + 2]) for first in (0, 2, 4)]
        if isinstance(reason := BY_ID["kv_bytes"].read(now), Unavailable):
            rows[-1] = reading(width, "KV cache", reason)
    if density >= Density.FULL:
        rows += [_weights(now, width), pairs(now, width, "anon_bytes", "file_bytes")]
        rows += [pairs(now, width, "weights_repacked", "python_bytes"), *own_rows(now, width, "memory")]
    return rows


def _memory_parts(now: Snapshot, total: float, available: float) -> list[tuple[str, float, Role]]:
    """Split the machine's memory: this process's parts, other programs, and available memory."""
    weights = now.host.weights if now.host else NOT_SAMPLED
    held = now.engine.memory if now.engine else {}
    rss = (known(now.host.memory.rss) if now.host else None) or 0.0
    resident = 0.0 if isinstance(weights, Unavailable) else float(weights.resident)
    kv, compute = float(held.get("kv", 0)), float(held.get("compute", 0) + held.get("output", 0))
    rest = max(0.0, rss - resident - kv - compute)
    # Pages of mapped weights count as available, not as memory of other programs.
    others = max(0.0, total - available - (rss - resident))
    names = ("weights", "KV cache", "compute", "rest of it", "others")
    return list(zip(names, (resident, kv, compute, rest, others), STACK, strict=False))


def _weights(now: Snapshot, width: int) -> Row:
    """Format the share of the model's file that is in RAM."""
    weights = now.host.weights if now.host else NOT_SAMPLED
    if isinstance(weights, Unavailable):
        return reading(width, "weights", weights)
    share = weights.resident / weights.mapped if weights.mapped else None
    return labelled_bar(width, "weights in RAM", share, f"{percent(share)} of {byte_size(weights.mapped)}")


def _not_sampled(now: Snapshot) -> str:
    return "" if now.host is not None else "not sampled yet"


MEMORY = Pane(
    "memory",
    "Memory",
    lambda now: " ".join(pair(now, "rss_bytes")[:2]),
    _memory_rows,
    ChartSpec(("rss_bytes",), floor=1e8, ramps=(STORE,)),
    chart_from=Density.FULL,
    missing=_not_sampled,
)


METER_ROWS = {Density.COMPACT: 0, Density.NORMAL: 1, Density.FULL: 2}
"""Rows of meters of the cores."""


def _cpu_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    rows = [cells(width, pair(now, "cpu_own_pct", "━", Role.FIRST), pair(now, "cpu_others_pct", "┅", Role.SECOND))]
    cores = [core / 100 for core in now.host.cpu.cores_pct] if now.host else []
    rows += meters(width, cores, METER_ROWS[density]) if METER_ROWS[density] else []
    if density >= Density.NORMAL:
        rows.append(pairs(now, width, "steal_pct", "throttled_pct"))
    if density >= Density.FULL:
        rows += own_rows(now, width, "cpu")
    return rows


CPU = Pane(
    "cpu",
    "CPU",
    lambda now: f"{shown(now, 'cpu_machine_pct')} of all cores",
    _cpu_rows,
    ChartSpec(("cpu_own_pct", "cpu_machine_pct"), top=100.0, ramps=((Role.FIRST,), LOAD), titled=1),
    missing=_not_sampled,
)

THREAD_ROWS = {Density.COMPACT: 0, Density.NORMAL: 4, Density.FULL: 8}
"""Number of threads listed."""


def _threads_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    threads = now.host.threads if now.host else ()
    sums = {group: sum(share.running_pct for share in threads if share.group is group) for group in ThreadGroup}
    groups = [(f"{label} ", significant(sums[group] / 100) if threads else UNKNOWN) for label, group in _GROUPS]
    rows: list[Row] = [
        (*(run for label, value in groups for run in ((label, Role.LABEL), (f"{value} ", Role.VALUE))), ("cores", Role.LABEL))
    ]
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
        value = f" {significant(share.running_pct / 100)} wait {percent(share.waiting_pct / 100):>5}"
        name = cut(share.name, name_width)
        room = width - name_width - len(value) - 1
        rows.append(((f"{name:<{name_width}} ", Role.LABEL), *bar(share.running_pct / 100, room), (value, Role.VALUE)))
    return rows


def _why(width: int, label: str, reason: str) -> Row:
    """Format the number of compute threads and the reason, cut to the width."""
    return ((f"{label} ", Role.LABEL), (cut(reason or UNKNOWN, max(0, width - len(label) - 1)), Role.VALUE))


_GROUPS = (("compute", ThreadGroup.COMPUTE), ("UI", ThreadGroup.UI), ("db", ThreadGroup.DATABASE))


def _threads_headline(now: Snapshot) -> str:
    if now.host is None or not now.host.threads:
        return UNKNOWN
    return f"{len(now.host.threads)} threads"


THREADS = Pane(
    "threads", "Threads", _threads_headline, _threads_rows, missing=lambda now: "" if now.host and now.host.threads else "not sampled yet"
)
