"""The log of runs: makes its rows of results, and compares two runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from engine.lab.bench import Point
from engine.lab.ceiling import decode_ceiling
from engine.lab.endurance import Endurance
from engine.lab.quality.family import quality_fact
from engine.lab.race import CLIENTS, Race, Use, clients_of
from engine.lab.rows import batched_rows, bench_rows, name_of_test
from engine.lab.statistics import ERROR_RATE, Interval, deviation, student_quantile
from engine.lab.tune import Tuning
from engine.lab.wording import race_facts, race_in_words, settings_of, tuning_facts, tuning_in_words
from engine.model_ref import ModelRef, short_name
from engine.presets.preset import Preset
from engine.store.host import Host
from engine.store.lab_runs import LabRun
from engine.text import one_line

if TYPE_CHECKING:
    from engine.lab.quality.run import Arm, Outcome

_SAME_SETTINGS: Final = ("n_threads", "n_batch", "n_ubatch", "type_k", "type_v", "flash_attn", "load_mode", "repack")


def run_of_bench(
    points: Sequence[Point], *, started_ms: int, seconds: float, command: str, endurance: Endurance | None = None
) -> LabRun | None:
    """Return the run of a benchmark; None when nothing was measured."""
    measured = [point for point in points if point.figures is not None and point.samples_ns]
    if not measured:
        return None
    figures = measured[0].figures
    assert figures is not None
    host = Host.here(figures.library)
    rows = [
        dict(row) | {"ceiling_ts": _ceiling(point), "n_parallel": point.work.n_parallel} | _threads_batch(point)
        for point, row in zip(measured, bench_rows(measured, host), strict=True)
    ]
    batched = []
    if any(point.work.n_parallel > 1 for point in measured):
        batched = [row | {"ceiling_ts": _ceiling(point)} for point, row in zip(measured, batched_rows(measured), strict=True)]
    remarks = [
        *(f"{name_of_test(row)}: {remark}" for point, row in zip(measured, rows, strict=True) for remark in point.remarks),
        *(endurance.remarks if endurance is not None else ()),
    ]
    shares = [share for point in measured for share in point.disturbed if share is not None]
    models = list(dict.fromkeys(str(row["model_type"]) for row in rows))
    tests = list(dict.fromkeys(name_of_test(row) for row in rows))
    return LabRun(
        started_ms=started_ms,
        seconds=seconds,
        kind="bench",
        title=_few(tests),
        verdict=_speeds_in_words(rows),
        model=_few(models),
        disturbed=fmean(shares) if shares else None,
        command=command,
        facts={"rows": rows, "batched": batched, "remarks": remarks, "endurance": endurance.facts if endurance is not None else []},
        host=host,
    )


def _speeds_in_words(rows: Sequence[dict[str, Any]]) -> str:
    """Format the speed of each test, the best where there are several rows of it."""
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: -float(row["avg_ts"])):
        best.setdefault(name_of_test(row), row)
    shown = [f"{test} {row['avg_ts']:.1f} ± {row['stddev_ts']:.1f} tokens/s" for test, row in sorted(best.items())]
    return _few(shown) + (f", the best of {len(rows)} rows" if len(rows) > len(best) else "")


def _threads_batch(point: Point) -> dict[str, int]:
    """Return the prefill threads where a test decodes too: llama-bench's row has only the decode threads."""
    return {"n_threads_batch": point.figures.threads_batch} if point.figures and point.work.n_prompt and point.work.n_gen else {}


def _ceiling(point: Point) -> float | None:
    work, figures = point.work, point.figures
    if not work.n_gen or figures is None:
        return None
    depth = work.n_depth + work.n_prompt + work.n_gen // 2
    path, preset = Path(figures.filename), point.setup.preset
    return decode_ceiling(path, preset, threads=figures.threads, depth=depth, sequences=work.n_parallel)


def run_of_race(result: Race, library: str, *, started_ms: int, command: str) -> LabRun:
    """Return the run of a race."""
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
    """Return the run of a search."""
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


def run_of_quality(
    arms: Sequence[Arm], outcome: Outcome, *, of_family: bool, started_ms: int, seconds: float, command: str
) -> LabRun | None:
    """Return the run of a quality measurement; None when no window was finished.

    Lists of models show the KL divergence only with `of_family`: the base is then the largest local quant of the family.
    """
    if not outcome.results:
        return None
    base, *others = outcome.results
    files = {arm.label: arm for arm in arms}
    plain = {"f16", "f32", "bf16"}
    facts = [
        quality_fact(files[one.label].ref, one)
        for one in outcome.results
        if of_family and {files[one.label].preset.type_k, files[one.label].preset.type_v} <= plain
    ]
    return LabRun(
        started_ms=started_ms,
        seconds=seconds,
        kind="quality",
        title=_few([one.label for one in outcome.results]),
        verdict="; ".join([f"{base.label}: PPL {base.ppl.value:.3f}", *(f"{one.label}: KLD {one.kld:.4f}" for one in others)]),
        model=_few([one_line(short_name(arms[0].ref))]),
        disturbed=None,
        command=command,
        facts={"results": outcome.results, "windows": base.windows, "n_ctx": outcome.n_ctx, "quality": facts, "remarks": []},
        host=Host.here(),
    )


def run_of_family(name: str, facts: dict[str, Any], library: str, *, started_ms: int, seconds: float, command: str) -> LabRun:
    """Return the run of a comparison of quants."""
    front = [one["name"] for one in facts["family"] if one["pareto"]]
    verdict = f"Pareto front of speed and quality: {', '.join(front)}." if front else "The quality was not measured."
    return LabRun(
        started_ms=started_ms,
        seconds=seconds,
        kind="family",
        title=_few([one["name"] for one in facts["family"]]),
        verdict=verdict,
        model=name,
        disturbed=None,
        command=command,
        facts=facts,
        host=Host.here(library),
    )


def known_gains(
    runs: Sequence[LabRun], ref: ModelRef, use: Use, today: Preset, library: str, *, clients: int = CLIENTS, least_memory: bool = False
) -> dict[tuple[str, str], float]:
    """Return the gains found by earlier searches on this machine from the same settings and for the same use, by stage and candidate.

    The newest counts; runs with another kernel, library or number of CPUs are ignored. `library`: the native library's version and build.
    """
    here = Host.here(library)
    aim = {"model": str(ref), "use": use, "today": settings_of(today), "clients": clients_of(use, clients), "least_memory": least_memory}
    found: dict[tuple[str, str], float] = {}
    for run in runs:
        same = run.kind == "tune" and all(run.facts.get(name) == value for name, value in aim.items())
        if same and _where(run.host) == _where(here):
            for tried in run.facts["tried"]:
                if tried["gain"] is not None:
                    found.setdefault((tried["stage"], tried["name"]), tried["gain"])
    return found


def _where(host: Host) -> tuple[object, ...]:
    return host.name, host.kernel, host.cores, host.llama_cpp_version


@dataclass(frozen=True, slots=True)
class Compared:
    """A common row of two benchmarks."""

    test: str
    model: str
    before: float
    after: float
    """Mean tokens per second."""
    ratio: Interval
    """Speed after / before."""


def compare_runs(before: LabRun, after: LabRun) -> tuple[Compared, ...]:
    """Return the rows that both benchmarks have, by model, test and settings.

    The runs were not interleaved: the interval covers the scatter within each run, not changes of the machine between them.
    """
    earlier = {_key(row): row for row in before.facts.get("rows", ())}
    pairs = [(earlier[_key(row)], row) for row in after.facts.get("rows", ()) if _key(row) in earlier]
    return tuple(
        Compared(f"{name_of_test(new)}, {new['n_threads']} threads", str(new["model_type"]), old["avg_ts"], new["avg_ts"], _ratio(old, new))
        for old, new in pairs
    )


def differences(before: LabRun, after: LabRun) -> list[tuple[str, str, str]]:
    """List the differences between the machines and versions of two runs as name, before, after."""
    one, other = before.host, after.host
    pairs = (
        ("machine", one.name, other.name),
        ("CPU", one.cpu, other.cpu),
        ("kernel", one.kernel, other.kernel),
        ("xchat", one.xchat_version, other.xchat_version),
        ("llama.cpp", one.llama_cpp_version, other.llama_cpp_version),
    )
    return [(name, old, new) for name, old, new in pairs if old != new]


def _ratio(old: dict[str, Any], new: dict[str, Any]) -> Interval:
    samples = (old["samples_ts"], new["samples_ts"])
    estimate = math.log(new["avg_ts"] / old["avg_ts"])
    if min(map(len, samples)) < 2:
        return Interval(estimate, -math.inf, math.inf).map()
    spread = math.sqrt(sum((deviation(one) / fmean(one)) ** 2 / len(one) for one in samples))
    half = student_quantile(min(map(len, samples)) - 1, ERROR_RATE) * spread
    return Interval(estimate, estimate - half, estimate + half).map()


def _key(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row["model_type"],
        row["n_prompt"],
        row["n_gen"],
        row["n_depth"],
        row.get("n_parallel", 1),
        row.get("n_threads_batch", row["n_threads"]),
        *(row[name] for name in _SAME_SETTINGS),
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
