"""Compares the quants of a family: size, memory, load time, speed and quality, and their Pareto front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.clock import NS_PER_S, now_ns
from engine.errors import XchatError
from engine.guide import builtin
from engine.host.topology import cpu_features
from engine.lab.bench import Limits, Point, measure
from engine.lab.engine import LabEngine
from engine.lab.grid import window_of
from engine.lab.quality.figures import Quality
from engine.lab.statistics import Interval
from engine.llama.measuring.work import Setup, Work
from engine.model_ref import ModelRef
from engine.models.check import check_model
from engine.models.memory import predict
from engine.presets.preset import Preset

WORKS: Final = (Work(128, 0), Work(0, 32))
"""The prefill and the decode to measure."""
LIMITS: Final = Limits(precision=0.02, seconds=6.0)


@dataclass(slots=True)
class Member:
    """One quant."""

    name: str
    ref: ModelRef
    size_bytes: int = 0
    """Size of the weights."""
    memory_bytes: int = 0
    """Predicted need, with the context of the preset."""
    load_s: float | None = None
    """Time until the first token can be computed, with the page cache as it was."""
    prefill: Interval | None = None
    decode: Interval | None = None
    """Tokens per second."""
    quality: Quality | None = None
    skipped: str = ""
    """Why it can't be measured; empty if it can."""
    remarks: list[str] = field(default_factory=list)

    @property
    def kld(self) -> float | None:
        """KL divergence from the largest quant, mean, in nats; 0 for that one itself, None where it was not measured."""
        return None if self.quality is None else self.quality.kld


def measure_family(
    engine: LabEngine,
    members: Sequence[Member],
    preset: Preset,
    report: Callable[[str], None] = lambda _line: None,
    limits: Limits = LIMITS,
) -> None:
    """Measure load time and speed of each member in place, one model in memory at a time; skip unusable ones.

    Raises:
        KeyboardInterrupt: The members have the results so far.
    """
    for member in members:
        report(member.name)
        setups = [Setup(member.ref, msgspec.structs.replace(preset, n_ctx=window_of(work))) for work in WORKS]
        points = [Point(setup, work) for setup, work in zip(setups, WORKS, strict=True)]
        try:
            engine.keep_only(())
            began = now_ns()
            figures = engine.figures(setups[0])
            member.load_s = (now_ns() - began) / NS_PER_S
            facts = check_model(Path(figures.filename)).facts
            member.size_bytes, member.memory_bytes = figures.size, predict(facts, preset, features=cpu_features()).needed
        except XchatError as error:
            member.skipped = str(error)
            continue
        measure(engine, points, limits)
        prefill, decode = points
        member.prefill, member.decode = (point.interval if point.samples_ns else None for point in (prefill, decode))
        member.skipped = prefill.skipped or decode.skipped or ""
        member.remarks = list(dict.fromkeys((*prefill.remarks, *decode.remarks)))


def pareto_front(members: Sequence[Member]) -> frozenset[int]:
    """Return the numbers of the members that no other beats in both decode speed and quality."""
    known = [(number, one.decode.estimate, one.kld) for number, one in enumerate(members) if one.decode is not None and one.kld is not None]
    return frozenset(
        number
        for number, speed, kld in known
        if not any((other >= speed and loss <= kld) and (other > speed or loss < kld) for _, other, loss in known)
    )


def quality_fact(ref: ModelRef, quality: Quality) -> dict[str, Any]:
    """Return the fact of the log from which lists of quants show the quality."""
    path = builtin.file_of(ref)
    return {
        "path": None if path is None else str(path),
        "label": quality.label,
        "ppl": quality.ppl.value,
        "kld": quality.kld,
        "same_top": None if quality.against is None else quality.against.same_top.value,
    }


def family_facts(members: Sequence[Member]) -> dict[str, Any]:
    """Return the figures as JSON values."""
    front = pareto_front(members)
    return {
        "family": [
            {
                "name": one.name,
                "model": str(one.ref),
                "size_bytes": one.size_bytes,
                "memory_bytes": one.memory_bytes,
                "load_s": one.load_s,
                "prefill": one.prefill,
                "decode": one.decode,
                "ppl": one.quality.ppl.value if one.quality is not None else None,
                "kld": one.kld,
                "same_top": one.quality.against.same_top.value if one.quality is not None and one.quality.against is not None else None,
                "pareto": number in front,
                "skipped": one.skipped,
            }
            for number, one in enumerate(members)
        ],
        "quality": [quality_fact(one.ref, one.quality) for one in members if one.quality is not None],
        "remarks": [f"{one.name}: {remark}" for one in members for remark in one.remarks],
    }
