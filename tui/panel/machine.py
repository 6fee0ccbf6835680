"""The panes of the machine: memory, CPU, threads."""

from __future__ import annotations

from engine.host.threads import ThreadGroup
from engine.host.value import Unavailable, known
from engine.metrics.figures import BY_ID
from engine.metrics.figures.figure import NOT_SAMPLED
from engine.metrics.snapshot import Snapshot
from engine.numbers import UNKNOWN, byte_size, percent, significant
from tui.drawing.braille import Glyphs, spark
from tui.drawing.rows import Role, Row, bar, cells, cut, labelled_bar, level, reading
from tui.panel.pane import ChartSpec, Density, Pane
from tui.panel.values import own_rows, pair, pairs, shown


def _memory_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    memory = now.host.memory if now.host else None
    total, available = (known(memory.total), known(memory.available)) if memory else (None, None)
    used = 1 - available / total if total and available is not None else None
    rows = [labelled_bar(width, "machine", used, f"{byte_size(available)} available", level(used, 0.8, 0.95))]
    if density >= Density.NORMAL:
        rows += [pairs(now, width, "anon_bytes", "file_bytes"), _weights(now, width), _engine(now, width)]
    if density >= Density.FULL:
        rows += [pairs(now, width, "weights_repacked", "python_bytes"), pairs(now, width, "others_bytes", "total_bytes")]
        rows += own_rows(now, width, "memory")
    return rows


def _engine(now: Snapshot, width: int) -> Row:
    """Memory of the engine beside the weights, or why it is unavailable."""
    kv = BY_ID["kv_bytes"]
    value = kv.read(now)
    return reading(width, kv.short, value) if isinstance(value, Unavailable) else pairs(now, width, "kv_bytes", "compute_bytes")


def _weights(now: Snapshot, width: int) -> Row:
    """Share of the model's file that is resident in RAM."""
    weights = now.host.weights if now.host else NOT_SAMPLED
    if isinstance(weights, Unavailable):
        return reading(width, "weights", weights)
    share = weights.resident / weights.mapped if weights.mapped else None
    return labelled_bar(width, "weights", share, f"{byte_size(weights.resident)} of {byte_size(weights.mapped)}")


MEMORY = Pane(
    "memory",
    "Memory",
    lambda now: " ".join(pair(now, "rss_bytes")[:2]),
    _memory_rows,
    ChartSpec(("rss_bytes",), floor=1e8),
)


def _cpu_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    rows = [cells(width, pair(now, "cpu_own_pct", "┅", Role.SECOND), pair(now, "cpu_others_pct"))]
    if density >= Density.NORMAL:
        cores = list(now.host.cpu.cores_pct) if now.host else []
        bars = spark(cores, high=100.0, glyphs=Glyphs.BLOCKS)[: max(0, width - 12)]
        rows += [
            (("cores ", Role.LABEL), (f"{str(len(cores)) if cores else UNKNOWN:>3} ", Role.VALUE), (bars, Role.FIRST)),
            pairs(now, width, "steal_pct", "throttled_pct"),
        ]
    if density >= Density.FULL:
        rows += own_rows(now, width, "cpu")
    return rows


CPU = Pane(
    "cpu",
    "CPU",
    lambda now: f"{shown(now, 'cpu_machine_pct')} of all cores",
    _cpu_rows,
    ChartSpec(("cpu_machine_pct", "cpu_own_pct"), top=100.0),
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
    """Number of compute threads and the reason, cut to the width."""
    return ((f"{label} ", Role.LABEL), (cut(reason or UNKNOWN, max(0, width - len(label) - 1)), Role.VALUE))


_GROUPS = (("compute", ThreadGroup.COMPUTE), ("UI", ThreadGroup.UI), ("db", ThreadGroup.DATABASE))


def _threads_headline(now: Snapshot) -> str:
    if now.host is None or not now.host.threads:
        return UNKNOWN
    return f"{len(now.host.threads)} threads"


THREADS = Pane("threads", "Threads", _threads_headline, _threads_rows)
