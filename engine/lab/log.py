"""The log of runs: what a benchmark or a race leaves in the database, and two runs side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from engine.lab.bench import Point
from engine.lab.race import Race
from engine.lab.rows import bench_rows, name_of_test
from engine.lab.statistics import ERROR_RATE, Interval, deviation, student_quantile
from engine.lab.tune import Tuning
from engine.lab.wording import race_facts, race_in_words, tuning_facts, tuning_in_words
from engine.model_ref import short_name
from engine.store.host import Host
from engine.store.lab_runs import LabRun
from engine.text import one_line

_SAME_SETTINGS: Final = ("n_threads", "n_batch", "n_ubatch", "type_k", "type_v", "flash_attn", "load_mode", "repack")


def run_of_bench(points: Sequence[Point], *, started_ms: int, seconds: float, command: str) -> LabRun | None:
    """The run of a benchmark; None when nothing was measured."""
    measured = [point for point in points if point.figures is not None and point.samples_ns]
    if not measured:
        return None
    figures = measured[0].figures
    assert figures is not None
    host = Host.here(figures.library)
    rows = list(bench_rows(points, host))
    shares = [share for point in measured for share in point.disturbed if share is not None]
    models = list(dict.fromkeys(str(row["model_type"]) for row in rows))
    tests = list(dict.fromkeys(name_of_test(row) for row in rows))
    best = max(rows, key=lambda row: float(row["avg_ts"]))
    return LabRun(
        started_ms=started_ms,
        seconds=seconds,
        kind="bench",
        title=_few(tests),
        verdict=f"{name_of_test(best)} {best['avg_ts']:.1f} ± {best['stddev_ts']:.1f} tokens/s" if len(rows) == 1 else f"{len(rows)} rows",
        model=_few(models),
        disturbed=fmean(shares) if shares else None,
        command=command,
        facts={"rows": [dict(row) for row in rows], "remarks": [remark for point in measured for remark in point.remarks]},
        host=host,
    )


def run_of_race(result: Race, library: str, *, started_ms: int, command: str) -> LabRun:
    """The run of a race."""
    models = list(dict.fromkeys(one_line(short_name(lane.arm.setup.ref)) for lane in result.lanes))
    return LabRun(
        started_ms=started_ms,
        seconds=result.seconds,
        kind="race",
        title=" : ".join(lane.arm.name for lane in result.lanes),
        verdict=race_in_words(result),
        model=_few(models),
        disturbed=result.disturbed,
        command=command,
        facts=race_facts(result),
        host=Host.here(library),
    )


def run_of_tuning(tuning: Tuning, library: str, *, started_ms: int, command: str) -> LabRun:
    """The run of a search."""
    return LabRun(
        started_ms=started_ms,
        seconds=tuning.seconds,
        kind="tune",
        title=str(tuning.use),
        verdict=tuning_in_words(tuning),
        model=one_line(short_name(tuning.today.setup.ref)),
        disturbed=tuning.final.disturbed if tuning.final is not None else None,
        command=command,
        facts=tuning_facts(tuning),
        host=Host.here(library),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """One row that two benchmarks have in common."""

    test: str
    model: str
    before: float
    after: float
    """Mean tokens per second."""
    ratio: Interval
    """Speed after / before."""


def compare_runs(before: LabRun, after: LabRun) -> tuple[Compared, ...]:
    """The rows that both benchmarks have, by model, test and settings.

    The runs were not interleaved: the interval covers the scatter within each run, not what changed on the machine between them.
    """
    earlier = {_key(row): row for row in before.facts.get("rows", ())}
    pairs = [(earlier[_key(row)], row) for row in after.facts.get("rows", ()) if _key(row) in earlier]
    return tuple(
        Compared(f"{name_of_test(new)}, {new['n_threads']} threads", str(new["model_type"]), old["avg_ts"], new["avg_ts"], _ratio(old, new))
        for old, new in pairs
    )


def _ratio(old: dict[str, Any], new: dict[str, Any]) -> Interval:
    samples = (old["samples_ts"], new["samples_ts"])
    estimate = math.log(new["avg_ts"] / old["avg_ts"])
    if min(map(len, samples)) < 2:
        return Interval(estimate, -math.inf, math.inf).map()
    spread = math.sqrt(sum((deviation(one) / fmean(one)) ** 2 / len(one) for one in samples))
    half = student_quantile(min(map(len, samples)) - 1, ERROR_RATE) * spread
    return Interval(estimate, estimate - half, estimate + half).map()


def _key(row: dict[str, Any]) -> tuple[object, ...]:
    return (row["model_type"], row["n_prompt"], row["n_gen"], row["n_depth"], *(row[name] for name in _SAME_SETTINGS))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
