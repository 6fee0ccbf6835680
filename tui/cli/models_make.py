"""`xchat models pull` and `xchat models quantize`: get models."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from engine.config import load_config
from engine.errors import ModelError
from engine.guide import builtin
from engine.host.topology import cpu_features, read_room
from engine.model_ref import BUILTIN
from engine.models.catalog import list_models
from engine.models.check import CheckedModel, check_model
from engine.models.fit import fit
from engine.models.pull import Pull, PullCancelled, PullPlan
from engine.models.quantize import Quantization, QuantizeCancelled, QuantizePlan, plan, predict_sizes
from engine.models.recommended import recommended
from engine.models.references import parse_reference
from engine.numbers import byte_size
from engine.presets.preset import Preset
from tui.cli.output import Progress, confirmed, write_json

INTERRUPTED = 130


def add_pull(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `pull`."""
    parser = verbs.add_parser("pull", help="fetch a model, or resume an interrupted fetch")
    parser.add_argument(
        "reference",
        nargs="?",
        metavar="MODEL",
        help="hf:ORG/REPOSITORY:QUANT, or a URL; without it, list models recommended for this machine",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be fetched")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.set_defaults(run=pull)


def add_quantize(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `quantize`."""
    parser = verbs.add_parser("quantize", help="make another quant of a model")
    parser.add_argument("model", metavar="MODEL", help="a path, the name of a family, or `builtin`")
    parser.add_argument("quant", nargs="?", metavar="QUANT", help="such as Q4_K_M; without it, list the size of each quant")
    parser.add_argument("--replace", action="store_true", help="replace a file of the same name")
    parser.add_argument("--yes", action="store_true", help="do not ask, even if the source is quantized already")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.set_defaults(run=quantize)


def add_compare(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `compare`."""
    parser = verbs.add_parser("compare", help="measure all local quants of a family: load time, speed, quality, and which to use")
    parser.add_argument("model", metavar="FAMILY", help="the name of a family, `builtin`, or one of its files")
    parser.add_argument("--windows", type=int, default=4, metavar="N", help="windows of 512 tokens to measure quality (4); 0 skips it")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument("--no-log", action="store_true", help="do not save this run (`xchat runs list`)")
    parser.set_defaults(run=compare)


def compare(options: argparse.Namespace) -> int:
    """Measure a family."""
    from tui.cli.lab.family import run

    return run(options)


def pull(options: argparse.Namespace) -> int:
    """Fetch a model and print its path; an interrupted fetch is resumed."""
    if options.reference is None:
        return suggest(as_json=options.json)
    fetching = Pull(parse_reference(options.reference))
    try:
        with on_interrupt(fetching.cancel), Progress("fetching", "bytes") as progress:
            meant = fetching.plan()
            if options.dry_run:
                write_plan(meant, as_json=options.json)
                return 0
            write_plan(meant, as_json=False)
            path = fetching.run(meant, lambda made: progress.show(made.done_bytes, made.total_bytes, waiting=made.waiting))
    except PullCancelled:
        sys.stderr.write("xchat: stopped; run the same command to resume\n")
        return INTERRUPTED
    checked = check_model(path)
    fitting = fit(checked.facts, Preset(), read_room(), features=cpu_features())
    if options.json:
        write_json({"path": str(path), "quant": checked.facts.quant, "needed_bytes": fitting.estimate.needed, "fits": fitting.fits})
    else:
        sys.stdout.write(f"{path}\n")
        sys.stderr.write(f"{fitting.sentence}\n")
    return 0


def suggest(*, as_json: bool) -> int:
    """Print models recommended for this machine."""
    models = recommended(read_room())
    if as_json:
        write_json([{"name": model.name, "pull": model.reference, "bytes": model.file_bytes, "note": model.note} for model in models])
        return 0
    for model in models:
        sys.stdout.write(f"{model.name:<24}{byte_size(model.file_bytes):>10}  {model.note}\n    xchat models pull {model.reference}\n")
    return 0


def write_plan(meant: PullPlan, *, as_json: bool) -> None:
    """Print the files to fetch, on standard error or as JSON."""
    if as_json:
        write_json(
            {
                "reference": str(meant.reference),
                "files": [{"name": file.name, "bytes": file.size, "have": file.have} for file in meant.files],
                "missing_bytes": meant.missing_bytes,
                "free_bytes": meant.free_bytes,
            }
        )
        return
    for file in meant.files:
        have = f", {byte_size(file.have)} of it exist" if file.have else ""
        sys.stderr.write(f"{file.name}: {byte_size(file.size) if file.size is not None else 'size unknown'}{have}\n")
    sys.stderr.write(f"to fetch: {byte_size(meant.missing_bytes)}; free on the disk: {byte_size(meant.free_bytes)}\n")


def quantize(options: argparse.Namespace) -> int:
    """Make a quant and print its path; without a quant, print the size of each."""
    source = source_of(options.model)
    if options.quant is None:
        return write_sizes(source, as_json=options.json)
    meant = plan(source, options.quant, replace=options.replace)
    if not options.json:
        describe(meant)
    despite = options.yes
    if meant.warning and not despite and sys.stdin.isatty():
        despite = confirmed("Make it anyway?")
        if not despite:
            return 1
    making = Quantization(meant, despite_warning=despite)
    try:
        with on_interrupt(making.cancel), Progress("quantizing", "tensors") as progress:
            path = making.run(progress.show)
    except QuantizeCancelled:
        sys.stderr.write("xchat: stopped; no files were left behind\n")
        return INTERRUPTED
    if options.json:
        write_json({"path": str(path), "quant": meant.quant, "bytes": path.stat().st_size})
    else:
        sys.stdout.write(f"{path}\n")
    return 0


def describe(meant: QuantizePlan) -> None:
    """Print the size and the warning of a planned quant on standard error."""
    sys.stderr.write(f"{meant.quant}: about {byte_size(meant.file_bytes)}; free on the disk: {byte_size(meant.free_bytes)}\n")
    if meant.warning:
        sys.stderr.write(f"warning: {meant.warning}\n")


def write_sizes(source: CheckedModel, *, as_json: bool) -> int:
    """Print the size of each quant of a model."""
    sizes = predict_sizes(source)
    if as_json:
        write_json([{"quant": size.quant, "bytes": size.file_bytes, "bits_per_weight": round(size.bits_per_weight, 3)} for size in sizes])
        return 0
    sys.stdout.writelines(f"{size.quant:<10}{byte_size(size.file_bytes):>10}{size.bits_per_weight:>7.2f} bpw\n" for size in sizes)
    return 0


def source_of(name: str) -> CheckedModel:
    """Return the file to make quants of; of a family, the largest.

    Raises:
        ModelError: There is none of this name, or it can't be used.
    """
    if name == BUILTIN:
        return check_model(builtin.path())
    path = Path(name).expanduser()
    if path.exists():
        return check_model(path)
    family = list_models(load_config().models.folders).find(name)
    if family is None:
        raise ModelError(f"There is no model {name}", "", "`xchat models list` shows what is here.")
    return check_model(family.entries[0].path)


@contextmanager
def on_interrupt(cancel: Callable[[], None]) -> Iterator[None]:
    """Make Ctrl+C cancel the work instead of raising KeyboardInterrupt."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        cancel()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
