"""The stages of a search, cheap changes first, and the bounds on its candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.lab.race import CLIENTS, TASKS, Use
from engine.llama.measuring.work import Setup
from engine.model_ref import ModelRef
from engine.numbers import byte_size

GAIN: Final = 0.01
"""Least gain of a setting that enters the final race."""
GAIN_FOR_QUALITY: Final = 0.03
"""Least gain of a setting that changes the answers."""
SLOWDOWN: Final = 0.05
"""Loss of speed that the search for the least memory accepts."""
_KNOWN_LOSS: Final = 0.05
"""Candidates with at least this loss in an earlier search on this machine are skipped."""
_UNQUANTIZED: Final = frozenset({"f32", "f16", "bf16"})


@dataclass(frozen=True, slots=True)
class Stage:
    """Settings that are searched together, on top of the best of the stages before."""

    name: str
    use: Use
    changes: tuple[dict[str, Any], ...]
    """Candidates: settings, and `ref` for another model."""
    least_gain: float = GAIN


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds on a candidate, and earlier results."""

    memory_of: Callable[[Setup], int] = lambda _setup: 0
    """Predicted need in bytes."""
    most_bytes: int | None = None
    most_ttft_s: float | None = None
    """Longest prefill of the task's prompt."""
    least_memory: bool = False
    """Minimize memory, at a speed at most `SLOWDOWN` below the current one, instead of maximizing speed."""
    clients: int = CLIENTS
    """Parallel answers, where throughput is searched."""
    known: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """Gains of earlier searches from the same settings on this machine, by stage and candidate."""

    def refusal(self, stage: Stage, name: str, setup: Setup) -> str:
        """Say why a candidate is not measured; empty when it is."""
        need = self.memory_of(setup)
        if self.most_bytes is not None and need > self.most_bytes:
            return f"it needs {byte_size(need)}, more than {byte_size(self.most_bytes)}"
        gain = self.known.get((stage.name, name))
        return f"known from an earlier search: {100 * gain:+.1f} %" if gain is not None and gain < -_KNOWN_LOSS else ""


UNBOUND: Final = Bounds()
"""No bounds and no earlier results."""


def stages_of(
    use: Use,
    today: Setup,
    *,
    most_threads: int,
    kv_types: Sequence[str],
    quants: Sequence[ModelRef] = (),
    reload: bool = False,
    least_memory: bool = False,
) -> Iterator[Stage]:
    """Yield the groups of settings to search.

    `n_batch` is not searched: a prompt is computed in pieces of `n_ubatch` in any case. The wait policy of threads is chosen during decode,
    for each thread count.

    Args:
        use: The use to optimize.
        today: The settings in use.
        most_threads: CPUs that this process may use.
        kv_types: Types of the KV cache to try.
        quants: Other files of the model's family to try.
        reload: Also try settings that need a second copy of the model.
        least_memory: Try only settings that change the memory.
    """
    preset, probe = today.preset, TASKS[use].probe
    # A step of several answers counts as a batch; a slower prompt is weighed against the whole turn where memory is spared.
    prefill = use if use is Use.THROUGHPUT or least_memory else Use.PREFILL
    if not least_memory:
        counts = thread_counts(most_threads)
        if use not in {Use.PREFILL, Use.THROUGHPUT}:
            yield Stage("threads", Use.DECODE, tuple({"threads": count} for count in counts))
        if use is not Use.DECODE:
            yield Stage("threads_batch", prefill, tuple({"threads_batch": count} for count in counts))
    if use is not Use.DECODE or least_memory:
        sizes = [size for size in (32, 64, 128, 256, 512) if size <= (probe.n_prompt * probe.n_parallel or 128)]
        yield Stage("n_ubatch", prefill, tuple({"n_ubatch": size, "n_batch": max(size, preset.n_batch)} for size in sizes))
    switches = ({"flash_attn": "on"}, *(({"flash_attn": "off"},) if preset.type_v in _UNQUANTIZED else ()))
    yield Stage("flash_attn", use, switches)
    types = [name for name in kv_types if (name, name) != (preset.type_k, preset.type_v)]
    if types:
        yield Stage("KV cache", use, tuple({"type_k": name, "type_v": name, "flash_attn": "auto"} for name in types), GAIN_FOR_QUALITY)
    if reload:
        yield Stage("loading", use, ({"repack": not preset.repack}, {"mmap": not preset.mmap}))
    if quants:
        yield Stage("quant", use, tuple({"ref": ref} for ref in quants), GAIN_FOR_QUALITY)


def thread_counts(most: int) -> list[int]:
    """List the thread counts to try: all up to 8, then in steps of a quarter."""
    counts = list(range(1, min(most, 8) + 1))
    while counts[-1] < most:
        counts.append(min(most, counts[-1] + max(1, counts[-1] // 4)))
    return counts
