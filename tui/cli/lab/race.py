"""`xchat race`: settings, presets and quants against each other, with a verdict."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from engine.clock import wall_ms
from engine.errors import UsageError
from engine.lab.arms import CURRENT, arms_of, use_of
from engine.lab.log import run_of_race
from engine.lab.race import SECONDS, STATED, Lane, Race, Use, race
from engine.lab.statistics import ERROR_RATE
from engine.lab.wording import race_facts, ratio_in_words, verdict_in_words
from tui.cli.lab.common import above_zero, add_lab_flags, add_log_flag, base_of, clear_progress, command_line, keep, lab_engine
from tui.cli.output import write_json
from tui.text.wording import count

EXAMPLES = f"""\
examples:
  xchat race threads=1 threads=2
  xchat race {CURRENT} n_ubatch=512 n_ubatch=64 --measure prefill
  xchat race Q4_K_M Q8_0 -m qwen3
  xchat race daily long-context --difference 5 --json
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `race` to the command line."""
    parser = subparsers.add_parser(
        "race",
        help="compare the speed of settings, presets and quants, with a verdict",
        description="Measure A and the others in turns until their difference is known, and compare each with A.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "arms", nargs="+", metavar="ARM", help=f"KEY=VALUE[,…], a preset, a quant, a model, or `{CURRENT}` (nothing changed)"
    )
    add_lab_flags(parser)
    parser.add_argument("--measure", choices=[str(use) for use in Use], help="what to compare; else what the settings change")
    parser.add_argument(
        "--difference", type=above_zero, default=100 * STATED, metavar="PCT", help=f"smallest difference that matters ({100 * STATED:g} %%)"
    )
    parser.add_argument("--seconds", type=above_zero, default=SECONDS, metavar="S", help=f"longest time ({SECONDS:g})")
    parser.add_argument("--json", action="store_true", help="print one object")
    add_log_flag(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Race, print the verdict; 130 when Ctrl+C ended it."""
    if len(options.arms) < 2:
        raise UsageError("A race needs two arms", "", f"`xchat race {CURRENT} {options.arms[0]}` compares with the settings in use.")
    arms = arms_of(options.arms, base_of(options))
    use = Use(options.measure) if options.measure else use_of(arms)
    started_ms = wall_ms()
    with lab_engine() as engine:
        result = race(engine, arms, use, stated=options.difference / 100, seconds=options.seconds, report=show_progress)
        library = engine.figures(result.lanes[0].arm.setup).library
    clear_progress()
    if options.json:
        write_json(race_facts(result))
    else:
        sys.stdout.write("\n".join(lines_of(result)) + "\n")
    sys.stdout.flush()
    if not options.no_log and result.units:
        keep(run_of_race(result, library, started_ms=started_ms, command=command_line("race")))
    return 130 if result.interrupted else 0


def show_progress(result: Race) -> None:
    """The state of a race, on one line of a terminal."""
    if not sys.stderr.isatty():
        return
    clear_progress()
    parts = [f"{lane.arm.name} {ratio_in_words(lane.speed_ratio)}" for lane in result.lanes[1:] if lane.speed_ratio is not None]
    sys.stderr.write(f"{result.units} units, {result.seconds:.0f} s: {' · '.join(parts)}"[:200])
    sys.stderr.flush()


def lines_of(result: Race) -> Iterator[str]:
    """Verdict first, then the table and how it was measured."""
    first = result.lanes[0]
    for lane in result.lanes[1:]:
        yield verdict_in_words(lane, first, result.stated)
    yield ""
    width = max(len(lane.arm.name) for lane in result.lanes)
    for lane in result.lanes:
        ratio = "" if lane.speed_ratio is None else f"  {ratio_in_words(lane.speed_ratio)}"
        yield f"  {lane.arm.name:<{width}}  {speeds(lane, result)}{ratio}"
    yield ""
    counts = {"prompt tokens": result.task.prompt, "tokens decoded": result.task.gen}
    work = ", ".join(f"{number} {what}" for what, number in counts.items() if number)
    yield f"Compared: {result.use} ({work}), {count(result.units, 'unit')} in {result.seconds:.0f} s, in turns and in random order."
    yield f"The probability of a difference where there is none is at most {ERROR_RATE:.0%}."
    for remark in result.remarks:
        yield f"{remark}."


def speeds(lane: Lane, result: Race) -> str:
    """The typical time of an arm's turn, as a speed where it is one."""
    if not lane.seconds:
        return "not measured"
    task, seconds = result.task, lane.typical
    tokens = task.prompt or task.gen if not (task.prompt and task.gen) else 0
    return f"{tokens / seconds:8.2f} tokens/s" if tokens else f"{seconds:8.3f} s a turn"
