"""Exports a selection of measurements to a file, atomically, or to a stream."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TextIO

from engine.atomic_write import replacing
from engine.errors import StoreError, UsageError
from engine.store.errors import UNREADABLE, StoreFullError, TargetExistsError, explain
from engine.store.export.document import Part, parts_of, write_html_parts, write_markdown_parts
from engine.store.export.llama_bench import Dialect, rows_of_turns, write_llama_bench
from engine.store.export.page import html_page
from engine.store.export.report import write_html_report, write_markdown_report
from engine.store.export.rowformats import write_csv, write_json, write_jsonl
from engine.store.export.tables import Row, Selection, Table, What, open_table
from engine.store.queries import sessions
from engine.store.sqlite.connect import open_reader

PROGRESS_ROWS = 5_000
"""Rows between two reports of progress."""

CACHE_KIB = 8_192
"""Page cache of an export in KiB; it reads every page once."""

Progress = Callable[[int, int], None]
"""Called with the rows written and their total; an exception that it raises ends the export and leaves no file."""


class Format(StrEnum):
    """The formats of an export."""

    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MD = "md"
    """The chat as a document, or the measurements as a report."""
    HTML = "html"
    """The chat or the report as one page, with charts."""
    LLAMA_BENCH_CSV = "llama-bench-csv"
    """Two rows per turn, with the field names of llama-bench, like the next three."""
    LLAMA_BENCH_JSON = "llama-bench-json"
    LLAMA_BENCH_JSONL = "llama-bench-jsonl"
    LLAMA_BENCH_SQL = "llama-bench-sql"

    @classmethod
    def parse(cls, text: str, target: Path | None = None) -> Format:
        """Parse the name of a format; `llama-bench` takes its dialect from the suffix of the target, else CSV.

        Raises UsageError when there is no such format.
        """
        if text == "llama-bench":
            ending = target.suffix[1:].lower() if target else ""
            return cls(f"llama-bench-{ending if ending in set(Dialect) else Dialect.CSV}")
        try:
            return cls(text)
        except ValueError:
            raise UsageError(
                f"There is no export format {text!r}", f"Known formats: {', '.join(cls)}, llama-bench.", "Use one of them."
            ) from None

    @property
    def dialect(self) -> Dialect | None:
        """The dialect of llama-bench, if it is one."""
        return Dialect(self.rpartition("-")[2]) if self.startswith("llama-bench") else None


@dataclass(frozen=True, slots=True)
class Export:
    """The options of an export."""

    what: What
    format: Format
    selection: Selection

    def __post_init__(self) -> None:
        """Refuse contradictory options."""
        if self.format.dialect is not None and self.what is not What.TURNS:
            raise UsageError(
                f"{self.format} has no {self.what}", "llama-bench's rows are made from turns.", "Use `--what turns`, or another format."
            )

    def default_name(self) -> str:
        """Return the default file name: `xchat-12.md` for the chat of session 12."""
        ids = self.selection.sessions
        part = "all" if ids is None else f"session-{ids[0]}" if len(ids) == 1 else f"{len(ids)}-sessions"
        return f"xchat-{part}-{self.what}.{self.format.rpartition('-')[2]}"


def export_to_file(database: Path, export: Export, target: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Path:
    """Write an export to `target`, for its owner only, and return the absolute path.

    The file appears under its name only when complete; an existing one is kept until then.

    Raises:
        TargetExistsError: `target` exists, and `overwrite` is false.
        StoreError: The database can't be read or the file can't be written; a missing session is a SessionMissingError.
    """
    target = target.expanduser().absolute()
    if target.is_dir():
        raise StoreError(f"{target} is a folder", "An export is one file.", f"Write it to {target / export.default_name()}, for example.")
    if target.exists() and not target.is_file():
        raise StoreError(f"{target} is not a regular file", "An export replaces only a regular file.", "Give the name of a file.")
    if not overwrite and (target.exists() or target.is_symlink()):
        raise TargetExistsError(target)
    try:
        with replacing(target) as temporary, temporary.open("w", encoding="utf-8", newline="", errors="replace") as out:
            export_to_stream(database, export, out, progress=progress)
    except OSError as error:
        raise _refused(target, error) from error
    return target


def export_to_stream(database: Path, export: Export, out: TextIO, *, progress: Progress | None = None) -> None:
    """Write an export to an open text stream, reading as it writes.

    Raises:
        StoreError: The database can't be read; a missing session is a SessionMissingError.
        OSError: The stream can't be written.
    """
    with closing(open_reader(database)) as db:
        try:
            # Mapped pages would count as memory of this process, and every page is read only once.
            db.execute("PRAGMA mmap_size = 0")
            db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            # One snapshot of the database for the whole file, however long the writing takes.
            db.execute("BEGIN")
            heading = _heading(db, export)
            dialect = export.format.dialect
            if dialect is not None:
                write_llama_bench(out, dialect, rows_of_turns(db, export.selection))
                return
            if export.what is What.CHAT and export.format in {Format.MD, Format.HTML}:
                _write_document(out, db, export, progress)
                return
            table = open_table(db, export.what, export.selection)
            if progress is not None:
                table = replace(table, rows=_counted(table, progress))
            _write(out, db, table, export, heading)
        except UNREADABLE as error:
            raise explain(error, database) from error


def _write(out: TextIO, db: sqlite3.Connection, table: Table, export: Export, heading: str) -> None:
    match export.format:
        case Format.CSV:
            write_csv(out, table.columns, table.rows)
        case Format.JSON:
            write_json(out, table.columns, table.rows)
        case Format.JSONL:
            write_jsonl(out, table.columns, table.rows)
        case Format.MD:
            write_markdown_report(out, db, table, export.selection, heading)
        case _:
            write_html_report(out, db, table, export.selection, heading)


def _write_document(out: TextIO, db: sqlite3.Connection, export: Export, progress: Progress | None) -> None:
    """Write the chat without measurements."""
    parts = parts_of(db, export.selection)
    if progress is not None:
        parts = _counted_parts(parts, progress)
    if export.format is Format.MD:
        write_markdown_parts(out, parts)
        return
    first = next(parts, None)
    with html_page(out, "xchat" if first is None else first.title):
        write_html_parts(out, chain(filter(None, [first]), parts))


def _counted_parts(parts: Iterator[Part], progress: Progress) -> Iterator[Part]:
    written = 0
    for part in parts:
        progress(written, written + len(part.messages))
        yield part
        written += len(part.messages)
    progress(written, written)


def _heading(db: sqlite3.Connection, export: Export) -> str:
    ids = export.selection.sessions
    if ids is None:
        return "All sessions"
    infos = [sessions.session_info(db, session_id) for session_id in ids]
    if len(infos) > 1:
        return f"{len(infos)} sessions"
    return infos[0].title if export.selection.texts else f"Session {ids[0]}"


def _counted(table: Table, progress: Progress) -> Iterator[Row]:
    progress(0, table.count)
    number = 0
    for number, row in enumerate(table.rows, start=1):
        yield row
        if number % PROGRESS_ROWS == 0:
            progress(number, table.count)
    progress(number, table.count)


def _refused(target: Path, error: OSError) -> StoreError:
    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StoreFullError(f"No disk space is left for {target}", reason, "Free some disk space, or export less.")
    if isinstance(error, FileNotFoundError):
        return StoreError(f"{target} can't be written", f"There is no folder {target.parent}.", "Create it first, or give another path.")
    return StoreError(f"{target} can't be written", reason, "Give another path, or give yourself write permission.")
