"""`xchat stats`: figures of the running program, or of the last session."""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from textwrap import wrap
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.host.bandwidth import measure, remembered
from engine.metrics.figures import BY_ID
from engine.metrics.figures.figure import Figure
from engine.metrics.live_socket import running
from engine.metrics.report import Report, value_in
from engine.metrics.roofline import sentence
from engine.metrics.side_by_side import COMPARED, Side
from engine.records import SessionInfo, TurnRecord
from engine.session.explained import slowest_of
from engine.store.queries.sessions import newest_session
from engine.store.queries.turns import turns_of
from engine.text import one_line
from tui.cli.output import write_json, write_json_text
from tui.cli.reading import open_reader
from tui.text.switch_text import made_with

EXAMPLES = """\
examples:
  xchat stats                        the running xchat, else the last session
  xchat stats --watch                print a line every second
  xchat stats http://127.0.0.1:8080 --watch
  xchat stats --measure              measure this machine's limits, for the roofline
  xchat stats --slowest              the slowest turns of today, and why
  xchat stats --slowest 2026-11-20
  xchat stats --json | jq .predicted_per_second
"""

WATCH_S = 1.0
HEAD_EVERY = 20
"""Lines between two headings of --watch."""
WHOLE = frozenset({"MB", "%", "tokens", ""})
"""Units without decimals."""
LEAST_WIDTH = 9
"""Least width of a column of --watch, in cells."""

UNKNOWN = "-"
MOST_SLOW = 10
"""Turns listed by --slowest."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `stats` to the command line."""
    parser = subparsers.add_parser(
        "stats",
        help="figures of the running xchat, or of the last session",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="a server instead: xchat serve's, or llama-server's with --metrics")
    parser.add_argument("--json", action="store_true", help="print one object; with --watch one per line")
    parser.add_argument("--watch", action="store_true", help="repeat until Ctrl+C or until xchat ends")
    parser.add_argument(
        "--measure",
        type=int,
        nargs="?",
        const=0,
        metavar="THREADS",
        help="measure and save memory bandwidth and compute with this number of threads (default: all cores), for the roofline",
    )
    parser.add_argument(
        "--slowest",
        type=day_of,
        nargs="?",
        const=datetime.now().astimezone().date(),
        metavar="DAY",
        help="list the slowest turns of a day (today): what took the time, what would help, and by how much",
    )
    parser.set_defaults(run=run)


def day_of(text: str) -> date:
    """Parse a day, for `type=` of a flag."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a day such as 2026-11-20") from error


def run(options: argparse.Namespace) -> int:
    """Print the figures of the running program, else of the last session."""
    if options.measure is not None:
        return asyncio.run(measure_host(options.measure, as_json=options.json))
    if options.slowest is not None:
        return asyncio.run(slowest(options.slowest, as_json=options.json))
    if options.url is not None:
        from tui.cli.serving.watch import watch as watch_server

        return watch_server(options.url, repeat=options.watch, as_json=options.json)
    reports = running()
    if options.watch:
        if not reports:
            raise UsageError("No xchat is running", "", "Start one in another terminal, or omit --watch.")
        return watch(as_json=options.json)
    if reports:
        write_json(reports[0]) if options.json else sys.stdout.write(describe(reports[0]))
        return 0
    return asyncio.run(last_session(as_json=options.json))


async def slowest(day: date, *, as_json: bool) -> int:
    """Print the slowest turns of a day with their causes."""
    async with open_reader() as reader:
        found = await slowest_of(reader, day, MOST_SLOW)
    if as_json:
        write_json([{"turn": one.turn.id, "session": one.turn.session_id, "seconds": one.seconds, "causes": one.causes} for one in found])
        return 0
    if not found:
        sys.stdout.write(f"No turn began on {day}.\n")
    for one in found:
        when = f"{datetime.fromtimestamp(one.turn.started_ms / 1000).astimezone():%H:%M}"
        made = made_with(one.turn.quant, one.turn.preset, one.turn.threads)
        sys.stdout.write(
            f"{when}  {one.seconds:7.1f} s  session {one.turn.session_id}, turn {one.turn.id}: {one_line(one.turn.model)} {made}\n"
        )
        sys.stdout.writelines(f"    {line}\n" for cause in one.causes for line in wrap(cause.words, 100, subsequent_indent="  "))
    return 0


async def measure_host(threads: int, *, as_json: bool) -> int:
    """Measure memory bandwidth and compute of this machine."""
    most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not 0 <= threads <= most:
        raise UsageError(f"{threads} threads can't be measured", f"This process may use {most}", f"Give 1 to {most}.")
    newest = await measure(threads or most)
    if as_json:
        write_json(newest)
    else:
        sys.stdout.write(f"{sentence(newest, remembered(newest.threads) or newest)} Compute: {figure(newest.gflop_s, 'GFLOP/s', 0)}.\n")
    return 0


def watch(*, as_json: bool) -> int:
    """Print a line every second, as vmstat does."""
    heading = (("phase", *(each.short for each in WATCHED)), ("", *(each.chart_unit[0] for each in WATCHED)))
    widths = [max(LEAST_WIDTH, *map(len, texts)) for texts in zip(*heading, strict=True)]
    line = 0
    while reports := running():
        if as_json:
            write_json_text(msgspec.json.encode(reports[0]).decode() + "\n")
        else:
            for cells in (*(heading if line % HEAD_EVERY == 0 else ()), watch_row(reports[0])):
                sys.stdout.write(" ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)) + "\n")
        sys.stdout.flush()
        line += 1
        time.sleep(WATCH_S)
    return 0


MEDIANS = tuple(each for each in COMPARED if each.less_is_better is not None)
"""Figures printed as the median of a session's turns."""
SUMS = tuple(each for each in COMPARED if each.less_is_better is None and each.unit == "tokens")
"""Figures printed as the sum of a session's turns."""
WATCHED = tuple(
    BY_ID[name]
    for name in (
        *("tokens_per_second", "predicted_per_second", "prompt_per_second", "context_used", "itl_p50_ms", "itl_p99_ms"),
        *("stalls_total", "rss_bytes", "cpu_own_pct", "cpu_others_pct"),
    )
)
"""The figures of --watch."""


def watch_row(report: Report) -> tuple[str, ...]:
    """Return the values of one line of --watch."""
    return (str(report["phase"]), *(number(value_in(report, each), *in_unit(each)[1:]) for each in WATCHED))


def in_unit(of: Figure) -> tuple[str, int, float]:
    """Return the unit, the decimals and the factor with which a figure is printed."""
    unit, scale = of.chart_unit
    return unit, 0 if unit in WHOLE else 1, 1 / scale


def number(value: object, decimals: int = 1, factor: float = 1.0) -> str:
    """Format a figure of a report; a hyphen without a value."""
    return f"{value * factor:.{decimals}f}" if isinstance(value, int | float) else UNKNOWN


def figure(value: object, unit: str, decimals: int = 1, factor: float = 1.0) -> str:
    """Format a figure with its unit, or the reason why it is unavailable."""
    if isinstance(value, Mapping):
        return f"unavailable ({value['unavailable']})"
    return f"{value * factor:,.{decimals}f} {unit}" if isinstance(value, int | float) else UNKNOWN


def describe(report: Report) -> str:
    """Format a report as text."""
    host: Mapping[str, Any] = report["host"] or {}
    context, totals = report["context"], report["totals"]
    model = f"{report['model']} {report['quant']}" if report["model"] else "no model"
    gaps = f"p50 {number(report['itl_p50_ms'])} ms, p99 {number(report['itl_p99_ms'])} ms, longest {number(report['itl_max_ms'])} ms"
    resident, available = (figure(host.get(name), "MB", 0, 1e-6) for name in ("rss_bytes", "available_bytes"))
    own, others = figure(host.get("cpu_own_pct"), "%", 0), figure(host.get("cpu_others_pct"), "% of all cores", 0)
    rows = [
        ("xchat", f"process {report['pid']}, {report['phase']}, {model}, preset {report['preset'] or UNKNOWN}"),
        (
            "speed",
            f"{number(report['tokens_per_second'])} tokens/s now, {number(report['predicted_per_second'])} tokens/s over the turn",
        ),
        ("prefill", figure(report["prompt_per_second"], "tokens/s")),
        ("latency", gaps),
        ("first token", figure(report["ttft_ms"], "ms", 0)),
        ("context", f"{context['used']:,} of {figure(context['n_ctx'], 'tokens', 0)}, {context['cache_n']:,} of the prompt reused"),
        ("memory", f"{resident} resident, {available} available"),
        ("processor", f"xchat {own}, others {others}"),
        ("temperature", figure(host.get("temperature_c"), "°C", 0)),
        ("bandwidth", f"{number(report['bandwidth_gb_s'])} GB/s, {report['bound'] or 'measured during answers'}"),
        ("turns", f"{totals['turns']} finished, {totals['failed']} failed, {totals['stalls']} stalls"),
        ("noisy", report["noisy"] or "no"),
        *(("alert", sentence) for sentence in report["alerts"]),
    ]
    return "".join(f"{name:<12} {text}\n" for name, text in rows)


async def last_session(*, as_json: bool) -> int:
    """Print the figures of the last session."""
    async with open_reader() as reader:
        info = await reader.read(newest_session)
        turns = await reader.read(turns_of, info.id) if info is not None else ()
    if info is None:
        raise UsageError("Nothing is running, and no session is saved", "", "Start a chat with `xchat`.")
    found = summary(info, turns)
    if as_json:
        write_json(found)
    else:
        sys.stdout.write(describe_session(found))
    return 0


def summary(info: SessionInfo, turns: Sequence[TurnRecord]) -> dict[str, Any]:
    """Medians over the compared turns of a session."""
    side = Side(info.title, tuple(turns))
    return {
        "session": info.id,
        "title": info.title,
        "model": info.model,
        "quant": info.quant,
        "preset": info.preset,
        "turns": len(turns),
        "noisy_turns": sum(turn.noisy is not None for turn in turns),
        "clean_turns": len(side.clean),
        "compared": "clean" if side.clean else "disturbed",
        **{each.id: median(of_turns(each, side.compared)) for each in MEDIANS},
        **{each.id: sum(of_turns(each, turns)) for each in SUMS},
        "last_turn": turns[-1].timings.as_dict() if turns else None,
    }


def of_turns(of: Figure, turns: Sequence[TurnRecord]) -> list[float]:
    """Read a figure from each turn that has it."""
    return [value for turn in turns if of.of_turn is not None and (value := of.of_turn(turn)) is not None]


def median(values: Sequence[float]) -> float | None:
    """Return the median; None without values."""
    return statistics.median(values) if values else None


def describe_session(found: Mapping[str, Any]) -> str:
    """Format a summary as text."""
    basis = f"{found['clean_turns']} clean" if found["clean_turns"] else "disturbed"
    rows = [
        ("session", f"{found['session']}, {found['title']}"),
        ("model", f"{found['model'] or UNKNOWN} {found['quant'] or ''}, preset {found['preset'] or UNKNOWN}"),
        ("turns", f"{found['turns']}, {found['noisy_turns']} noisy; medians over the {basis} ones follow"),
        *((each.name, figure(found[each.id], *in_unit(each))) for each in (*MEDIANS, *SUMS) if found[each.id] is not None),
    ]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {text}\n" for name, text in rows)
