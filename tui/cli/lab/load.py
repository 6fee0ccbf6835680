"""`xchat load`: load-test an OpenAI-compatible server, and report latency and throughput as its clients see them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import Any

from engine.errors import UsageError
from engine.lab.load import SHARES, LoadPlan, LoadResult, load
from tui.cli.output import Progress, write_json

KEY_VARIABLE = "XCHAT_API_KEY"
MOST = 1_000
EXAMPLES = """\
examples:
  xchat load http://127.0.0.1:8080                8 requests at a time, 32 in all
  xchat load http://127.0.0.1:8080 -c 1 -r 10     one after the other
  xchat load http://box:8000/v1 -c 16 -r 64 -n 128 --json
"""
_NAMES = {"ttft_ms": "TTFT, ms", "gap_ms": "gap, ms", "total_ms": "whole, ms", "tokens_per_second": "tokens/s each"}


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
    parser.add_argument("-c", "--concurrency", type=int, default=plan.concurrency, metavar="N", help="requests at a time (8)")
    parser.add_argument("-r", "--requests", type=int, default=plan.requests, metavar="N", help="total number of requests (32)")
    parser.add_argument("-n", "--max-tokens", type=int, default=plan.max_tokens, metavar="N", help="longest answer in tokens (64)")
    parser.add_argument("--prompt", default=plan.prompt, metavar="TEXT", help="the message of each request")
    parser.add_argument("--model", default=plan.model, metavar="NAME", help="the model to request; xchat serve accepts any name")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the load test; returns the exit code: 1 when a request failed."""
    for name in ("concurrency", "requests", "max_tokens"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} is less than 1")
    if options.concurrency > MOST:
        raise UsageError(f"--concurrency is more than {MOST:,}")
    plan = LoadPlan(
        options.url,
        options.concurrency,
        options.requests,
        options.prompt,
        options.max_tokens,
        options.model,
        os.environ.get(KEY_VARIABLE, ""),
    )
    done = 0
    with Progress("loading", "requests") as progress:

        def count(_call: object) -> None:
            nonlocal done
            done += 1
            progress.show(done, plan.requests)

        result = asyncio.run(load(plan, count))
    figures = result.as_dict()
    if options.json:
        write_json(figures)
    else:
        sys.stdout.write("\n".join(table(result, figures)) + "\n")
    return 0 if figures["succeeded"] == figures["requests"] else 1


def table(result: LoadResult, figures: dict[str, Any]) -> list[str]:
    """Format the figures as lines of text."""
    lines = [
        f"{figures['succeeded']:,} of {figures['requests']:,} requests succeeded ({figures['success_rate']:.1%}), "
        f"{result.plan.concurrency} at a time, in {figures['elapsed_s']:,.2f} s",
        f"{figures['throughput_tokens_per_second']:,.1f} tokens/s in total, {figures['requests_per_second']:,.2f} requests/s",
    ]
    if figures["cached_share"] is not None:
        lines.append(f"{figures['cached_share']:.0%} of the prompt tokens from the KV cache")
    columns = ["mean", "min", *(f"p{share * 100:.0f}" for share in SHARES), "max"]
    lines.append("               " + "".join(f"{column:>10}" for column in columns))
    for name, label in _NAMES.items():
        cells = "".join(f"{figures[name][column]:>10,.2f}" if figures[name][column] is not None else f"{'-':>10}" for column in columns)
        lines.append(f"{label:<15}{cells}")
    return lines + [f"failed: {error}" for error in figures["errors"]]
