"""`xchat race`: compare the speed of settings, presets and quants, with a verdict."""

from __future__ import annotations

import argparse
import sys

from engine.clock import wall_ms
from engine.errors import UsageError
from engine.lab.arms import CURRENT, arms_of, use_of
from engine.lab.log import run_of_race
from engine.lab.race import SECONDS, STATED, Race, Use, race
from engine.lab.wording import race_facts, race_lines, ratio_in_words, verdict_in_words
from tui.cli.lab.common import (
    above_zero,
    add_clients,
    add_lab_flags,
    add_log_flag,
    base_of,
    clear_progress,
    command_line,
    keep,
    lab_engine,
    show_progress,
)
from tui.cli.output import write_json

EXAMPLES = f"""\
examples:
  xchat race threads=1 threads=2
  xchat race {CURRENT} n_ubatch=512 n_ubatch=64 --measure prefill
  xchat race Q4_K_M Q8_0 -m qwen3
  xchat race current lib=~/llama.cpp/build/bin     another build of the library, in a process of its own
  xchat race daily long-context --difference 5 --json
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `race` to the command line."""
    parser = subparsers.add_parser(
        "race",
        help="compare the speed of settings, presets and quants, with a verdict",
        description="Measure A and the others alternately until the difference is clear, and compare each with A.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "arms",
        nargs="+",
        metavar="ARM",
        help=f"KEY=VALUE[,…], a preset, a quant, a model, lib=FOLDER of another llama.cpp, or `{CURRENT}` (nothing changed)",
    )
    add_lab_flags(parser)
    parser.add_argument(
        "--measure", choices=[str(use) for use in Use], help="what to compare; default: the figure that the settings affect"
    )
    parser.add_argument(
        "--difference", type=above_zero, default=100 * STATED, metavar="PCT", help=f"smallest difference that matters ({100 * STATED:g} %%)"
    )
    parser.add_argument("--seconds", type=above_zero, default=SECONDS, metavar="S", help=f"time limit ({SECONDS:g})")
    add_clients(parser)
    parser.add_argument("--json", action="store_true", help="print one object")
    add_log_flag(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Race and print the verdict; return 130 when Ctrl+C ended it."""
    if len(options.arms) < 2:
        raise UsageError("A race needs two arms", "", f"`xchat race {CURRENT} {options.arms[0]}` compares with the settings in use.")
    arms = arms_of(options.arms, base_of(options))
    use = Use(options.measure) if options.measure else use_of(arms)
    started_ms = wall_ms()
    with lab_engine() as engine:
        result = race(
            engine, arms, use, stated=options.difference / 100, seconds=options.seconds, clients=options.clients, report=_progress
        )
        library = engine.library
    clear_progress()
    if options.json:
        write_json(race_facts(result))
    else:
        verdicts = [verdict_in_words(lane, result.lanes[0], result.stated) for lane in result.lanes[1:]]
        sys.stdout.write("\n".join([*verdicts, "", *race_lines(result)]) + "\n")
    sys.stdout.flush()
    if not options.no_log and result.units:
        keep(run_of_race(result, library, started_ms=started_ms, command=command_line("race")))
    return 130 if result.interrupted else 0


def _progress(result: Race) -> None:
    parts = [f"{lane.arm.name} {ratio_in_words(lane.speed_ratio)}" for lane in result.lanes[1:] if lane.speed_ratio is not None]
    show_progress(f"{result.units} units, {result.seconds:.0f} s: {' · '.join(parts)}")
