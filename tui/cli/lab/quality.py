"""`xchat quality`: perplexity, and the KL divergence of quants and KV types from the best one."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import msgspec

from engine.clock import NS_PER_S, now_ns, wall_ms
from engine.config import Config, load_config
from engine.errors import UsageError
from engine.guide import builtin
from engine.lab.log import run_of_quality
from engine.lab.quality.figures import Estimate, Quality
from engine.lab.quality.run import N_CTX, Arm, Outcome, QualityRun, shipped_text, text_of
from engine.llama.redirect import redirect_native_output
from engine.model_ref import ModelRef, short_name
from engine.paths import log_path
from engine.presets.preset import Preset
from engine.presets.settings import with_text
from engine.session.model_finder import ModelFinder
from engine.session.open import first_model, model_finder
from engine.store.queries.sessions import newest_texts
from engine.text import one_line, printable
from tui.cli.lab.common import add_log_flag, command_line, keep
from tui.cli.output import Progress, guarded, write_json
from tui.cli.preset_flags import add_preset_flags, preset_of
from tui.cli.reading import open_reader
from tui.text.wording import count

EXAMPLES = """\
examples:
  xchat quality                                    perplexity of the model in use on the shipped text
  xchat quality -m qwen3-4b --quants all           every local quant, against the largest
  xchat quality -m builtin --quants Q8_0,Q4_K_M
  xchat quality -m model.gguf --kv q8_0,q4_0       KV cache types, against f16
  xchat quality --quants all --own                 agreement on the next token in your own conversations
  xchat quality -m model.gguf --base best.gguf -f text.txt --json

The figures are llama-perplexity's: windows of n_ctx tokens with BOS in front, of which the second half is scored. Ctrl+C keeps the
windows that are measured.
"""

INTERRUPTED = 130
OWN_CHARACTERS = 64_000
"""Characters of the person's own conversations to use, about 16,000 tokens."""
MOST_NAME = 24


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `quality` to the command line."""
    parser = subparsers.add_parser(
        "quality",
        help="perplexity and KL divergence of quants and KV types",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-m", "--model", metavar="MODEL", help="a GGUF file, a family, or `builtin`; default: the model in use")
    parser.add_argument("--quants", metavar="Q[,Q…]", help="quants of the model's family to compare, or `all` local ones")
    parser.add_argument("--kv", metavar="K[/V][,…]", help="types of the KV cache to compare, such as `q8_0,q8_0/q4_0`")
    parser.add_argument("--base", metavar="MODEL", help="the reference; default: the family's largest quant")
    parser.add_argument("-f", "--file", type=Path, metavar="FILE", help="the text; default: one that ships with xchat")
    parser.add_argument("--own", action="store_true", help="use the newest messages of your own conversations as the text; it is not saved")
    parser.add_argument("--window", type=int, metavar="N", default=N_CTX, help=f"tokens per window ({N_CTX})")
    parser.add_argument("--windows", type=int, metavar="N", help="measure at most this many windows")
    parser.add_argument("--json", action="store_true", help="print one object")
    add_log_flag(parser)
    add_preset_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure and print a table."""
    if options.window < 32 or (options.windows is not None and options.windows < 1):
        raise UsageError("There is nothing to measure", "A window has at least 32 tokens", "Omit --window and --windows.")
    config = load_config()
    preset = preset_of(options, config)
    arms = arms_of(options, config, preset)
    if options.own and options.file:
        raise UsageError("--own and --file can't be combined", "", "Give one of them.")
    text = asyncio.run(own_text()) if options.own else text_of(options.file) if options.file else shipped_text()
    started_ms, began = wall_ms(), now_ns()
    real = redirect_native_output(log_path())
    sys.stdout, sys.stderr = guarded(real.stdout), guarded(real.stderr)
    measurement = QualityRun(arms, text, n_ctx=options.window, most_windows=options.windows, force=options.force)
    with Progress("measuring", "windows") as progress:
        outcome = measurement.run(builtin.file_of, builtin.is_ours, progress.show)
    if options.json:
        write_json(outcome)
    else:
        sys.stdout.write(as_text(outcome))
    if not (options.no_log or options.file or options.own):
        seconds = (now_ns() - began) / NS_PER_S
        of_family = bool(options.quants) and not options.base
        command = command_line("quality")
        keep(run_of_quality(arms, outcome, of_family=of_family, started_ms=started_ms, seconds=seconds, command=command))
    return INTERRUPTED if outcome.interrupted else 0


async def own_text() -> str:
    """Return the newest `OWN_CHARACTERS` of the person's own conversations."""
    async with open_reader() as reader:
        return await reader.read(newest_texts, OWN_CHARACTERS)


def arms_of(options: argparse.Namespace, config: Config, preset: Preset) -> list[Arm]:
    """List the arms to compare, the base first."""
    finder = model_finder(config)
    ref = first_model(None, config, preset)
    named = quants_of(finder, ref, options.quants)
    models = [Arm(name, one, preset) for name, one in named]
    if options.base:
        other = first_model(None, config, msgspec.structs.replace(preset, model=options.base, quant=None))
        models.insert(0, Arm(short_name(other), other, preset))
    if not options.kv:
        return unique(models)
    kinds = [kind.split("/") for kind in options.kv.split(",")]
    changed = [with_text(preset, {"type_k": kind[0], "type_v": kind[-1], "flash_attn": "on"}) for kind in kinds]
    plain = with_text(preset, {"type_k": "f16", "type_v": "f16"})
    arms = [plain, *(one for one in changed if (one.type_k, one.type_v) != ("f16", "f16"))]
    prefix = {arm.label: f"{arm.label} " if len(models) > 1 else "" for arm in models}
    return unique([Arm(f"{prefix[arm.label]}{one.type_k}/{one.type_v}", arm.ref, one) for arm in models for one in arms])


def unique(arms: Sequence[Arm]) -> list[Arm]:
    """Return the arms without repetitions, in their order."""
    return [arm for index, arm in enumerate(arms) if all((arm.ref, arm.preset) != (one.ref, one.preset) for one in arms[:index])]


def quants_of(finder: ModelFinder, ref: ModelRef, asked: str | None) -> list[tuple[str, ModelRef]]:
    """Return the named quants, the family's largest first; only the model itself when none is named."""
    if not asked:
        return [(short_name(ref), ref)]
    here = [(choice.quant, choice.ref) for choice in finder.quants(ref) if choice.ref is not None]
    if asked == "all":
        return here
    wanted = [(name, finder.quant(ref, name)) for name in asked.split(",") if name]
    return [*here[:1], *wanted]


def as_text(outcome: Outcome) -> str:
    """Format the table, the base first, and the arms that were left out."""
    lines = [printable(f"{label}: left out: {reason}", 200) for label, reason in outcome.skipped]
    if not outcome.results:
        return "\n".join([*lines, "No window was finished."]) + "\n"
    base, *others = outcome.results
    lines.append(f"{name(base)}: PPL {figure(base.ppl, 3)}")
    if others:
        width = max(len(name(one)) for one in others)
        lines.append(f"\n{'':<{width}}  {'PPL':>8} {'ΔPPL':>8} {'KLD mean':>9} {'median':>9} {'p99':>8} {'max':>8} {'same top':>9}")
        lines += [*(row(one, width) for one in others), ""]
        lines += [line for one in others for line in wrap(sentence(one), 80, subsequent_indent="  ")]
    measured = f"{base.windows} of {count(outcome.windows, 'window')} of {outcome.n_ctx:,} tokens, {base.tokens:,} tokens scored"
    ended = "; interrupted" if outcome.interrupted else ""
    lines += ["", f"{measured}{ended}.", "± is the standard error over tokens, [ ] 95 % over windows."]
    return "\n".join(lines) + "\n"


def name(one: Quality) -> str:
    """Return the label of an arm as one line."""
    return one_line(one.label)[:MOST_NAME]


def row(one: Quality, width: int) -> str:
    """Format an arm as a row."""
    against = one.against
    assert against is not None
    return (
        f"{name(one):<{width}}  {one.ppl.value:8.3f} {against.ppl_difference:+8.3f} {against.kld.value:9.5f}"
        f" {against.kld_median:9.5f} {against.kld_p99:8.4f} {against.kld_max:8.4f} {against.same_top.value:9.2%}"
    )


def sentence(one: Quality) -> str:
    """Format an arm's figures with their uncertainty."""
    assert one.against is not None
    against = one.against
    return (
        f"{name(one)}: KLD {figure(against.kld, 5)}; ln(PPL ratio) {figure(against.ln_ppl_ratio, 4)};"
        f" same top {100 * against.same_top.value:.1f} ± {100 * against.same_top.error:.1f} %"
    )


def figure(estimate: Estimate, digits: int) -> str:
    """Format a mean with its standard error, and its interval where there is one."""
    text = f"{estimate.value:.{digits}f} ± {estimate.error:.{digits}f}"
    return text if estimate.low is None else f"{text} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
