"""What a report says: derived from logged runs, before it has a form."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Final

from engine.lab.log import compare_runs
from engine.lab.reports.charts import Bar, Chart, Curve, IntervalChart, LineChart
from engine.lab.rows import name_of_test
from engine.lab.statistics import mean_interval
from engine.store.lab_runs import LabRun

_FLAGS: Final = {"n_batch": "-b", "n_ubatch": "-ub", "type_k": "-ctk", "type_v": "-ctv", "flash_attn": "-fa"}
"""llama-bench's flags of a row's settings."""
_MOST_BARS: Final = 40


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A document."""

    title: str
    verdict: str
    sheets: tuple[Sheet, ...]
    charts: tuple[Chart, ...]
    measured: tuple[tuple[str, str], ...]
    """How and where it was measured: names and values."""
    disturbed: tuple[str, ...]
    """What disturbed it, a sentence each."""
    repeat: tuple[str, ...]
    """Command lines that measure the same again."""


def report_of(run: LabRun) -> Report:
    """The report of a run."""
    rows = run.facts.get("rows", ())
    sheets, charts = (_of_rows(rows) if rows else _of_arms(run.facts)) if run.kind != "tune" else _of_search(run.facts)
    measured = (("When", _when(run)), ("Took", f"{run.seconds:.0f} s"), ("Model", run.model), *_how(run), *_machine(run))
    return Report(
        f"{run.kind.capitalize()} of {run.model}: {run.title}",
        run.verdict,
        tuple(sheets),
        tuple(charts),
        measured,
        tuple(_disturbance(run)),
        (run.command, *llama_bench_lines(rows)),
    )


def report_of_two(before: LabRun, after: LabRun) -> Report:
    """The report of two benchmarks with a row in common, the earlier first; without one it has no table."""
    compared = compare_runs(before, after)
    bars = tuple(
        Bar(f"{row.model} {row.test}", 100 * (row.ratio.estimate - 1), 100 * (row.ratio.low - 1), 100 * (row.ratio.high - 1))
        for row in compared
    )
    rows = tuple((row.model, row.test, row.before, row.after, change_in_words(row.ratio)) for row in compared)
    faster = sum(row.ratio.low > 1 for row in compared)
    slower = sum(row.ratio.high < 1 for row in compared)
    other = [
        f"Another {name}: {old} → {new}."
        for name, old, new in (
            *((name, dict(_machine(before))[name], dict(_machine(after))[name]) for name in ("Machine", "Kernel", "xchat", "llama.cpp")),
        )
        if old != new
    ]
    return Report(
        f"Run {before.id} before, run {after.id} after",
        f"{faster} faster, {slower} slower, {len(compared) - faster - slower} not told apart, of {len(compared)} tests.",
        (Sheet("Tokens per second", ("model", "test", "before", "after", "change"), rows),),
        (IntervalChart("Change", "%", bars, 0.0),) if bars else (),
        (
            *((f"{name}, before", value) for name, value in _machine(before)),
            *((f"{name}, after", value) for name, value in _machine(after)),
        ),
        (
            *other,
            *_disturbance(before),
            *_disturbance(after),
            "The runs were not measured in turns: what changed on the machine between them counts too.",
        ),
        (before.command, after.command),
    )


def change_in_words(ratio: Any) -> str:
    """A ratio of speeds as a change in per cent with its interval."""
    change = f"{100 * (ratio.estimate - 1):+.1f} %"
    return change if ratio.high == float("inf") else f"{change} ({100 * (ratio.low - 1):+.1f} to {100 * (ratio.high - 1):+.1f})"


def llama_bench_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """llama-bench's command lines that measure rows, one for each model with its settings."""

    def settings(row: dict[str, Any]) -> list[object]:
        flags: list[object] = ["-m", row["model_filename"], "-t", row["n_threads"]]
        for name, flag in _FLAGS.items():
            flags += [flag, row[name]]
        return [*flags, "-mmp", int(row["load_mode"] == "mmap"), "-r", len(row["samples_ns"])]

    for flags, same in groupby(sorted(rows, key=lambda row: str(settings(row))), settings):
        tests: list[str] = []
        for row in same:
            both = row["n_prompt"] and row["n_gen"]
            asked = ["-p", "0", "-n", "0", "-pg", f"{row['n_prompt']},{row['n_gen']}"] if both else []
            asked = asked or ["-p", str(row["n_prompt"]), "-n", str(row["n_gen"])]
            tests.append(shlex.join([*asked, *(["-d", str(row["n_depth"])] if row["n_depth"] else [])]))
        yield from (f"llama-bench {shlex.join(map(str, flags))} {test}" for test in dict.fromkeys(tests))


def _of_rows(rows: Sequence[dict[str, Any]]) -> tuple[list[Sheet], list[Chart]]:
    bars, lines = [], []
    for row in rows:
        interval = mean_interval(row["samples_ts"])
        name = f"{row['model_type']} {name_of_test(row)}, {row['n_threads']} threads"
        bars.append(Bar(name, interval.estimate, interval.low, interval.high))
        half = interval.high - interval.estimate
        count = len(row["samples_ts"])
        lines.append((row["model_type"], name_of_test(row), row["n_threads"], row["avg_ts"], half if count > 1 else None, count))
    sheet = Sheet("Tokens per second", ("model", "test", "threads", "mean", "± 95 %", "repetitions"), tuple(lines))
    charts: list[Chart] = [IntervalChart("Speed, mean with its 95 % interval", "tokens/s", tuple(bars[:_MOST_BARS]), None)]
    return [sheet], charts + list(scaling_charts(rows))


def scaling_charts(rows: Sequence[dict[str, Any]]) -> Iterator[LineChart]:
    """Speed against threads, depth and batch, for rows that differ in nothing else."""
    axes = {"n_threads": "threads", "n_depth": "depth in tokens", "n_batch": "n_batch", "n_ubatch": "n_ubatch"}
    keys = ("model_type", "n_prompt", "n_gen", "type_k", "type_v", "flash_attn", "load_mode", *axes)
    for axis, label in axes.items():
        others = [key for key in keys if key != axis]
        groups: dict[tuple[object, ...], list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(tuple(row[key] for key in others), []).append(row)
        for kind in ("prefill", "decode"):
            curves = []
            for same in groups.values():
                points = sorted((row[axis], row["avg_ts"]) for row in same)
                if len(dict(points)) > 1 and (same[0]["n_gen"] == 0) == (kind == "prefill"):
                    name = name_of_test(same[0] | {"n_depth": 0} if axis == "n_depth" else same[0])
                    curves.append(Curve(f"{same[0]['model_type']} {name}", tuple(points)))
            if curves:
                yield LineChart(f"{kind.capitalize()} speed", label, "tokens/s", tuple(curves))


def _of_arms(facts: dict[str, Any]) -> tuple[list[Sheet], list[Chart]]:
    rows, bars = [], []
    for arm in facts.get("arms", ()):
        ratio, low, high = (arm.get(name) for name in ("speed_ratio", "low", "high"))
        change = "compared with" if ratio is None else f"{100 * (ratio - 1):+.1f} %"
        span = f" ({100 * (low - 1):+.1f} to {100 * (high - 1):+.1f})" if low is not None and high is not None else ""
        rows.append((arm["arm"], arm.get("turn_s"), f"{change}{span}", arm.get("verdict", "")))
        if ratio is not None:
            ends = (None if end is None else 100 * (end - 1) for end in (low, high))
            bars.append(Bar(arm["arm"], 100 * (ratio - 1), *ends))
    sheet = Sheet("Arms", ("arm", "s a turn", "speed", "verdict"), tuple(rows))
    return [sheet], [IntervalChart("Speed compared with the first arm", "%", tuple(bars), 0.0)] if bars else []


def _of_search(facts: dict[str, Any]) -> tuple[list[Sheet], list[Chart]]:
    sheets, charts = _of_arms(facts.get("final") or {})
    tried = facts.get("tried", ())
    rows = tuple(
        (one["stage"], one["name"], one["skipped"] or (f"{100 * one['gain']:+.1f} %"), one["units"], "yes" if one["chosen"] else "")
        for one in tried
    )
    bars = tuple(Bar(f"{one['stage']}: {one['name']}", 100 * one["gain"], None, None) for one in tried if one["gain"] is not None)
    candidates = Sheet("Candidates, each compared with the best before it", ("stage", "setting", "gain", "units", "taken"), rows)
    chart = IntervalChart("Gain of each candidate", "%", bars[:_MOST_BARS], 0.0)
    return [*(sheet for sheet in sheets if sheet.rows), candidates], [*charts, *([chart] if bars else [])]


def _how(run: LabRun) -> Iterator[tuple[str, str]]:
    facts = run.facts.get("final") or run.facts
    if "units" in facts:
        yield "Units", f"{facts['units']}, each arm twice in each, in random order and back"
        yield "Compared", f"{facts['measure']}; a difference of {facts['difference']:.0%} matters"
        yield "Error rate", f"a difference where there is none: at most {facts['error_rate']:.0%} over all looks"
        yield "Interval", "of the log ratio of both arms' times: Hodges and Lehmann's estimate, Wilcoxon's signed ranks"
    if "rows" in facts:
        yield "Method", "as llama-bench: random tokens, no tokenizing, no sampling; the points of one context in random order"
        yield "Interval", "of the mean, 95 %, Student's t"


def _machine(run: LabRun) -> tuple[tuple[str, str], ...]:
    host = run.host
    return (
        ("Machine", f"{host.name}: {host.cpu}, {host.cores} CPUs, {host.memory_bytes / (1 << 30):.1f} GiB"),
        ("Kernel", host.kernel),
        ("xchat", host.xchat_version),
        ("llama.cpp", host.llama_cpp_version),
    )


def _disturbance(run: LabRun) -> Iterator[str]:
    if run.disturbed is None:
        yield "This kernel does not report how long the compute threads waited for a CPU."
    else:
        yield f"Other programs took {run.disturbed:.1%} of the time."
    facts = run.facts.get("final") or run.facts
    yield from (f"{remark.rstrip('.')}." for remark in dict.fromkeys(facts.get("remarks", ())))


def _when(run: LabRun) -> str:
    return datetime.fromtimestamp(run.started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
