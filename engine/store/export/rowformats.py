"""Writes streams of rows as CSV, JSON, JSON lines and a Markdown table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import msgspec

from engine.store.export.escaping import markdown_cell, spreadsheet_cell

Row = Sequence[Any]

_ENCODER = msgspec.json.Encoder()


def write_csv(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write CSV by RFC 4180 with a heading; None is an empty cell.

    Every text is quoted, so that none of its characters, not even a carriage return, ends a cell or a row.
    """
    csv.writer(out, lineterminator="\n").writerow(columns)
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([spreadsheet_cell(value) if isinstance(value, str) else value for value in row] for row in rows)


def write_json(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write one array of objects, a line each."""
    separator = "[\n"
    for row in rows:
        out.write(separator)
        out.write(_object(columns, row))
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def write_jsonl(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write an object per line."""
    for row in rows:
        out.write(_object(columns, row))
        out.write("\n")


def write_markdown_table(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write a table; None is an empty cell, fractions have three decimals."""
    out.write(f"| {' | '.join(map(markdown_cell, columns))} |\n|{'---|' * len(columns)}\n")
    for row in rows:
        cells = " | ".join("" if value is None else f"{value:.3f}" if isinstance(value, float) else markdown_cell(value) for value in row)
        out.write(f"| {cells} |\n")


def _object(columns: Sequence[str], row: Row) -> str:
    return _ENCODER.encode(dict(zip(columns, row, strict=True))).decode()
