"""`xchat export`: performance logs as files."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from engine.errors import StoreError, UsageError
from engine.paths import database_path
from engine.store.export.exporter import Export, Format, export_to_file, export_to_stream
from engine.store.export.tables import Selection, What
from tui.cli.output import Progress
from tui.cli.reading import open_reader
from tui.cli.sessions import session_id_of

EXAMPLES = """\
examples:
  xchat export last --what chat --format md -o chat.md
  xchat export last --format html -o report.html
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
        "--format", default=Format.CSV, help="csv (default), json, jsonl, md, html, llama-bench (sql or jsonl by the file's extension)"
    )
    parser.add_argument("--chat", action="store_true", help="include the texts of the messages; in md and html, the chat below the report")
    parser.add_argument("--branches", action="store_true", help="in md and html, also the branches of the chat that are not shown")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write to this file instead of standard output")
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
    """Return the sessions to export, and whether to include their texts.

    Raises:
        UsageError: Neither a session nor `--all` is given, or both are.
        StoreError: The session does not exist.
    """
    texts = options.chat or options.what == What.CHAT
    if options.all == (options.session is not None):
        raise UsageError("Give one session, or --all", "", "A session is a number, or `last`.")
    if options.all:
        return Selection(None, texts=texts, branches=options.branches)
    async with open_reader() as reader:
        return Selection((await session_id_of(reader, options.session),), texts=texts, branches=options.branches)
