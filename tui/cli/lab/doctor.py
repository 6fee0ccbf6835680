"""`xchat doctor`: find what slows the engine on this machine, and how to fix it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from textwrap import wrap

from engine import __version__
from engine.config import load_config
from engine.doctor import changes
from engine.doctor.finding import Finding, Severity
from engine.doctor.here import this_machine
from engine.doctor.registry import CHECKS, Report, examine
from engine.errors import UsageError
from tui.cli.output import write_json
from tui.text.wording import count

EXAMPLES = """\
examples:
  xchat doctor
  xchat doctor --fix-hints                 only the fixes, as lines to copy
  xchat doctor --json | jq '.findings[] | select(.severity == "problem")'
  xchat doctor show                        changes that need no root and can be undone
  xchat doctor apply tmux-escape-time
  xchat doctor restore tmux-escape-time
"""

WIDEST = 100
INDENT = max(map(len, Severity)) + 4


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="find what slows the engine on this machine, and how to fix it",
        description="Check this machine and print each finding, its cost and its fix. Reads only, and always exits with 0.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    parser.add_argument("--only", metavar="ID", action="append", help="run this check only; may be repeated")
    parser.add_argument("--fix-hints", action="store_true", help="print only the fixes, as lines to copy")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.set_defaults(run=run)
    verbs = parser.add_subparsers(metavar="show|apply|restore")
    showing = verbs.add_parser("show", help="list the changes that need no root and can be undone, and which are applied")
    showing.set_defaults(run=show)
    for verb, function, purpose in (("apply", apply, "apply one of these changes"), ("restore", restore, "undo it")):
        changing = verbs.add_parser(verb, help=purpose)
        changing.add_argument("change", metavar="ID")
        add_model(changing)
        changing.set_defaults(run=function)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the flag that names a model."""
    parser.add_argument("-m", "--model", metavar="MODEL", help="the model to check; default: the one that xchat would start with")


def run(options: argparse.Namespace) -> int:
    """Check the machine and print the report."""
    known = {check.id: check for check in CHECKS}
    asked = options.only or list(known)
    if strange := [name for name in asked if name not in known]:
        raise UsageError(f"There is no check {strange[0]!r}", f"Known checks: {', '.join(known)}")
    report = examine(this_machine(load_config(), options.model, os.environ), [known[name] for name in dict.fromkeys(asked)])
    if options.json:
        write_json({"xchat": __version__, "took_ms": round(report.took_ms, 1), "findings": report.findings})
    elif options.fix_hints:
        sys.stdout.writelines(hints(report))
    else:
        sys.stdout.write(as_text(report, min(WIDEST, shutil.get_terminal_size((80, 24)).columns)))
    return 0


def hints(report: Report) -> list[str]:
    """List the fix of each finding that has one, as shell comments and commands."""
    lines = []
    for finding in report.findings:
        if finding.severity not in {Severity.GOOD, Severity.UNKNOWN} and (finding.command or finding.advice):
            lines.append(f"# {finding.id} ({finding.severity}): {finding.found}\n")
            lines += [f"# {finding.advice}\n"] * bool(finding.advice and not finding.command)
            lines += [f"{finding.command}\n"] * bool(finding.command)
    return lines or ["# nothing needs to be done\n"]


def as_text(report: Report, width: int) -> str:
    """Format the report as text, wrapped to `width` cells; commands are not wrapped, so that they can be copied."""
    lines = []
    for group, findings in report.groups():
        lines += [group.value, *(line for finding in findings for line in block(finding, width)), ""]
    return "\n".join([*lines, f"{count(len(report.findings), 'check')} in {report.took_ms / 1e3:.1f} s: {summary(report)}"]) + "\n"


def summary(report: Report) -> str:
    """Count the findings of each severity."""
    plain = {Severity.GOOD, Severity.UNKNOWN}
    numbers = ((severity, report.count(severity)) for severity in Severity)
    return ", ".join(f"{number} {severity}" if severity in plain else count(number, severity) for severity, number in numbers if number)


def block(finding: Finding, width: int) -> list[str]:
    """Format a finding as lines."""
    lines = wrapped(f"{finding.title}: {finding.found}", f"  {finding.severity:<{INDENT - 4}}  ", width)
    if finding.cost:
        lines += wrapped(f"Cost: {finding.cost}{f' ({finding.source})' if finding.source else ''}", " " * INDENT, width)
    if finding.advice:
        lines += wrapped(f"{finding.advice}.", " " * INDENT, width)
    if finding.command:
        lines.append(f"{' ' * INDENT}$ {finding.command}")
    if finding.change:
        lines.append(f"{' ' * INDENT}$ xchat doctor apply {finding.change}")
    return lines


def wrapped(text: str, first: str, width: int) -> list[str]:
    """Wrap text below its first words."""
    return wrap(text, max(width, INDENT + 20), initial_indent=first, subsequent_indent=" " * INDENT, break_on_hyphens=False)


def show(_: argparse.Namespace) -> int:
    """List the reversible changes."""
    done = changes.applied()
    for change in changes.CHANGES.values():
        sys.stdout.write(f"{change.id:<18}{'applied' if change.id in done else 'not applied':<13}{change.show}\n")
    return 0


def apply(options: argparse.Namespace) -> int:
    """Apply a change."""
    change = changes.find(options.change)
    changes.apply(change, this_machine(load_config(), options.model, os.environ).model)
    sys.stdout.write(f"{change.show}\nTo undo it: xchat doctor restore {change.id}\n")
    return 0


def restore(options: argparse.Namespace) -> int:
    """Undo a change."""
    change = changes.find(options.change)
    changes.restore(change, this_machine(load_config(), options.model, os.environ).model)
    sys.stdout.write(f"{change.id}: undone\n")
    return 0
