"""`xchat runs`: the log of the laboratory's runs."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import Any, Final

from engine.errors import UsageError
from engine.lab.log import compare_runs
from engine.lab.reports.pages import write_html, write_markdown
from engine.lab.reports.report import change_in_words, report_of, report_of_two
from engine.lab.rows import markdown_table
from engine.paths import database_path
from engine.store.lab_runs import LabRun, delete_run, list_runs, load_run
from tui.cli.output import write_json

_WRITERS: Final = {"md": write_markdown, "html": write_html}
EXAMPLES = """\
examples:
  xchat runs list
  xchat runs show 3
  xchat runs compare 3 7             the same benchmark before and after an upgrade
  xchat runs report 3 > run.md
  xchat runs report 3 7 --format html > before-and-after.html
  xchat runs delete 3
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `runs` to the command line."""
    parser = subparsers.add_parser(
        "runs",
        help="list, show, compare, report and delete what bench, race and tune measured",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="list|show|compare|report|delete")
    listing = verbs.add_parser("list", help="the newest first")
    listing.set_defaults(run=list_them)
    showing = verbs.add_parser("show", help="the result, what it was measured on, and the figures")
    showing.add_argument("which", type=int, metavar="ID")
    showing.set_defaults(run=show)
    comparing = verbs.add_parser("compare", help="rows that two benchmarks have in common")
    comparing.add_argument("before", type=int, metavar="A")
    comparing.add_argument("after", type=int, metavar="B")
    comparing.set_defaults(run=compare)
    reporting = verbs.add_parser(
        "report", help="a document of a run, or of two before and after: verdict, tables, charts, how to repeat it"
    )
    reporting.add_argument("which", type=int, metavar="ID")
    reporting.add_argument("after", type=int, metavar="AFTER", nargs="?")
    reporting.add_argument("--format", choices=list(_WRITERS), default="md", help="md, or html with charts (md)")
    reporting.set_defaults(run=report)
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
        share = "" if run.disturbed is None or run.disturbed < 0.05 else f"  ~{run.disturbed:.0%} taken by others"
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
    memory = f"{host.memory_bytes / (1 << 30):.1f} GiB"
    lines += [
        f"On {host.name}: {host.cpu}, {host.cores} CPUs, {memory}, {host.kernel}",
        f"xchat {host.xchat_version}, {host.llama_cpp_version}",
    ]
    if run.disturbed is not None:
        lines.append(f"Other programs took {run.disturbed:.0%} of the time.")
    lines.append(f"Repeat it: {run.command}")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def compare(options: argparse.Namespace) -> int:
    """Print what two benchmarks have in common.

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
    for row in rows:
        change = change_in_words(row.ratio)
        sys.stdout.write(f"{row.model}  {row.test}: {row.before:.2f} → {row.after:.2f} tokens/s, {change}\n")
    for name, old, new in (
        ("machine", before.host.name, after.host.name),
        ("kernel", before.host.kernel, after.host.kernel),
        ("llama.cpp", before.host.llama_cpp_version, after.host.llama_cpp_version),
    ):
        if old != new:
            sys.stdout.write(f"Another {name}: {old} → {new}\n")
    sys.stdout.write("The runs were not measured in turns: what changed on the machine between them counts too.\n")
    return 0


def report(options: argparse.Namespace) -> int:
    """Print a report."""
    run = load_run(database_path(), options.which)
    made = report_of(run) if options.after is None else report_of_two(run, load_run(database_path(), options.after))
    _WRITERS[options.format](sys.stdout, made)
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete a run."""
    delete_run(database_path(), options.which)
    return 0


def _when(run: LabRun) -> str:
    return datetime.fromtimestamp(run.started_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def _object(run: LabRun) -> dict[str, Any]:
    names = ("id", "started_ms", "seconds", "kind", "title", "verdict", "model", "disturbed", "command", "facts", "host")
    return {name: getattr(run, name) for name in names}
