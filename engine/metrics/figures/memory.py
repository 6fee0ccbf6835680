"""Figures of memory: this process by kind, and the machine."""

from __future__ import annotations

from collections.abc import Callable

from engine.backend import NOT_OFFERED
from engine.host.memory import Residency
from engine.host.sampler import HostSample
from engine.host.value import Unavailable, known
from engine.metrics.figures.figure import Column, Figure, History, Metric, Reader, Value, number_in, of_host
from engine.metrics.snapshot import Snapshot

_PROC_STATUS = "/proc/self/status."


def _purpose(*names: str) -> Reader:
    """Make a reader of the engine's bytes for some purposes."""

    def read(now: Snapshot) -> Value:
        if now.engine is not None and not now.engine.memory:
            return Unavailable(NOT_OFFERED)
        found = [now.engine.memory[name] for name in names if name in now.engine.memory] if now.engine else []
        return float(sum(found)) if found else None

    return read


_ASKED_FOR = _purpose("kv", "compute", "output", "weights_repacked")


def _python(now: Snapshot) -> Value:
    """Return the private memory that the engine did not allocate: the interpreter, its objects, the screen."""
    anon = of_host(lambda host: host.memory.anon)(now)
    return max(0.0, anon - (number_in(_ASKED_FOR(now)) or 0.0)) if isinstance(anon, float) else anon


def _others(host: HostSample) -> Value:
    """Return the memory of other programs that can't be dropped."""
    memory = host.memory
    total, available, anon = memory.total, memory.available, memory.anon
    if isinstance(total, Unavailable) or isinstance(available, Unavailable) or isinstance(anon, Unavailable):
        return next(value for value in (available, total, anon) if isinstance(value, Unavailable))
    return max(0.0, total - available - anon - (known(memory.shmem) or 0.0))


def _weights(read: Callable[[Residency], int]) -> Reader:
    return of_host(lambda host: read(host.weights) if isinstance(host.weights, Residency) else host.weights)


def _memory_pct(host: HostSample) -> float | None:
    limit, rss = known(host.memory.limit), known(host.memory.anon)
    total, available = known(host.memory.total), known(host.memory.available)
    if limit and rss is not None and (total is None or limit < total):
        return rss / limit * 100
    return (total - available) / total * 100 if total and available is not None else None


# fmt: off
MEMORY: tuple[Figure, ...] = (
    Figure("rss_bytes", "RSS", label="RSS", unit="bytes", read=of_host(lambda host: host.memory.rss), panes=("memory",), group="host",
        fold="max", history=History(), column=Column("INTEGER"), sample_chart="Memory of the process",
        metric=Metric("xchat_resident_memory_bytes"),
        formula="Resident memory of this process: private + files + shared.",
        source=_PROC_STATUS, levers="a smaller quant, n_ctx, KV type, repack = false."),
    Figure("rss_peak_bytes", "Memory peak", unit="bytes", read=lambda _: None, key="", of_turn=lambda turn: turn.rss_peak_bytes,
        less_is_better=True),
    Figure("anon_bytes", "Private memory", label="private", unit="bytes", read=of_host(lambda host: host.memory.anon), panes=("memory",),
        group="host",
        formula="RssAnon: KV cache, compute buffers, repacked weights, Python.",
        source=_PROC_STATUS, levers="n_ctx, KV type, n_ubatch, repack = false."),
    Figure("file_bytes", "Mapped files", label="files", unit="bytes", read=of_host(lambda host: host.memory.file), panes=("memory",),
        group="host",
        formula="RssFile: pages of the model's file and of libraries that are mapped and touched. The kernel can drop them, so they count "
        "as available too.",
        source=_PROC_STATUS, levers="a smaller quant, mmap = false."),
    Figure("weights_resident", "Weights in RAM", label="weights", unit="bytes", read=_weights(lambda weights: weights.resident),
        panes=("memory",), group="host", key="weights_resident_bytes",
        formula="Pages of the model's mapped file that are in RAM, of all mapped ones. Sampled every five seconds.",
        source="mincore() over the mapping in /proc/self/maps.",
        levers="more free memory; other weights are read from the disk, as major faults show."),
    Figure("weights_mapped", "Weights, mapped", label="mapped", unit="bytes", read=_weights(lambda weights: weights.mapped),
        panes=("memory",), group="host", key="weights_mapped_bytes",
        formula="Size of the mapping of the model's file.",
        source="/proc/self/maps.", levers="a smaller quant."),
    Figure("kv_bytes", "KV cache", label="KV cache", unit="bytes", read=_purpose("kv"), panes=("memory",), group="host",
        formula="Memory that llama.cpp reserved for the context; part of the private memory once it is touched.",
        source="The engine, when the context was made.", levers="n_ctx, type_k and type_v."),
    Figure("compute_bytes", "Compute buffers", label="compute", unit="bytes", read=_purpose("compute", "output"), panes=("memory",),
        group="host",
        formula="Memory that llama.cpp reserved for its graphs and their output; part of the private memory once it is touched.",
        source="The engine, when the context was made.", levers="n_ubatch."),
    Figure("weights_repacked", "Repacked weights", label="repacked", unit="bytes", read=_purpose("weights_repacked"), panes=("memory",),
        group="host",
        formula="Weights that llama.cpp rearranged for its fastest kernels; private, in addition to the mapped file.",
        source="The engine, when the model was loaded.", levers="repack = false (less memory, slower prefill), the quant."),
    Figure("python_bytes", "Python", label="Python", unit="bytes", read=_python, panes=("memory",), group="host",
        formula="Private memory - KV cache - compute and output buffers - repacked weights; too small while buffers are untouched.",
        source="/proc/self/status and the engine.", levers="long sessions, open captures."),
    Figure("others_bytes", "Others", label="others", unit="bytes", read=of_host(_others), panes=("memory",), group="host",
        formula="Total - available - our private and shared memory: memory of other programs that the kernel can't drop.",
        source="/proc/meminfo and /proc/self/status.", levers="closing other programs."),
    Figure("available_bytes", "Available", label="available", unit="bytes", read=of_host(lambda host: host.memory.available),
        panes=("memory",), group="host", history=History(), column=Column("INTEGER"), metric=Metric("xchat_available_memory_bytes"),
        formula="Memory available without swapping, droppable file pages included.",
        source="/proc/meminfo, MemAvailable.", levers="closing other programs, a smaller quant."),
    Figure("total_bytes", "Total", label="total", unit="bytes", read=of_host(lambda host: host.memory.total), panes=("memory",),
        group="host",
        formula="RAM of the machine.",
        source="/proc/meminfo, MemTotal.", levers="another machine."),
    Figure("memory_pct", "Memory in use", label="in use", unit="%", read=of_host(_memory_pct), group="host",
        formula="Memory of the machine that is not available / total; where the control group allows less, private memory / limit.",
        source="/proc/meminfo; memory.max of the control group.", levers="closing other programs, a smaller n_ctx or quant."),
    Figure("swap_bytes", "Own swap", label="own swap", unit="bytes", read=of_host(lambda host: host.memory.swap), panes=("memory",),
        group="host", row=True, column=Column("INTEGER"),
        formula="Memory of this process that is swapped out.",
        source="/proc/self/status, VmSwap.", levers="more free memory."),
    Figure("major_faults", "Major faults", label="major faults", unit="1/sample", read=of_host(lambda host: host.major_faults),
        panes=("memory",), group="host", row=True, fold="max", history=History(), column=Column("INTEGER"),
        formula="Page faults of this process that waited for the disk since the last sample.",
        source="getrusage().", levers="more free memory, mlock by the system, a first pass over the weights."),
    Figure("limit_bytes", "Limit", label="limit", unit="bytes", read=of_host(lambda host: host.memory.limit), panes=("memory",),
        group="host", row=True,
        formula="Limit of the control group of this process.",
        source="memory.max or memory.limit_in_bytes.", levers="the container's limits."),
)
# fmt: on
