"""`xchat tune`: the fastest settings for a model on this machine, proven against today's."""

from __future__ import annotations

import argparse
import sys

import msgspec

from engine.clock import wall_ms
from engine.errors import UsageError
from engine.host.topology import read_topology
from engine.lab.arms import CURRENT, Base, arms_of, preset_with
from engine.lab.log import run_of_tuning
from engine.lab.progress import Progress
from engine.lab.race import Use
from engine.lab.tune import MINUTES, Tuning, stages_of, tune
from engine.lab.wording import tuning_facts, tuning_in_words, tuning_lines
from engine.model_ref import ModelRef
from engine.presets.folder import PresetFolder
from engine.session.open import model_finder
from tui.cli.lab.common import (
    above_zero,
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
from tui.text.wording import count

EXAMPLES = """\
examples:
  xchat tune                               three minutes, for chatting
  xchat tune --for long-prompts --minutes 5 --keep tuned
  xchat tune --kv-types "" --quants        no other KV types, but the quants that are here
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `tune` to the command line."""
    parser = subparsers.add_parser(
        "tune",
        help="search the fastest settings for a model, and prove them",
        description="Search settings on paired measurements, then race the best against those in use: only a proven gain is proposed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_lab_flags(parser)
    parser.add_argument("--for", dest="use", choices=[str(use) for use in Use], default=str(Use.CHAT), help="what to make faster (chat)")
    parser.add_argument("--minutes", type=above_zero, default=MINUTES, metavar="M", help=f"time for the search ({MINUTES:g})")
    parser.add_argument("--kv-types", default="q8_0", metavar="TYPES", help="types of the KV cache to try beside today's (q8_0)")
    parser.add_argument("--quants", action="store_true", help="try the other quants of the family that are here")
    parser.add_argument("--keep", metavar="NAME", help="keep the proven settings as a preset")
    parser.add_argument("--replace", action="store_true", help="also when there is a preset of that name")
    parser.add_argument("--json", action="store_true", help="print one object")
    add_log_flag(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search, print the result, keep it when asked; 130 when Ctrl+C ended it."""
    if options.keep:
        # A name that can't be used is refused before the search, not after it.
        PresetFolder().path_of(options.keep)
        if options.keep in PresetFolder().load().presets and not options.replace:
            raise UsageError(f"There is a preset {options.keep!r} already", "", "Add --replace, or use another name.")
    base = base_of(options)
    (today,) = arms_of([CURRENT], base)
    types = [name.strip() for name in options.kv_types.split(",") if name.strip()]
    for name in types:
        arms_of([f"type_k={name}"], base)
    quants = _quants(base) if options.quants else []
    use = Use(options.use)
    stages = list(stages_of(use, today.setup, most_threads=read_topology().most_threads, kv_types=types, quants=quants))
    started_ms = wall_ms()
    with lab_engine() as engine:
        result = tune(engine, today, use, stages, minutes=options.minutes, report=_progress)
        library = engine.figures(result.today.with_window(1).setup).library
    clear_progress()
    if options.json:
        write_json(tuning_facts(result))
    else:
        _print(result, base, options.keep)
    sys.stdout.flush()
    if options.keep and result.adopted:
        _keep_preset(result, base, options.keep)
    if not options.no_log and result.tried:
        keep(run_of_tuning(result, library, started_ms=started_ms, command=command_line("tune")))
    return 130 if result.interrupted else 0


def _quants(base: Base) -> list[ModelRef]:
    choices = model_finder(base.config).quants(base.ref)
    return [choice.ref for choice in choices if choice.ref is not None and choice.ref != base.ref]


def _print(result: Tuning, base: Base, kept: str | None) -> None:
    sys.stdout.write("\n".join([tuning_in_words(result), "", *tuning_lines(result)]) + "\n")
    if result.adopted and not kept:
        settings = " ".join(f"{key}={value}" for key, value in result.changes.items())
        sys.stdout.write(f"Keep it: xchat presets new tuned --from {base.preset.name} {settings}\n")


def _keep_preset(result: Tuning, base: Base, name: str) -> None:
    preset = preset_with(base, result.best.setup, f"Tuned for {result.use}, from {base.preset.name}")
    saved = PresetFolder().save(msgspec.structs.replace(preset, name=name))
    sys.stderr.write(f"kept as preset {name}: {saved}\n")


def _progress(progress: Progress) -> None:
    show_progress(f"{progress.stage}: {count(progress.units, 'unit')}, {count(len(progress.standings) - 1, 'candidate')}")
