"""`xchat load`: load-test an OpenAI-compatible server, and report latency and throughput as its clients see them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.lab.load import DEFAULT, SHARES, LoadPlan, changes, load
from engine.lab.traffic import Traffic
from engine.text import file_name
from tui.cli.output import Progress, write_json

KEY_VARIABLE = "XCHAT_API_KEY"
MOST = 1_000
EXAMPLES = """\
examples:
  xchat load http://127.0.0.1:8080                8 requests at a time, 32 in all
  xchat load http://127.0.0.1:8080 -c 1 -r 10     one after the other
  xchat load http://127.0.0.1:8080 -c 1,2,4,8     a sweep: one line for each
  xchat load http://127.0.0.1:8080 --rate 2 --words 50-400 --shared 50 -n 16-128 --slo-ttft 500 --slo-gap 100
  xchat load http://box:8000/v1 -c 16 -r 64 -n 128 --json > before.json
  xchat load http://box:8000/v1 -c 16 -r 64 -n 128 --against before.json
"""
_NAMES = {"ttft_ms": "TTFT, ms", "gap_ms": "gap, ms", "total_ms": "whole, ms", "tokens_per_second": "tokens/s each"}


def _numbers(text: str) -> tuple[int, ...]:
    """Parse `8` or `1,2,4`, for `type=` of a flag."""
    numbers = tuple(int(part) if part.strip().isdecimal() and part.isascii() else 0 for part in text.split(",")[:100])
    if not all(1 <= number <= MOST for number in numbers):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number from 1 to {MOST:,}, or several with commas")
    return numbers


def _span(text: str) -> tuple[int, int]:
    """Parse `64` or `16-128`, for `type=` of a flag."""
    low, _, high = text.partition("-")
    ends = [int(end) if end.isdecimal() and end.isascii() and len(end) < 7 else 0 for end in (low, high or low)]
    if not 1 <= ends[0] <= ends[1]:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number, or two such as 16-128")
    return ends[0], ends[1]


def _positive(text: str) -> float:
    """Parse a number above 0, for `type=` of a flag."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number <= 1e6:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number above 0")
    return number


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `load` to the command line."""
    plan = LoadPlan("")
    parser = subparsers.add_parser(
        "load",
        help="load-test an OpenAI-compatible server: latency and throughput as its clients see them",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="the server, such as http://127.0.0.1:8080")
    parser.add_argument(
        "-c", "--concurrency", type=_numbers, default=(plan.concurrency,), metavar="N", help="requests at a time (8); 1,2,4 tests each"
    )
    parser.add_argument("--rate", type=_positive, metavar="R", help="send R requests per second at random moments (Poisson) instead of -c")
    parser.add_argument("-r", "--requests", type=int, default=plan.requests, metavar="N", help="total number of requests (32)")
    parser.add_argument(
        "-n", "--max-tokens", type=_span, default=DEFAULT.max_tokens, metavar="N", help="longest answer in tokens (64), or 16-128"
    )
    parser.add_argument("--prompt", default=DEFAULT.prompt, metavar="TEXT", help="the message of each request")
    parser.add_argument("--words", type=_span, metavar="N", help="random messages of N words instead, or 50-400")
    parser.add_argument(
        "--shared", type=float, default=0.0, metavar="PCT", help="with --words: how much of them all messages begin with (0)"
    )
    parser.add_argument("--seed", type=int, default=DEFAULT.seed, metavar="N", help="of the random messages, lengths and moments (1)")
    parser.add_argument("--slo-ttft", type=_positive, metavar="MS", help="longest TTFT of a good answer, for the goodput")
    parser.add_argument("--slo-gap", type=_positive, metavar="MS", help="longest mean gap between chunks of a good answer")
    parser.add_argument("--model", default=plan.model, metavar="NAME", help="the model to request; xchat serve accepts any name")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with an earlier test, written with --json")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object; for a sweep, a list")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the load test; returns the exit code: 1 when a request failed."""
    if options.requests < 1:
        raise UsageError("--requests is less than 1")
    if not 0 <= options.shared <= 100 or (options.shared and options.words is None):
        raise UsageError("--shared is 0 to 100, and needs --words")
    before = _read(options.against) if options.against is not None else None
    if before is not None and len(options.concurrency) > 1:
        raise UsageError("--against compares one test, not a sweep", "", "Give one number with -c.")
    traffic = Traffic(options.prompt, options.words, options.shared / 100, options.max_tokens, options.rate, options.seed)
    key = os.environ.get(KEY_VARIABLE, "")
    levels = options.concurrency if options.rate is None else options.concurrency[:1]
    plans = [
        LoadPlan(options.url, level, options.requests, traffic, options.slo_ttft, options.slo_gap, options.model, key) for level in levels
    ]
    every = [_measured(plan) for plan in plans]
    if options.json:
        write_json(every if len(every) > 1 else every[0])
    else:
        lines = table(plans[0], every[0]) if len(every) == 1 else sweep(every)
        lines += compared(before, every[0]) if before is not None else []
        sys.stdout.write("\n".join(lines) + "\n")
    return 0 if all(figures["succeeded"] == figures["requests"] for figures in every) else 1


def _measured(plan: LoadPlan) -> dict[str, Any]:
    done = 0
    with Progress("loading", "requests") as progress:

        def count(_call: object) -> None:
            nonlocal done
            done += 1
            progress.show(done, plan.requests)

        return asyncio.run(load(plan, count)).as_dict()


def _read(path: Path) -> dict[str, Any]:
    """The figures of an earlier test. Raises UsageError."""
    try:
        found = msgspec.json.decode(path.read_bytes())
        each = msgspec.convert(found["each"], dict[str, list[float]])
    except (OSError, msgspec.MsgspecError, RecursionError, KeyError, TypeError) as error:
        raise UsageError(f"{file_name(path)} is not a load test", str(error), "Write one with --json.") from error
    return {**found, "each": each}


def sweep(every: list[dict[str, Any]]) -> list[str]:
    """Format several tests, one line for each."""
    heads = ("at a time", "succeeded", "TTFT p50", "TTFT p95", "gap p50", "gap p99", "tokens/s", "requests/s", "good/s")
    lines = ["".join(f"{head:>11}" for head in heads)]
    for figures in every:
        spreads = [figures["ttft_ms"]["p50"], figures["ttft_ms"]["p95"], figures["gap_ms"]["p50"], figures["gap_ms"]["p99"]]
        values = [*spreads, *(figures[name] for name in ("throughput_tokens_per_second", "requests_per_second", "goodput_per_second"))]
        counts = f"{figures['concurrency']:>11}{figures['success_rate']:>11.0%}"
        lines.append(counts + "".join(f"{'-':>11}" if value is None else f"{value:>11,.2f}" for value in values))
    return lines + [f"failed: {error}" for error in sorted({error for figures in every for error in figures["errors"]})]


def compared(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Format the changes since an earlier test."""
    lines = ["", "change of the median, with its 95 % interval (requests of one test are not independent: the truth may be wider)"]
    for name, ratio in changes(before["each"], after["each"]).items():
        low, middle, high = (f"{100 * (value - 1):+.1f} %" for value in (ratio.low, ratio.estimate, ratio.high))
        verdict = "lower" if ratio.high < 1 else "higher" if ratio.low > 1 else "no difference shown"
        lines.append(f"{_NAMES[name]:<15}{middle:>10} ({low} to {high})  {verdict}")
    return lines


def table(plan: LoadPlan, figures: dict[str, Any]) -> list[str]:
    """Format the figures as lines of text."""
    how = f"{plan.concurrency} at a time" if plan.traffic.rate is None else f"{plan.traffic.rate:g} sent per second"
    lines = [
        f"{figures['succeeded']:,} of {figures['requests']:,} requests succeeded ({figures['success_rate']:.1%}), "
        f"{how}, in {figures['elapsed_s']:,.2f} s",
        f"{figures['throughput_tokens_per_second']:,.1f} tokens/s in total, {figures['requests_per_second']:,.2f} requests/s",
    ]
    if plan.slo_ttft_ms is not None or plan.slo_gap_ms is not None:
        lines.append(f"{figures['goodput_per_second']:,.2f} answers/s within the limits (goodput)")
    if figures["cached_share"] is not None:
        lines.append(f"{figures['cached_share']:.0%} of the prompt tokens from the KV cache")
    columns = ["mean", "min", *(f"p{share * 100:.0f}" for share in SHARES), "max"]
    lines.append("               " + "".join(f"{column:>10}" for column in columns))
    for name, label in _NAMES.items():
        cells = "".join(f"{figures[name][column]:>10,.2f}" if figures[name][column] is not None else f"{'-':>10}" for column in columns)
        lines.append(f"{label:<15}{cells}")
    return lines + [f"failed: {error}" for error in figures["errors"]]
