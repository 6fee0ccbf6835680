"""`xchat db`: maintenance of the database."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from pathlib import Path

import msgspec

from engine.clock import wall_ms
from engine.config import load_config
from engine.errors import UsageError
from engine.paths import data_dir, database_path
from engine.store.sqlite.pragmas import Profile
from engine.store.upkeep import maintenance, retention
from engine.store.upkeep import repair as salvage
from engine.store.upkeep.bench import BenchFigures, run_bench
from engine.store.upkeep.in_use import refuse_open
from engine.store.upkeep.retention import RetentionRule
from tui.cli.output import Progress, confirmed, write_json
from tui.text.wording import count

EXAMPLES = """\
examples:
  xchat db stats
  xchat db backup ~/xchat-backup.db
  xchat db retain --max-age-days 180          show what would be deleted
  xchat db retain --max-age-days 180 --apply
  xchat db bench
"""

DAMAGED = 1
"""Exit code of a check that found damage."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `db` to the command line."""
    parser = subparsers.add_parser(
        "db", help="maintenance of the database", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="stats|check|backup|vacuum|repair|retain|bench")
    counting = verbs.add_parser("stats", help="size, rows and age")
    counting.add_argument("--json", action="store_true", help="print one object")
    counting.set_defaults(run=stats)
    checking = verbs.add_parser("check", help="check for damage")
    checking.add_argument("--quick", action="store_true", help="check pages only, not every index entry")
    checking.set_defaults(run=check)
    saving = verbs.add_parser("backup", help="copy the database while it is in use")
    saving.add_argument("target", type=Path, metavar="FILE")
    saving.add_argument("--force", action="store_true", help="overwrite the file")
    saving.set_defaults(run=backup)
    verbs.add_parser("vacuum", help="free the disk space of deleted sessions").set_defaults(run=vacuum)
    mending = verbs.add_parser("repair", help="copy the readable parts of a damaged file into a new one, with a report")
    mending.add_argument("--output", type=Path, metavar="FILE", help="write the new file there and keep the damaged one in place")
    mending.set_defaults(run=repair)
    keeping = verbs.add_parser("retain", help="delete old sessions by age or size; only lists them without --apply")
    keeping.add_argument("--max-age-days", type=int, metavar="N", help="sessions not changed for more than N days")
    keeping.add_argument("--max-size-mb", type=int, metavar="N", help="the oldest sessions, until the rest fits into N MB")
    keeping.add_argument("--apply", action="store_true", help="delete them")
    keeping.add_argument("--yes", action="store_true", help="do not ask")
    keeping.set_defaults(run=retain)
    measuring = verbs.add_parser("bench", help="measure the tuning profiles, and each pragma alone, on this disk")
    measuring.add_argument("--json", action="store_true", help="print one array")
    measuring.set_defaults(run=bench)


def profile() -> Profile:
    """Return the tuning profile of the config."""
    config = load_config().database
    return Profile.of(config.profile, config.pragmas)


def stats(options: argparse.Namespace) -> int:
    """Print sizes and numbers of rows."""
    found = maintenance.stats(database_path())
    if options.json:
        write_json(msgspec.to_builtins(found, enc_hook=str))
        return 0
    lines = {
        "file": str(found.path),
        "size": f"{found.file_bytes:,} bytes, {found.free_bytes:,} of them free; write-ahead log {found.log_bytes:,} bytes",
        "schema": f"version {found.schema_version}, journal mode {found.journal_mode}",
        "rows": ", ".join(f"{number:,} {table}" for table, number in found.rows.items()),
        "sessions": f"from {day(found.oldest_ms)} to {day(found.newest_ms)}",
    }
    sys.stdout.writelines(f"{name:<10}{value}\n" for name, value in lines.items())
    sizes = found.table_bytes or {}
    width = max(map(len, sizes), default=0)
    for table, size in sorted(sizes.items(), key=lambda one: -one[1]):
        sys.stdout.write(f"{'':<10}{table:<{width}}{size:>16,} bytes\n")
    return 0


def day(unix_ms: int | None) -> str:
    """Format a date, or `never`."""
    return "never" if unix_ms is None else f"{datetime.fromtimestamp(unix_ms / 1000).astimezone():%Y-%m-%d}"


def check(options: argparse.Namespace) -> int:
    """Print the damage; the exit code is DAMAGED if there is any."""
    report = maintenance.check(database_path(), quick=options.quick)
    sys.stdout.writelines(f"{problem}\n" for problem in report.problems)
    sys.stdout.write("whole\n" if report.whole else "damaged; `xchat db repair` saves the readable parts\n")
    return 0 if report.whole else DAMAGED


def backup(options: argparse.Namespace) -> int:
    """Copy the database."""
    with Progress("copying", "pages") as progress:
        target = maintenance.backup(database_path(), options.target, overwrite=options.force, progress=progress.show)
    sys.stdout.write(f"{target}\n")
    return 0


def vacuum(_: argparse.Namespace) -> int:
    """Rewrite the file without unused pages."""
    before, after = maintenance.vacuum(database_path(), profile())
    sys.stdout.write(f"{before:,} bytes before, {after:,} after\n")
    return 0


def repair(options: argparse.Namespace) -> int:
    """Repair into a new file, print a report, and replace the damaged file unless `--output` is given."""
    path = database_path()
    target = options.output or path.with_name(f"{path.name}.repaired")
    if options.output is None:
        refuse_open(path, "repair")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{target}{suffix}").unlink(missing_ok=True)  # of a repair that was killed
    report = salvage.repair(path, target)
    width = max((len(table.name) for table in report.tables), default=0)
    for table in report.tables:
        refused = f", {table.refused:,} invalid" if table.refused else ""
        sys.stdout.write(f"{table.name:<{width}}{table.saved:>12,} rows copied{refused}\n")
        sys.stdout.writelines(f"{'':<{width}}  {sentence}\n" for sentence in table.unreadable)
    if report.adopted_sessions:
        sys.stdout.write(f"{count(report.adopted_sessions, 'session')} recreated for messages without one\n")
    if options.output is None:
        sys.stdout.write(f"the damaged file is now {salvage.put_in_place(path, target)}\n")
    sys.stdout.write("all data could be read\n" if report.complete else "some data could not be read\n")
    return 0


def retain(options: argparse.Namespace) -> int:
    """List the sessions to delete, and delete them with `--apply`."""
    config = load_config().retention
    rule = RetentionRule(options.max_age_days or config.max_age_days, options.max_size_mb or config.max_size_mb)
    if rule == RetentionRule():
        raise UsageError(
            "There is no retention rule", "", "Give --max-age-days or --max-size-mb, or set them under [retention] in the config."
        )
    plan = retention.preview(database_path(), rule, wall_ms())
    for candidate in plan.candidates:
        sys.stdout.write(f"{candidate.info.id:>5}  {candidate.bytes:>12,} bytes  {candidate.info.title}  {candidate.reason}\n")
    summary = f"{count(len(plan.candidates), 'session')}, about {plan.freed_bytes:,} bytes; {plan.kept_sessions:,} are kept"
    if not options.apply or not plan.candidates:
        sys.stdout.write(f"{summary}\n")
        return 0
    if not options.yes and not confirmed(f"Delete {summary}?"):
        return 1
    with Progress("deleting", "sessions") as progress:
        deleted = retention.apply(database_path(), plan, profile(), progress=progress.show)
    sys.stdout.write(f"{count(deleted, 'session')} deleted\n")
    return 0


def bench(options: argparse.Namespace) -> int:
    """Measure and print a table."""
    with Progress("measuring", "runs") as progress:
        figures = run_bench(data_dir(), progress=progress.show)
    if options.json:
        write_json(figures)
        return 0
    width = max(len(one.name) for one in figures)
    sys.stdout.write(f"{'':<{width}}  turn p50  turn p99   samples/s    list  search    open  can lose\n")
    sys.stdout.writelines(line_of(one, width) for one in figures)
    return 0


def line_of(one: BenchFigures, width: int) -> str:
    """Format a profile as a row; times are in milliseconds."""
    return (
        f"{one.name:<{width}}  {one.commit_p50_ms:>8.2f}  {one.commit_p99_ms:>8.2f}  {one.rows_per_s:>10,.0f}"
        f"  {one.list_ms:>6.2f}  {one.search_ms:>6.2f}  {one.open_ms:>6.2f}  {one.can_lose}\n"
    )
