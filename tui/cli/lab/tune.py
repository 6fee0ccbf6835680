"""`xchat tune`: find the fastest settings for a model on this machine, verified against the current ones."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec

from engine.clock import wall_ms
from engine.errors import UsageError
from engine.guide import builtin
from engine.host.topology import read_topology
from engine.lab.arms import CURRENT, Base, arms_of, memory_of, preset_with
from engine.lab.log import known_gains, run_of_tuning
from engine.lab.progress import Progress
from engine.lab.race import Use
from engine.lab.stages import Bounds, stages_of
from engine.lab.tune import MINUTES, Tuning, tune
from engine.lab.wording import tuning_facts, tuning_in_words, tuning_lines
from engine.model_ref import ModelRef
from engine.paths import database_path
from engine.presets.folder import PresetFolder
from engine.session.open import model_finder
from engine.store.lab_runs import known_runs
from engine.text import one_line
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
    whole_above_zero,
)
from tui.cli.output import write_json
from tui.text.wording import count

LEAST_MEMORY: Final = "least-memory"
WINDOWS: Final = 4
"""Number of windows of the shipped text that --most-kld measures."""
EXAMPLES = """\
examples:
  xchat tune                               three minutes, for chatting
  xchat tune --for long-prompts --minutes 5 --keep tuned
  xchat tune --kv-types "" --quants        no other KV types, but the local quants
  xchat tune --for throughput --clients 8  for 8 parallel answers
  xchat tune --for least-memory --context 16384 --kv-types q8_0,q4_0
  xchat tune --reload --most-memory 6000   repack and mmap too; nothing that needs more than 6 GB
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `tune` to the command line."""
    parser = subparsers.add_parser(
        "tune",
        help="find the fastest settings for a model, and verify the gain",
        description="Search settings with paired measurements, then race the best against those in use. Only a verified gain is proposed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_lab_flags(parser)
    parser.add_argument(
        "--for",
        dest="use",
        choices=[*map(str, Use), LEAST_MEMORY],
        default=str(Use.CHAT),
        help=f"the use to optimize (chat); {LEAST_MEMORY} minimizes memory",
    )
    parser.add_argument("--minutes", type=above_zero, default=MINUTES, metavar="M", help=f"time limit of the search ({MINUTES:g})")
    parser.add_argument("--kv-types", default="q8_0", metavar="TYPES", help="types of the KV cache to try besides the current one (q8_0)")
    parser.add_argument("--quants", action="store_true", help="try the other local quants of the family")
    parser.add_argument("--reload", action="store_true", help="also try repack and mmap, which loads the model a second time")
    parser.add_argument("--context", type=whole_above_zero, metavar="N", help="least n_ctx of every candidate")
    parser.add_argument("--most-memory", type=above_zero, metavar="MB", help="skip candidates predicted to need more memory")
    parser.add_argument("--most-ttft", type=above_zero, metavar="S", help="skip candidates whose prefill takes longer")
    parser.add_argument(
        "--most-kld", type=above_zero, metavar="NATS", help="skip KV types and quants with a larger KL divergence (measured first)"
    )
    parser.add_argument("--again", action="store_true", help="also measure candidates that an earlier search on this machine found slower")
    add_clients(parser)
    parser.add_argument("--keep", metavar="NAME", help="save the verified settings as a preset")
    parser.add_argument("--replace", action="store_true", help="overwrite a preset of that name")
    parser.add_argument("--json", action="store_true", help="print one object")
    add_log_flag(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search, print the result, and save it if asked; return 130 when Ctrl+C ended it."""
    if options.keep:
        # A name that can't be used is refused before the search, not after it.
        PresetFolder().path_of(options.keep)
        if options.keep in PresetFolder().load().presets and not options.replace:
            raise UsageError(f"There is a preset {options.keep!r} already", "", "Add --replace, or use another name.")
    base = base_of(options)
    (today,) = arms_of([f"n_ctx={options.context}" if options.context else CURRENT], base)
    if options.context:
        base = replace(base, preset=msgspec.structs.replace(base.preset, n_ctx=options.context))
    small = options.use == LEAST_MEMORY
    use = Use.CHAT if small else Use(options.use)
    types = [name.strip() for name in options.kv_types.split(",") if name.strip()]
    for name in types:
        arms_of([f"type_k={name}"], base)
    quants = _quants(base) if options.quants else []
    with lab_engine() as engine:
        if options.most_kld:
            types, quants = _good_enough(base, types, quants, options.most_kld)
        stages = stages_of(
            use,
            today.setup,
            most_threads=read_topology().most_threads,
            kv_types=types,
            quants=quants,
            reload=options.reload or small,
            least_memory=small,
        )
        library = engine.library
        # Earlier runs on this machine; none where the log is not used.
        earlier = () if options.again or options.no_log else known_runs(database_path())
        known = known_gains(earlier, base.ref, use, today.setup.preset, library, clients=options.clients, least_memory=small)
        most_bytes = options.most_memory and int(options.most_memory * 1e6)
        bounds = Bounds(memory_of(base), most_bytes, options.most_ttft, small, options.clients, known)
        started_ms = wall_ms()
        result = tune(engine, today, use, list(stages), minutes=options.minutes, bounds=bounds, report=_progress)
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


def _good_enough(base: Base, types: Sequence[str], quants: Sequence[ModelRef], most: float) -> tuple[list[str], list[ModelRef]]:
    """Return the KV types and quants within the KL divergence allowed, and print the others."""
    from engine.lab.quality.run import Arm as QualityArm
    from engine.lab.quality.run import QualityRun, shipped_text

    plain = msgspec.structs.replace(base.preset, type_k="f16", type_v="f16")
    arms = [QualityArm("base", base.ref, plain)]
    arms += [QualityArm(name, base.ref, msgspec.structs.replace(plain, type_k=name, type_v=name, flash_attn="on")) for name in types]
    arms += [QualityArm(str(ref), ref, plain) for ref in quants]
    if len(arms) == 1:
        return [], []
    outcome = QualityRun(arms, shipped_text(), most_windows=WINDOWS).run(builtin.file_of, builtin.is_ours)
    if outcome.interrupted:
        raise KeyboardInterrupt
    near = {one.label for one in outcome.results if one.against is None or one.against.kld.value <= most}
    for one in outcome.results:
        if one.label not in near and one.against is not None:
            sys.stderr.write(f"left out: {one_line(one.label)}, KL divergence {one.against.kld.value:.4f}\n")
    for label, reason in outcome.skipped:
        sys.stderr.write(f"left out: {one_line(label)}: {one_line(reason)}\n")
    return [name for name in types if name in near], [ref for ref in quants if str(ref) in near]


def _quants(base: Base) -> list[ModelRef]:
    choices = model_finder(base.config).quants(base.ref)
    return [choice.ref for choice in choices if choice.ref is not None and choice.ref != base.ref]


def _print(result: Tuning, base: Base, kept: str | None) -> None:
    sys.stdout.write("\n".join([tuning_in_words(result), "", *tuning_lines(result)]) + "\n")
    if result.adopted and not kept:
        settings = [f"{key}={value}" for key, value in result.changes.items()]
        sys.stdout.write(f"Keep it: {shlex.join(['xchat', 'presets', 'new', 'tuned', '--from', base.preset.name, *settings])}\n")


def _keep_preset(result: Tuning, base: Base, name: str) -> None:
    preset = preset_with(base, result.best.setup, f"Tuned for {result.use}, from {base.preset.name}")
    saved = PresetFolder().save(msgspec.structs.replace(preset, name=name))
    sys.stderr.write(f"kept as preset {name}: {saved}\n")


def _progress(progress: Progress) -> None:
    show_progress(f"{progress.stage}: {count(progress.units, 'unit')}, {count(len(progress.standings) - 1, 'candidate')}")
