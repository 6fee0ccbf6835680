"""`xchat export`: performance logs for other tools and for people."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from engine.errors import StoreError, UsageError
from engine.paths import database_path
from engine.store.export.exporter import Export, Format, export_to_file, export_to_stream
from engine.store.export.tables import Selection, What
from engine.store.reader import Reader
from tui.cli.progress import Progress
from tui.cli.sessions import session_id_of

EXAMPLES = """\
examples:
  xchat export last --format html -o last.html --chat
  xchat export 12 --what tokens --format csv
  xchat export --all --format llama-bench -o runs.sql
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` to the command line."""
    parser = subparsers.add_parser(
        "export", help="performance logs as files", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("session", nargs="?", metavar="SESSION", help="its number, or `last`")
    parser.add_argument("--all", action="store_true", help="every session")
    parser.add_argument("--what", choices=[*What], default=What.TURNS, help="turns (default), samples, tokens, events or chat")
    parser.add_argument(
        "--format", default=Format.CSV, help="csv (default), json, jsonl, md, html, llama-bench (its form by the file's ending)"
    )
    parser.add_argument("--chat", action="store_true", help="include the texts of the messages; they are left out otherwise")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to this file; without it, to standard output")
    parser.add_argument("--force", action="store_true", help="overwrite the file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the export."""
    export = Export(What(options.what), Format.parse(options.format, options.output), asyncio.run(selection_of(options)))
    if options.output is None:
        try:
            export_to_stream(database_path(), export, sys.stdout)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StoreError("Standard output can't be written", error.strerror or str(error)) from error
        return 0
    with Progress("exporting", "rows") as progress:
        target = export_to_file(database_path(), export, options.output, overwrite=options.force, progress=progress.show)
    sys.stdout.write(f"{target}\n")
    return 0


async def selection_of(options: argparse.Namespace) -> Selection:
    """Which sessions, and whether with their texts.

    Raises:
        UsageError: Neither a session nor all of them were asked for, or both.
        StoreError: There is no such session.
    """
    texts = options.chat or options.what == What.CHAT
    if options.all == (options.session is not None):
        raise UsageError("Which session is not clear", "", "Say its number, `last`, or --all.")
    if options.all:
        return Selection(None, texts=texts)
    reader = await Reader.open(database_path())
    try:
        return Selection((await session_id_of(reader, options.session),), texts=texts)
    finally:
        await reader.close()
