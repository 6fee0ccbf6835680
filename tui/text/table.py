"""Formats rows of figures in columns; the least important are dropped first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tui.text.cells import cut

GAP = 2
Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Column(Generic[Subject]):
    """A column of a table."""

    title: str
    width: int
    text: Callable[[int, Subject], str]
    """Cell text from the row's number and its subject."""
    rank: int
    """Columns of a higher rank are dropped first when not all fit."""
    left: bool = False


def fitting(columns: Sequence[Column[Subject]], width: int) -> tuple[Column[Subject], ...]:
    """Return the columns that fit."""
    kept = list(columns)
    while len(kept) > 1 and sum(column.width + GAP for column in kept) - GAP > width:
        kept.remove(max(kept, key=lambda column: column.rank))
    return tuple(kept)


def heading(columns: Sequence[Column[Subject]]) -> str:
    """Format the titles of the columns."""
    return _line([_cell(column, column.title) for column in columns])


def table_row(columns: Sequence[Column[Subject]], number: int, subject: Subject) -> str:
    """Format a subject as a row."""
    return _line([_cell(column, column.text(number, subject)) for column in columns])


def _cell(column: Column[Subject], text: str) -> str:
    return cut(text, column.width) if column.left or len(text) > column.width else f"{text:>{column.width}}"


def _line(cells: Sequence[str]) -> str:
    return (" " * GAP).join(cells).rstrip()
