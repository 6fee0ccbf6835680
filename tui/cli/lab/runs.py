"""`xchat runs`: the log of the laboratory's runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from engine.clock import NS_PER_S, now_ns, wall_ms
from engine.errors import UsageError
from engine.lab.again import change_since, points_of
from engine.lab.bench import Limits, measure
from engine.lab.log import Compared, compare_runs, differences, run_of_bench
from engine.lab.reports.pages import write_html, write_markdown
from engine.lab.reports.report import change_in_words, report_of, report_of_two
from engine.lab.rows import markdown_table
from engine.numbers import byte_size
from engine.paths import database_path
from engine.store.lab_runs import LabRun, delete_run, list_runs, load_run
from tui.cli.lab.bench import remarks
from tui.cli.lab.common import above_zero, keep, lab_engine
from tui.cli.output import write_json

SECONDS: Final = 10.0
_WRITERS: Final = {"md": write_markdown, "html": write_html}
EXAMPLES = """\
examples:
  xchat runs list
  xchat runs show 3
  xchat runs compare 3 7             the same benchmark before and after an upgrade
  xchat runs report 3 > run.md
  xchat runs report 3 7 --format html > before-and-after.html
  xchat runs again 3 || echo slower          after an upgrade of the kernel or the library
  xchat runs delete 3
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `runs` to the command line."""
    parser = subparsers.add_parser(
        "runs",
        help="list, show, compare, report and delete the laboratory's runs",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|compare|report|again|delete")
    listing = verbs.add_parser("list", help="the newest first")
    listing.set_defaults(run=list_them)
    showing = verbs.add_parser("show", help="print a run: result, machine and figures")
    showing.add_argument("which", type=int, metavar="ID")
    showing.set_defaults(run=show)
    comparing = verbs.add_parser("compare", help="compare the common rows of two benchmarks")
    comparing.add_argument("before", type=int, metavar="A")
    comparing.add_argument("after", type=int, metavar="B")
    comparing.set_defaults(run=compare)
    reporting = verbs.add_parser(
        "report", help="write a report of one run, or of two (before and after): verdict, tables, charts, how to repeat it"
    )
    reporting.add_argument("which", type=int, metavar="ID")
    reporting.add_argument("after", type=int, metavar="AFTER", nargs="?")
    reporting.add_argument("--format", choices=list(_WRITERS), default="md", help="md (default), or html with charts")
    reporting.set_defaults(run=report)
    repeating = verbs.add_parser("again", help="repeat a benchmark and report a change of its speed, as after an upgrade")
    repeating.add_argument("which", type=int, metavar="ID", nargs="?", help="number of the benchmark; default: the newest")
    repeating.add_argument(
        "--slower", type=above_zero, default=3.0, metavar="PCT", help="exit with 1 when it is slower by more than this (3)"
    )
    repeating.add_argument("--seconds", type=above_zero, default=SECONDS, metavar="S", help=f"time limit of each test ({SECONDS:g})")
    repeating.set_defaults(run=again)
    for verb in (listing, showing, comparing):
        verb.add_argument("--json", action="store_true", help="print JSON")
    deleting = verbs.add_parser("delete", help="delete a run")
    deleting.add_argument("which", type=int, metavar="ID")
    deleting.set_defaults(run=delete)


def list_them(options: argparse.Namespace) -> int:
    """Print the runs."""
    runs = list_runs(database_path())
    if options.json:
        write_json([_object(run) for run in runs])
        return 0
    for run in runs:
        share = "" if run.disturbed is None or run.disturbed < 0.05 else f"  ~{run.disturbed:.0%} disturbed"
        sys.stdout.write(f"{run.id:>4}  {_when(run)}  {run.kind:<5}  {run.model}  {run.title}: {run.verdict}{share}\n")
    return 0


def show(options: argparse.Namespace) -> int:
    """Print one run, verdict first."""
    run = load_run(database_path(), options.which)
    if options.json:
        write_json(_object(run))
        return 0
    lines = [run.verdict, "", f"{run.kind} of {run.model}: {run.title}", f"{_when(run)}, {run.seconds:.0f} s"]
    if rows := run.facts.get("rows"):
        lines += ["", markdown_table(rows)]
    for arm in run.facts.get("arms", ()):
        ratio = "" if arm.get("low") is None else f"  {arm['speed_ratio']:.3f} ({arm['low']:.3f} to {arm['high']:.3f})"
        lines.append(f"  {arm['arm']}  {arm.get('finding', 'compared with')}{ratio}")
    lines += ["", *run.facts.get("remarks", ())]
    host = run.host
    memory = byte_size(host.memory_bytes)
    lines += [
        f"On {host.name}: {host.cpu}, {host.cores} CPUs, {memory}, {host.kernel}",
        f"xchat {host.xchat_version}, {host.llama_cpp_version}",
    ]
    if run.disturbed is not None:
        lines.append(f"Other programs disturbed {run.disturbed:.0%} of the time.")
    lines.append(f"To repeat it: {run.command}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def compare(options: argparse.Namespace) -> int:
    """Print the common rows of two benchmarks.

    Raises:
        UsageError: They have nothing in common.
    """
    before, after = (load_run(database_path(), which) for which in (options.before, options.after))
    rows = compare_runs(before, after)
    if not rows:
        raise UsageError(f"Runs {before.id} and {after.id} have no row in common", "", "Compare two benchmarks of one model and one test.")
    if options.json:
        write_json(rows)
        return 0
    _write_rows(rows)
    for name, old, new in differences(before, after):
        sys.stdout.write(f"Changed {name}: {old} → {new}\n")
    sys.stdout.write("The runs were not measured alternately: other changes of the machine between them affect the difference.\n")
    return 0


def report(options: argparse.Namespace) -> int:
    """Print a report."""
    run = load_run(database_path(), options.which)
    made = report_of(run) if options.after is None else report_of_two(run, load_run(database_path(), options.after))
    _WRITERS[options.format](sys.stdout, made)
    return 0


def again(options: argparse.Namespace) -> int:
    """Repeat a benchmark and compare; return 1 when it is slower by more than `--slower` and beyond its interval."""
    path = database_path()
    before = load_run(path, options.which) if options.which is not None else _newest_bench(list_runs(path))
    points = points_of(before)
    started_ms, began = wall_ms(), now_ns()
    with lab_engine() as engine:
        try:
            measure(engine, points, Limits(seconds=options.seconds))
        except KeyboardInterrupt:
            return 130
    after = run_of_bench(points, started_ms=started_ms, seconds=(now_ns() - began) / NS_PER_S, command=before.command)
    if after is None:
        raise UsageError(f"Run {before.id} can't be repeated", next((point.skipped for point in points if point.skipped), "") or "")
    sys.stderr.writelines(f"{line}\n" for line in remarks(points))
    rows = compare_runs(before, after)
    if not rows:
        keep(after)
        raise UsageError(f"No test of run {before.id} can be compared", "No test has the same name and settings now", before.command)
    sys.stdout.write(f"{change_since(before, after, rows)}\n")
    _write_rows(rows)
    keep(after)
    return int(any(row.ratio.high < 1 and row.ratio.estimate < 1 - options.slower / 100 for row in rows))


def _newest_bench(runs: Sequence[LabRun]) -> LabRun:
    """Return the newest benchmark. Raises UsageError without one."""
    found = next((run for run in runs if run.kind == "bench"), None)
    if found is None:
        raise UsageError("There is no benchmark to repeat", "", "Measure one with `xchat bench`.")
    return found


def _write_rows(rows: Sequence[Compared]) -> None:
    for row in rows:
        change = change_in_words(row.ratio)
        sys.stdout.write(f"{row.model}  {row.test}: {row.before:.2f} → {row.after:.2f} tokens/s, {change}\n")


def delete(options: argparse.Namespace) -> int:
    """Delete a run."""
    delete_run(database_path(), options.which)
    return 0


def _when(run: LabRun) -> str:
    return datetime.fromtimestamp(run.started_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def _object(run: LabRun) -> dict[str, Any]:
    names = ("id", "started_ms", "seconds", "kind", "title", "verdict", "model", "disturbed", "command", "facts", "host")
    return {name: getattr(run, name) for name in names}
