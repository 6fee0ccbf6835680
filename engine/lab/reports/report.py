"""Derives reports from logged runs, independent of their format."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from engine.lab.log import compare_runs, differences
from engine.lab.reports.charts import Bar, Chart, Curve, IntervalChart, LineChart
from engine.lab.rows import name_of_test
from engine.lab.statistics import mean_interval
from engine.numbers import byte_size
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
    """Method and machine of the measurement: names and values."""
    disturbed: tuple[str, ...]
    """Disturbances, a sentence each."""
    repeat: tuple[str, ...]
    """Command lines that repeat the measurement."""


def report_of(run: LabRun) -> Report:
    """Return the report of a run."""
    rows = run.facts.get("rows", ())
    sheets, charts = _CONTENTS[run.kind](run.facts)
    measured = (("When", _when(run)), ("Took", f"{run.seconds:.0f} s"), ("Model", run.model), *_how(run), *_machine(run))
    return Report(
        f"{run.kind.capitalize()} of {run.model}: {run.title}",
        run.verdict,
        tuple(sheets),
        tuple(charts),
        measured,
        tuple(_disturbance(run)),
        (run.command, *llama_bench_lines(rows), *(arm["llama_bench"] for arm in run.facts.get("arms", ()) if arm.get("llama_bench"))),
    )


def report_of_two(before: LabRun, after: LabRun) -> Report:
    """Return the report of two benchmarks with a row in common, the earlier first; without one it has no table."""
    compared = compare_runs(before, after)
    bars = tuple(
        Bar(f"{row.model} {row.test}", 100 * (row.ratio.estimate - 1), 100 * (row.ratio.low - 1), 100 * (row.ratio.high - 1))
        for row in compared
    )
    rows = tuple((row.model, row.test, row.before, row.after, change_in_words(row.ratio)) for row in compared)
    faster = sum(row.ratio.low > 1 for row in compared)
    slower = sum(row.ratio.high < 1 for row in compared)
    other = [f"Changed {name}: {old} → {new}." for name, old, new in differences(before, after)]
    return Report(
        f"Run {before.id} before, run {after.id} after",
        f"{faster} faster, {slower} slower, {len(compared) - faster - slower} without a clear difference, of {len(compared)} tests.",
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
            "The runs were not measured alternately: other changes of the machine between them affect the difference.",
        ),
        (before.command, after.command),
    )


def change_in_words(ratio: Any) -> str:
    """Format a ratio of speeds as a change in per cent with its interval."""
    change = f"{100 * (ratio.estimate - 1):+.1f} %"
    return change if ratio.high == float("inf") else f"{change} ({100 * (ratio.low - 1):+.1f} to {100 * (ratio.high - 1):+.1f})"


def llama_bench_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the command lines of llama-bench or llama-batched-bench that measure rows, one for each model, settings and test."""
    for row in rows:
        settings: list[object] = ["-m", row["model_filename"], "-t", row["n_threads"]]
        for name, flag in _FLAGS.items():
            settings += [flag, row[name]]
        if row.get("n_parallel", 1) > 1:
            prefilling = row.get("n_threads_batch", row["n_threads"])
            test = ["-tb", prefilling, "-npp", row["n_prompt"], "-ntg", row["n_gen"], "-npl", row["n_parallel"]]
            yield shlex.join(map(str, ["llama-batched-bench", *settings, *test]))
            continue
        both = row["n_prompt"] and row["n_gen"]
        test = ["-p", 0, "-n", 0, "-pg", f"{row['n_prompt']},{row['n_gen']}"] if both else ["-p", row["n_prompt"], "-n", row["n_gen"]]
        test += ["-d", row["n_depth"]] if row["n_depth"] else []
        yield shlex.join(map(str, ["llama-bench", *settings, "-mmp", int(row["load_mode"] == "mmap"), "-r", len(row["samples_ns"]), *test]))


def _of_rows(facts: dict[str, Any]) -> tuple[list[Sheet], list[Chart]]:
    rows = facts["rows"]
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
    return [sheet], [*charts, *scaling_charts(facts), *_over_time(facts)]


def scaling_charts(facts: dict[str, Any]) -> Iterator[LineChart]:
    """Yield charts of speed by threads, depth, batch or sequences, of rows that differ in nothing else; the ceiling is the roofline."""
    axes = {"n_threads": "threads", "n_depth": "depth in tokens", "n_batch": "n_batch", "n_ubatch": "n_ubatch"}
    keys = ("model_type", "n_prompt", "n_gen", "type_k", "type_v", "flash_attn", "load_mode", *axes)
    rows = () if facts.get("batched") else facts["rows"]
    for axis, label in axes.items():
        groups: dict[tuple[object, ...], list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(tuple(row[key] for key in keys if key != axis), []).append(row)
        for kind in ("prefill", "decode"):
            curves, roofs = list[Curve](), list[tuple[float, float]]()
            for same in groups.values():
                points = sorted((row[axis], row["avg_ts"]) for row in same)
                if len(dict(points)) > 1 and (same[0]["n_gen"] == 0) == (kind == "prefill"):
                    name = name_of_test(same[0] | {"n_depth": 0} if axis == "n_depth" else same[0])
                    curves.append(Curve(f"{same[0]['model_type']} {name}", tuple(points)))
                    roofs += [(row[axis], row["ceiling_ts"]) for row in same if row.get("ceiling_ts")]
            if curves:
                roof = Curve("roofline", tuple(sorted(dict(roofs).items()))) if len(curves) == 1 and roofs else None
                yield LineChart(f"{kind.capitalize()} speed", label, "tokens/s", tuple(curves), roof)
    yield from _throughput(facts)


def _over_time(facts: dict[str, Any]) -> Iterator[LineChart]:
    """Yield charts of memory, temperature and clock over a long measurement."""
    for name, title, unit, scale in (
        ("rss_bytes", "Memory of the process", "MB", 1e-6),
        ("temperature_c", "Temperature", "°C", 1.0),
        ("freq_mhz", "Clock", "MHz", 1.0),
    ):
        points = tuple((one["seconds"], one[name] * scale) for one in facts.get("endurance", ()) if one[name] is not None)
        if len(points) > 2:
            yield LineChart(title, "seconds", unit, (Curve(title, points),))


def _throughput(facts: dict[str, Any]) -> Iterator[LineChart]:
    """Yield charts of the total decode speed by the number of sequences."""
    batched = facts.get("batched", ())
    for prompt, gen in dict.fromkeys((row["pp"], row["tg"]) for row in batched):
        same = [row for row in batched if (row["pp"], row["tg"]) == (prompt, gen) and gen]
        if len({row["pl"] for row in same}) > 1:
            points = tuple(sorted((row["pl"], row["speed_tg"]) for row in same))
            roofs = [(row["pl"], row["ceiling_ts"]) for row in same if row.get("ceiling_ts")]
            roof = Curve("roofline", tuple(sorted(roofs))) if roofs else None
            yield LineChart("Total decode speed", "sequences", "tokens/s", (Curve(f"pp{prompt} tg{gen}", points),), roof)


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


def family_chart(facts: dict[str, Any]) -> LineChart | None:
    """Chart decode speed against KL divergence, a point for each quant; None with fewer than two that have both."""
    known = [one for one in facts["family"] if one["decode"] and one["kld"] is not None]
    if len(known) < 2:
        return None
    points = tuple((one["kld"], one["decode"]["estimate"]) for one in known)
    front = frozenset(number for number, one in enumerate(known) if one["pareto"])
    curve = Curve("quants", points, front, tuple(one["name"] for one in known))
    return LineChart("Decode speed (# or large: on the Pareto front)", "KL divergence from the reference", "tokens/s", (curve,))


def _of_family(facts: dict[str, Any]) -> tuple[list[Sheet], list[Chart]]:
    columns = ("quant", "size", "memory", "load, s", "prefill", "decode", "PPL", "KLD", "same top", "Pareto front")
    rows = tuple(
        (
            one["name"],
            byte_size(one["size_bytes"]),
            byte_size(one["memory_bytes"]),
            one["load_s"],
            *(one[name] and one[name]["estimate"] for name in ("prefill", "decode")),
            one["ppl"],
            one["kld"],
            one["same_top"],
            one["skipped"] or ("yes" if one["pareto"] else ""),
        )
        for one in facts["family"]
    )
    chart = family_chart(facts)
    return [Sheet("Quants", columns, rows)], [chart] if chart is not None else []


def _of_quality(facts: dict[str, Any]) -> tuple[list[Sheet], list[Chart]]:
    rows, bars = [], []
    for one in facts["results"]:
        against = one["against"]
        known = [None] * 5 if against is None else [against["kld"]["value"], against["kld_median"], against["kld_p99"], against["kld_max"]]
        same = None if against is None else against["same_top"]["value"]
        rows.append((one["label"], one["ppl"]["value"], against and against["ppl_difference"], *known[:4], same))
        if against is not None:
            kld = against["kld"]
            bars.append(Bar(one["label"], kld["value"], kld["low"], kld["high"]))
    columns = ("model", "PPL", "ΔPPL", "KLD mean", "median", "p99", "max", "same top")
    charts = [IntervalChart("KL divergence from the first, mean", "nats", tuple(bars), None)] if bars else []
    return [Sheet(f"{facts['windows']} windows of {facts['n_ctx']} tokens", columns, tuple(rows))], list(charts)


_CONTENTS: Final = {"bench": _of_rows, "race": _of_arms, "tune": _of_search, "family": _of_family, "quality": _of_quality}


def _how(run: LabRun) -> Iterator[tuple[str, str]]:
    facts = run.facts.get("final") or run.facts
    if "units" in facts:
        yield "Units", f"{facts['units']}, each arm twice per unit, in random order and back"
        yield "Compared", f"{facts['measure']}; a difference of {facts['difference']:.0%} matters"
        yield "Error rate", f"a false difference: at most {facts['error_rate']:.0%} over all looks"
        yield "Interval", "of the log ratio of both arms' times: Hodges and Lehmann's estimate, Wilcoxon's signed ranks"
    if "rows" in facts:
        yield "Method", "as llama-bench: random tokens, no tokenizing, no sampling; the points of one context in random order"
        yield "Interval", "of the mean, 95 %, Student's t"


def _machine(run: LabRun) -> tuple[tuple[str, str], ...]:
    host = run.host
    return (
        ("Machine", f"{host.name}: {host.cpu}, {host.cores} CPUs, {byte_size(host.memory_bytes)}"),
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
