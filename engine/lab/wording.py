"""Formats the results of races and searches as sentences, tables and JSON values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from engine.lab.race import Lane, Race, Task, clients_of
from engine.lab.statistics import ERROR_RATE, Finding, Interval
from engine.lab.tune import Tuning
from engine.numbers import byte_size
from engine.presets.preset import Preset
from engine.presets.settings import difference, shown
from engine.store.export.llama_bench import command_line
from engine.text import one_line


def verdict_in_words(lane: Lane, first: Lane, stated: float) -> str:
    """Format the verdict about one arm."""
    decision, ratio = lane.decision, lane.speed_ratio
    if decision is None or ratio is None:
        return f"INCONCLUSIVE: {lane.arm.name} was not measured."
    name, other = lane.arm.name, first.arm.name
    if decision.finding is Finding.UNDECIDED:
        said = f"no clear difference between {name} and {other} yet: {ratio_in_words(ratio)}"
    elif decision.finding is Finding.SAME:
        said = f"{name} is as fast as {other}, within {stated:.0%}: {ratio_in_words(ratio)}"
    else:
        said = f"{name} is {decision.finding} than {other}: {ratio_in_words(ratio)}"
    return f"{decision.verdict}: {said}."


def race_in_words(result: Race) -> str:
    """Format the verdicts, a sentence for each arm."""
    return " ".join(verdict_in_words(lane, result.lanes[0], result.stated) for lane in result.lanes[1:])


def race_lines(result: Race) -> Iterator[str]:
    """Yield the arms as a table, then the method of measurement."""
    width = max(len(lane.arm.name) for lane in result.lanes)
    for lane in result.lanes:
        ratio = "" if lane.speed_ratio is None else f"  {ratio_in_words(lane.speed_ratio)}"
        yield f"  {lane.arm.name:<{width}}  {_speed(lane, result)}{ratio}"
    yield ""
    counts = {"prompt tokens": result.task.prompt, "tokens decoded": result.task.gen}
    work = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    units = f"{result.units} {'unit' if result.units == 1 else 'units'}"
    yield f"Compared: {result.use} ({work}), {units} in {result.seconds:.0f} s, interleaved in random order."
    yield f"The probability of a false difference is at most {ERROR_RATE:.0%}."
    for remark in result.remarks:
        yield f"{remark}."


def _speed(lane: Lane, result: Race) -> str:
    """Format the typical time of an arm's turn, as tokens/s where possible."""
    if not lane.seconds:
        return "not measured"
    task, seconds = result.task, lane.typical
    tokens = task.prompt or task.gen if not (task.prompt and task.gen) else 0
    return f"{tokens / seconds:8.2f} tokens/s" if tokens else f"{seconds:8.3f} s a turn"


def race_facts(result: Race) -> dict[str, Any]:
    """Return the figures as JSON values; unbounded ends of an interval are null."""
    return {
        "measure": result.use,
        "difference": result.stated,
        "error_rate": ERROR_RATE,
        "units": result.units,
        "seconds": result.seconds,
        "disturbed": result.disturbed,
        "remarks": result.remarks,
        "arms": [_lane(lane, result.task) for lane in result.lanes],
    }


def _llama_bench(lane: Lane, task: Task) -> str | None:
    """Return the equivalent call of llama-bench; None where there is none."""
    ref, preset = lane.arm.setup.ref, lane.arm.setup.preset
    if not isinstance(ref, Path) or not isinstance(preset.threads, int) or task.probe.n_parallel > 1:
        return None
    settings = msgspec.json.encode(preset).decode()
    return command_line(
        model_path=str(ref),
        preset_json=settings,
        threads=preset.threads,
        n_prompt=task.prompt,
        n_gen=task.gen,
        n_depth=task.probe.n_depth,
    )


def _lane(lane: Lane, task: Task) -> dict[str, Any]:
    decision, ratio = lane.decision, lane.speed_ratio
    typical = lane.typical if lane.seconds else None
    known = {
        "arm": lane.arm.name,
        "model": str(lane.arm.setup.ref),
        "turn_s": typical,
        "turns_s": lane.seconds,
        "llama_bench": _llama_bench(lane, task),
    }
    if decision is None or ratio is None:
        return known
    bounded = decision.interval.low > -math.inf
    return known | {
        "verdict": decision.verdict,
        "finding": decision.finding,
        "speed_ratio": ratio.estimate,
        "low": ratio.low if bounded else None,
        "high": ratio.high if bounded else None,
        "sign_test_p": lane.sign_probability,
    }


def ratio_in_words(ratio: Interval | None) -> str:
    """Format a ratio of speeds in per cent: `+4.1 % (+3.2 to +5.0)`."""
    if ratio is None:
        return ""
    if ratio.high == math.inf:
        return f"{100 * (ratio.estimate - 1):+.1f} % (no interval yet)"
    low, high = 100 * (ratio.low - 1), 100 * (ratio.high - 1)
    return f"{100 * (ratio.estimate - 1):+.1f} % ({low:+.1f} to {high:+.1f})"


def tuning_in_words(tuning: Tuning) -> str:
    """Format the result of a search as a sentence."""
    if tuning.final is None:
        what = (
            "The search was interrupted"
            if tuning.interrupted
            else "Nothing smaller was found"
            if tuning.least_memory
            else "Nothing better was found"
        )
        return f"{what}; the current settings stay."
    lane, today = tuning.final.lanes[1], tuning.final.lanes[0]
    settings = " ".join(f"{key}={one_line(value)}" for key, value in tuning.changes.items())
    if tuning.adopted:
        spared = f", {byte_size(tuning.saved_bytes)} less memory" if tuning.least_memory else ""
        return f"Use {settings}{spared}: {verdict_in_words(lane, today, tuning.final.stated)}"
    looked = (
        "needs less memory, but was not shown to be fast enough" if tuning.least_memory else "looked faster, but the gain was not confirmed"
    )
    return f"{settings} {looked}; the current settings stay. {verdict_in_words(lane, today, tuning.final.stated)}"


def tuning_lines(tuning: Tuning) -> Iterator[str]:
    """Yield the candidates as a table, then the method of measurement."""
    width = max((len(tried.name) for tried in tuning.tried), default=0)
    for tried in tuning.tried:
        gain = f"{100 * tried.gain:+6.1f} %" if tried.gain is not None else f"skipped: {tried.skipped}"
        mark = "  taken" if tried.chosen else ""
        yield f"  {tried.stage:<13}  {tried.name:<{width}}  {gain}{mark}"
    if tuning.tried:
        preset = tuning.today.setup.preset
        counts = [key for key in ("threads", "threads_batch") if getattr(preset, key) == "auto"]
        auto = f" {' and '.join(counts)} auto: measured with its initial count." if counts else ""
        yield ""
        yield f"Each compared with the best before it; {tuning.seconds:.0f} s.{auto}"
    if tuning.final is not None:
        for remark in tuning.final.remarks:
            yield f"{remark}."


def settings_of(preset: Preset) -> dict[str, str]:
    """Return the settings that differ from the defaults, as they are typed."""
    return {change.key: shown(change.after) for change in difference(Preset(), preset)}


def tuning_facts(tuning: Tuning) -> dict[str, Any]:
    """Return the figures of a search as JSON values."""
    return {
        "use": tuning.use,
        "model": str(tuning.today.setup.ref),
        "today": settings_of(tuning.today.setup.preset),
        "clients": clients_of(tuning.use, tuning.clients),
        "least_memory": tuning.least_memory,
        "saved_bytes": tuning.saved_bytes,
        "adopted": tuning.adopted,
        "changes": tuning.changes,
        "seconds": tuning.seconds,
        "tried": [asdict(tried) for tried in tuning.tried],
        "final": None if tuning.final is None else race_facts(tuning.final),
    }
