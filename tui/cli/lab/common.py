"""Parts shared by the commands of the laboratory: flags, the engine, the progress line, the log of runs."""

from __future__ import annotations

import argparse
import math
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from engine.config import load_config
from engine.errors import StoreError
from engine.guide import builtin
from engine.lab.arms import Base
from engine.lab.builds import BuildsEngine
from engine.lab.race import CLIENTS
from engine.lab.reports.charts import LineChart
from engine.llama.backend import LlamaBackend
from engine.llama.redirect import redirect_native_output
from engine.paths import database_path, log_path
from engine.session.open import first_model
from engine.store.lab_runs import LabRun, save_run
from tui.cli.output import guarded, write_sequence
from tui.cli.preset_flags import preset_of
from tui.drawing.braille import Glyphs
from tui.drawing.picture import picture_of

CHART_ROWS = 18


def above_zero(text: str) -> float:
    """Parse a finite number above zero, for `type=` of a flag."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number above zero")
    return number


def whole_above_zero(text: str) -> int:
    """Parse a whole number above zero, for `type=` of a flag."""
    number = above_zero(text)
    if not number.is_integer():
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a whole number")
    return int(number)


def add_log_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--no-log`."""
    parser.add_argument("--no-log", action="store_true", help="do not save this run (`xchat runs list`)")


def command_line(command: str) -> str:
    """Return the command line of this process, with which the run can be repeated."""
    arguments = sys.argv[1:]
    return shlex.join(["xchat", *(arguments if arguments[:1] == [command] else [command])])


def add_lab_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for the model and the preset to measure."""
    parser.add_argument("-m", "--model", metavar="MODEL", help="a GGUF file, a family, or `builtin`; else the model used last")
    parser.add_argument("--preset", metavar="NAME", help="preset with the settings that are not varied; else the preset used last")


def add_clients(parser: argparse.ArgumentParser) -> None:
    """Add `--clients`."""
    parser.add_argument(
        "--clients", type=whole_above_zero, default=CLIENTS, metavar="N", help=f"parallel answers, where throughput is compared ({CLIENTS})"
    )


def base_of(options: argparse.Namespace) -> Base:
    """Return the model and the preset to measure."""
    config = load_config()
    preset = preset_of(options, config)
    return Base(first_model(None, config, preset), preset, config)


@contextmanager
def lab_engine() -> Iterator[BuildsEngine]:
    """Open an engine that can also run other builds of the library; its native output goes to the log."""
    real = redirect_native_output(log_path())
    sys.stdout, sys.stderr = guarded(real.stdout), guarded(real.stderr)
    backend = LlamaBackend(file_of=builtin.file_of, trusted=builtin.is_ours)
    engine = BuildsEngine(backend)
    try:
        yield engine
    finally:
        engine.close()
        backend.close()


def clear_progress() -> None:
    """Clear the progress line."""
    if sys.stderr.isatty():
        write_sequence("\r\x1b[K", sys.stderr)
        sys.stderr.flush()


def show_charts(charts: Iterable[LineChart]) -> None:
    """Draw charts as wide as the terminal."""
    glyphs = Glyphs.HALVES if (sys.stdout.encoding or "").lower().startswith("utf") else Glyphs.ASCII
    width = min(100, shutil.get_terminal_size().columns)
    for chart in charts:
        sys.stdout.write(f"\n{picture_of(chart, width, CHART_ROWS, glyphs)}\n")
    sys.stdout.flush()


def show_progress(line: str) -> None:
    """Replace the progress line, on a terminal."""
    if sys.stderr.isatty():
        clear_progress()
        sys.stderr.write(line[:200])
        sys.stderr.flush()


def keep(run: LabRun | None) -> None:
    """Save a run and print its number; report a database that can't be written."""
    if run is None:
        return
    try:
        number = save_run(database_path(), run)
    except StoreError as error:
        sys.stderr.write(f"xchat: this run is not logged: {error}\n")
        return
    sys.stderr.write(f"run {number}; `xchat runs show {number}` shows it again\n")
