"""`xchat bench`: measure prefill and decode speed as llama-bench does, with this program's engine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from engine.clock import NS_PER_S, now_ns, wall_ms
from engine.config import load_config
from engine.errors import UsageError
from engine.host.sampler import host_sampler
from engine.lab.bench import LEAST_REPEATS, PRECISION, SECONDS, Limits, Point, measure
from engine.lab.endurance import Endurance
from engine.lab.grid import Grid, numbers
from engine.lab.log import run_of_bench
from engine.lab.reports.report import scaling_charts
from engine.lab.rows import batched_rows, batched_table, bench_rows, markdown_table, name_of_test
from engine.model_ref import ModelRef
from engine.session.open import first_model
from engine.store.export.llama_bench import BenchRow, Dialect, write_llama_bench
from engine.store.host import Host
from tui.cli.lab.common import above_zero, add_log_flag, clear_progress, command_line, keep, lab_engine, show_charts, whole_above_zero
from tui.cli.output import write_json_text
from tui.text.wording import count

EXAMPLES = """\
examples:
  xchat bench                              the model used last: pp512 and tg128
  xchat bench builtin ~/q4.gguf -t 1-4     a grid; 1-4, 2-16+2 and 64-512*2 are ranges
  xchat bench -p 0 -n 64 -d 0,1024 -o jsonl > rows.jsonl
  xchat bench -npl 1,2,4,8 -p 128 -n 32    parallel answers, as llama-batched-bench
  xchat bench -t 1-8 -p 0 --charts         speed against threads, with the roofline
  xchat bench --minutes 30 -p 0            endurance: drift and disturbances over half an hour
"""

MARKDOWN = "md"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench` to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="measure prefill and decode speed, as llama-bench does",
        description="Measure models as llama-bench does: random tokens, no tokenizing, no sampling. Flags and defaults are llama-bench's.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="GGUF files, families or `builtin`; else the model used last")
    grid = parser.add_argument_group("grid", "lists and ranges; each may be given several times")
    for flags, name, meaning in _LISTS:
        grid.add_argument(*flags, dest=name, action="append", metavar="N", help=meaning)
    grid.add_argument("-pg", dest="pairs", action="append", metavar="PP,TG", help="prefill and decode measured together")
    for flags, name, meaning in _WORDS:
        grid.add_argument(*flags, dest=name, action="append", metavar="X", help=meaning)
    stop = parser.add_argument_group("repetitions")
    stop.add_argument("-r", "--repetitions", type=whole_above_zero, metavar="N", help="exactly N repetitions of each point")
    stop.add_argument(
        "--precision",
        type=above_zero,
        default=100 * PRECISION,
        metavar="PCT",
        help=f"else repeat until the 95 %% interval is this narrow, ± ({100 * PRECISION:g})",
    )
    stop.add_argument(
        "--seconds", type=above_zero, default=SECONDS, metavar="S", help=f"or until this time is over, for each point ({SECONDS:g})"
    )
    stop.add_argument("--minutes", type=above_zero, metavar="M", help="repeat all points for this time, and report the drift")
    parser.add_argument("-o", "--output", choices=[MARKDOWN, *map(str, Dialect)], default=MARKDOWN, help="output format (md)")
    parser.add_argument("--charts", action="store_true", help="draw speed by threads, depth, batch and sequences below the rows")
    add_log_flag(parser)
    parser.set_defaults(run=run)


_LISTS = (
    (("-p", "--n-prompt"), "n_prompt", "prompt tokens of the prefill test (512); 0 skips it"),
    (("-n", "--n-gen"), "n_gen", "tokens of the decode test (128); 0 skips it"),
    (("-d", "--n-depth"), "n_depth", "tokens in the KV cache before the test (0)"),
    (("-npl", "--n-parallel"), "n_parallel", "parallel sequences with a prompt and an answer each: rows of llama-batched-bench"),
    (("-t", "--threads"), "threads", "threads for decode, and for prefill without -tb"),
    (("-tb", "--threads-batch"), "threads_batch", "threads for prefill"),
    (("-b", "--batch-size"), "n_batch", "n_batch (2048)"),
    (("-ub", "--ubatch-size"), "n_ubatch", "n_ubatch (512)"),
)
_WORDS = (
    (("-ctk", "--cache-type-k"), "type_k", "type of the K cache (f16)"),
    (("-ctv", "--cache-type-v"), "type_v", "type of the V cache (f16)"),
    (("-fa", "--flash-attn"), "flash_attn", "auto, on or off (auto); also 1 or 0"),
    (("-mmp", "--mmap"), "mmap", "1 maps the file, 0 reads it into memory (1)"),
)
_SWITCHES: dict[str, dict[str, object]] = {
    "flash_attn": {"1": "on", "0": "off", "-1": "auto"},
    "mmap": {"1": True, "0": False, "on": True, "off": False},
}


def run(options: argparse.Namespace) -> int:
    """Measure, print the rows, and report disturbances."""
    if options.n_parallel and options.output not in {MARKDOWN, Dialect.JSONL}:
        raise UsageError(
            f"Rows of -npl can't be written as {options.output}", "", "Use -o md or -o jsonl, the formats of llama-batched-bench."
        )
    if options.n_parallel and (options.n_depth or options.pairs):
        raise UsageError("-d and -pg can't be combined with -npl", "", "Set the prompt and the answer of each sequence with -p and -n.")
    points = [Point(setup, work) for setup, work in grid_of(options).points(models_of(options.models))]
    limits = Limits(options.repetitions, options.precision / 100, options.seconds, options.minutes)
    status, started_ms, began = 0, wall_ms(), now_ns()
    endurance = Endurance(host_sampler()) if options.minutes else None

    def progressed(point: Point) -> None:
        _progress(points, point)
        if endurance is not None:
            endurance.sample()

    with lab_engine() as engine:
        try:
            measure(engine, points, limits, progressed)
        except KeyboardInterrupt:
            status = 130
        clear_progress()
    if options.n_parallel:
        print_batched(list(batched_rows(points)), options.output)
    else:
        print_rows(list(bench_rows(points, Host.here())), options.output)
    for line in (*remarks(points), *(endurance.remarks if endurance is not None else ())):
        sys.stderr.write(f"{line}\n")
    measured = run_of_bench(
        points, started_ms=started_ms, seconds=(now_ns() - began) / NS_PER_S, command=command_line("bench"), endurance=endurance
    )
    if options.charts and measured is not None:
        show_charts(scaling_charts(measured.facts))
    if not options.no_log:
        keep(measured)
    return status if status or any(point.samples_ns for point in points) else 1


def models_of(named: Sequence[str]) -> list[ModelRef]:
    """Return the named models, or the one used last."""
    config = load_config()
    return [first_model(name, config) for name in named] or [first_model(None, config)]


def grid_of(options: argparse.Namespace) -> Grid:
    """Build the grid from the flags.

    Raises:
        UsageError: A list can't be read.
    """

    def listed(name: str, usual: Sequence[int]) -> Sequence[int]:
        texts = getattr(options, name)
        return [number for text in texts for number in numbers(text)] if texts else usual

    settings: dict[str, Sequence[object]] = {
        "n_batch": listed("n_batch", (2048,)),
        "n_ubatch": listed("n_ubatch", (512,)),
        "threads": listed("threads", ()) or ("auto",),
        "threads_batch": listed("threads_batch", ()) or ("auto",),
    }
    for name in ("type_k", "type_v", "flash_attn", "mmap"):
        if texts := getattr(options, name):
            words = [word.strip() for text in texts for word in text.split(",")]
            settings[name] = [_SWITCHES.get(name, {}).get(word, word) for word in words]
    pairs = [_pair(text) for text in options.pairs or ()]
    return Grid(
        n_prompt=listed("n_prompt", (512,)),
        n_gen=listed("n_gen", (128,)),
        pairs=pairs,
        n_depth=listed("n_depth", (0,)),
        n_parallel=listed("n_parallel", ()),
        settings=settings,
        same_threads=not options.threads_batch,
    )


def _pair(text: str) -> tuple[int, int]:
    prompt, comma, gen = text.partition(",")
    if not comma or not prompt.strip().isdecimal() or not gen.strip().isdecimal():
        raise UsageError(f"{text[:80]!r} is not a pair of numbers", "", "Use, for example, -pg 512,128.")
    return int(prompt), int(gen)


def print_rows(rows: list[BenchRow], form: str) -> None:
    """Print rows in one of llama-bench's formats."""
    if form != MARKDOWN:
        write_llama_bench(sys.stdout, Dialect(form), rows)
    elif rows:
        sys.stdout.write(f"{markdown_table(rows)}\n\nbuild: {rows[0]['build_commit']} ({rows[0]['build_number']})\n")
    sys.stdout.flush()


def print_batched(rows: list[dict[str, Any]], form: str) -> None:
    """Print rows of llama-batched-bench in one of its formats."""
    if form == Dialect.JSONL:
        for row in rows:
            write_json_text(f"{json.dumps(row)}\n")
    elif rows:
        sys.stdout.write(f"{batched_table(rows)}\n")
    sys.stdout.flush()


def remarks(points: Sequence[Point]) -> list[str]:
    """List the points that were skipped or disturbed, with the reasons."""
    lines = []
    for point in points:
        name = name_of_test(
            {"n_prompt": point.work.n_prompt, "n_gen": point.work.n_gen, "n_depth": point.work.n_depth, "n_parallel": point.work.n_parallel}
        )
        if point.skipped is not None:
            lines.append(f"skipped {name}: {point.skipped}")
        elif point.samples_ns:
            threads = count(point.figures.threads, "thread") if point.figures else "? threads"
            lines += [f"{name}, {threads}: {remark}" for remark in point.remarks]
            if len(point.samples_ns) < LEAST_REPEATS:
                lines.append(f"{name}: only {count(len(point.samples_ns), 'repetition')}")
        else:
            lines.append(f"{name}: not measured")
    return list(dict.fromkeys(lines))


def _progress(points: Sequence[Point], point: Point) -> None:
    if not sys.stderr.isatty():
        return
    clear_progress()
    if point.samples_ns:
        known = sum(bool(point.samples_ns) for point in points)
        interval = point.interval
        half = "" if len(point.samples_ns) < 2 else f" ± {interval.high - interval.estimate:.2f}"
        sys.stderr.write(f"{known} of {len(points)} points measured, now {interval.estimate:.2f}{half} tokens/s")
    sys.stderr.flush()
