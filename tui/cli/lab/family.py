"""`xchat models compare`: measure the local quants of a family and compare them."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Sequence

import msgspec

from engine.clock import NS_PER_S, now_ns, wall_ms
from engine.config import load_config
from engine.errors import UsageError, XchatError
from engine.guide import builtin
from engine.lab.log import run_of_family
from engine.lab.quality.family import Member, family_facts, measure_family
from engine.lab.quality.run import Arm, QualityRun, shipped_text
from engine.lab.reports.report import family_chart
from engine.lab.statistics import Interval
from engine.numbers import byte_size
from engine.presets.preset import Preset
from engine.session.open import first_model, model_finder
from engine.text import one_line
from tui.cli.lab.common import clear_progress, keep, lab_engine, show_charts, show_progress
from tui.cli.output import Progress, write_json


def run(options: argparse.Namespace) -> int:
    """Measure every local quant, print the table and the chart; return 130 when Ctrl+C ended it."""
    config = load_config()
    ref = first_model(options.model, config)
    choices = [choice for choice in model_finder(config).quants(ref) if choice.ref is not None]
    members = [Member(choice.quant, choice.ref) for choice in choices if choice.ref is not None]
    if len(members) < 2:
        raise UsageError(
            "There is nothing to compare", "Only one quant of the family is here", "Make another with `xchat models quantize MODEL QUANT`."
        )
    preset = Preset()
    status, started_ms, began = 0, wall_ms(), now_ns()
    with lab_engine() as engine:
        try:
            measure_family(engine, members, preset, lambda name: show_progress(f"speed of {one_line(name)} …"))
        except KeyboardInterrupt:
            status = 130
        clear_progress()
        library = engine.library
    if not status and options.windows:
        status = _add_quality(members, preset, options.windows)
    facts = msgspec.to_builtins(family_facts(members))
    if options.json:
        write_json(facts)
    else:
        sys.stdout.write("\n".join(table(members)) + "\n")
        chart = family_chart(facts)
        if chart is not None:
            show_charts([chart])
    if not options.no_log:
        name = one_line(options.model)
        seconds = (now_ns() - began) / NS_PER_S
        command = shlex.join(["xchat", "models", "compare", options.model, "--windows", str(options.windows)])
        keep(run_of_family(name, facts, library, started_ms=started_ms, seconds=seconds, command=command))
    return status


def _add_quality(members: Sequence[Member], preset: Preset, windows: int) -> int:
    usable = [member for member in members if not member.skipped]
    arms = [Arm(member.name, member.ref, preset) for member in usable]
    if len(arms) < 2:
        return 0
    try:
        with Progress("measuring quality", "windows") as progress:
            measurement = QualityRun(arms, shipped_text(), most_windows=windows)
            outcome = measurement.run(builtin.file_of, builtin.is_ours, progress.show)
    except XchatError as error:
        sys.stderr.write(f"xchat: quality was not measured: {error}\n")
        return 0
    for label, reason in outcome.skipped:
        sys.stderr.write(f"{one_line(label)}: quality was not measured: {one_line(reason)}\n")
    found = {one.label: one for one in outcome.results}
    for member in usable:
        member.quality = found.get(member.name)
    return 130 if outcome.interrupted else 0


def table(members: Sequence[Member]) -> list[str]:
    """Format the figures, a row for each quant; `*` marks those that no other beats in both speed and quality."""
    marked = [one["pareto"] for one in family_facts(members)["family"]]
    head = f"  {'quant':<10}{'size':>10}{'memory':>10}{'load':>8}{'prefill':>16}{'decode':>16}{'PPL':>12}{'KLD':>9}{'same top':>9}"
    return [head, *(_row(member, mark) for member, mark in zip(members, marked, strict=True)), "", *_notes(members)]


def _row(member: Member, marked: bool) -> str:
    if member.load_s is None:
        return f"  {one_line(member.name):<10}{member.skipped or 'not measured'}"
    quality = member.quality
    against = quality.against if quality is not None else None
    figures = (
        f"{quality.ppl.value:>12.3f}" if quality is not None else f"{'-':>12}",
        f"{member.kld:>9.4f}" if member.kld is not None else f"{'-':>9}",
        f"{against.same_top.value:>9.1%}" if against is not None else f"{'-':>9}",
    )
    sizes = f"{byte_size(member.size_bytes):>10}{byte_size(member.memory_bytes):>10}{member.load_s:>6.1f} s"
    return f"{'*' if marked else ' '} {one_line(member.name):<10}{sizes}{_speed(member.prefill)}{_speed(member.decode)}{''.join(figures)}"


def _speed(interval: Interval | None) -> str:
    if interval is None:
        return f"{'-':>16}"
    half = interval.high - interval.estimate
    return f"{interval.estimate:>9.1f} {f'±{half:>5.1f}' if math.isfinite(half) else '':<6}"


def _notes(members: Sequence[Member]) -> list[str]:
    base = next((member.name for member in members if member.quality is not None and member.quality.against is None), None)
    lines = ["* no other quant is both faster and closer to the reference. Prefill of 128 tokens and decode of 32, tokens/s ± 95 %."]
    if base is not None:
        lines.append(f"KLD: KL divergence from {one_line(base)}, mean, in nats; same top: the most probable token is the same.")
    return lines + [f"{one_line(member.name)}: {remark}" for member in members for remark in member.remarks]
