"""Formats the models as a table, for the screen and the command line. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rich.cells import cell_len

from engine.model_ref import RemoteModel
from engine.numbers import byte_size, significant
from engine.text import one_line
from tui.choices import Fetch, KnownModel
from tui.text.cells import cut

LEAST_NAME = 14
MOST_NAME = 36
"""Most cells of the first column, which gets the space that the others leave."""
WIDE = 84
"""Least width for two cells between columns; below it there is one."""


class Section(StrEnum):
    """The parts of the list, in order; each except the first begins with a rule with its name."""

    HERE = "here"
    REMOTE = "on other engines"
    UNUSABLE = "can't be loaded"
    ELSEWHERE = "can be fetched"


class Sort(StrEnum):
    """Orders of the rows within a section."""

    FOUND = "family"
    SPEED = "speed"
    """Fastest first, unmeasured ones last."""
    SIZE = "size"
    """Smallest first, like the next."""
    NEEDS = "memory"


@dataclass(frozen=True, slots=True)
class Column:
    """A column after the name."""

    title: str
    width: int
    text: Callable[[KnownModel], str]
    sort: Sort | None = None
    """The order that sorts by it."""
    number: bool = False
    rank: int = 0
    """Columns of a higher rank are dropped first."""
    rare: bool = False


def _speed(model: KnownModel) -> str:
    if model.speed is None:
        return ""
    return f"{'~' if model.disturbed else ''}{significant(model.speed)}"


def _fits(model: KnownModel) -> str:
    return "" if model.needed_bytes is None else "yes" if model.fits else "no"


COLUMNS: tuple[Column, ...] = (
    Column("quant", 7, lambda model: model.quant),
    Column("size", 8, lambda model: "" if model.size_bytes is None else byte_size(model.size_bytes), Sort.SIZE, number=True),
    Column("needs", 8, lambda model: "" if model.needed_bytes is None else byte_size(model.needed_bytes), Sort.NEEDS, number=True, rank=2),
    Column("fits", 4, _fits, rank=1),
    Column("tokens/s", 9, _speed, Sort.SPEED, number=True),
    Column("KLD", 7, lambda model: "" if model.kld is None else f"{model.kld:.4f}", number=True, rank=4, rare=True),
    Column("from", 12, lambda model: model.place, rank=3),
)
_BEFORE_NOTE = 2
"""Number of columns of a row with a note; the note replaces the others."""


@dataclass(frozen=True, slots=True)
class ModelTable:
    """The layout for a width."""

    width: int
    name: int
    gap: int
    columns: tuple[Column, ...]

    def heading(self, sort: Sort = Sort.FOUND) -> str:
        """Format the titles; an arrow marks the column that the rows are sorted by."""
        titles = [f"{column.title[: column.width - 1]}↓" if column.sort is sort else column.title for column in self.columns]
        return self._line("family", titles)

    def row(self, model: KnownModel) -> str:
        """Format a model as a row."""
        cells = [one_line(column.text(model)) for column in self.columns]
        note = one_line(model.problem or model.detail)
        if not note:
            return self._line(one_line(model.name), cells)
        kept = self._line(one_line(model.name), cells[:_BEFORE_NOTE] if any(cells) else ())
        kept += " " * (
            self.gap
            + sum(column.width + self.gap for column in self.columns[: _BEFORE_NOTE if any(cells) else 0])
            + self.name
            - cell_len(kept)
        )
        return f"{kept}{cut(note, max(self.width - cell_len(kept), 1))}".rstrip()

    def rule(self, section: Section) -> str:
        """Format the line above a section."""
        return f"── {section} ".ljust(self.width, "─")

    def _line(self, name: str, cells: Sequence[str]) -> str:
        shown = [cut(name, self.name)]
        for column, text in zip(self.columns, cells, strict=False):
            shown.append(f"{text:>{column.width}}" if column.number and len(text) <= column.width else cut(text, column.width))
        return (" " * self.gap).join(shown).rstrip()


def model_table(width: int, models: Sequence[KnownModel] = ()) -> ModelTable:
    """Choose the columns that fit and the width of the names. A column of rare values needs a model that has one."""
    gap = 2 if width >= WIDE else 1
    columns = [column for column in COLUMNS if not column.rare or any(map(column.text, models))]
    while len(columns) > 1 and width - sum(column.width + gap for column in columns) < LEAST_NAME:
        columns.remove(max(columns, key=lambda column: column.rank))
    room = width - sum(column.width + gap for column in columns)
    return ModelTable(width, min(max(room, 1), MOST_NAME), gap, tuple(columns))


def section_of(model: KnownModel) -> Section:
    """Return the section of a model."""
    if isinstance(model.instead, Fetch):
        return Section.ELSEWHERE
    if isinstance(model.ref, RemoteModel):
        return Section.REMOTE
    return Section.UNUSABLE if model.problem else Section.HERE


def in_sections(models: Iterable[KnownModel], sort: Sort = Sort.FOUND) -> list[tuple[Section, list[KnownModel]]]:
    """Group the models by section, without empty ones, sorted within each."""
    parts: dict[Section, list[KnownModel]] = {section: [] for section in Section}
    for model in models:
        parts[section_of(model)].append(model)
    key = _KEYS.get(sort)
    return [(section, sorted(found, key=key) if key else found) for section, found in parts.items() if found]


_LAST = float("inf")
_KEYS: dict[Sort, Callable[[KnownModel], float]] = {
    Sort.SPEED: lambda model: _LAST if model.speed is None else -model.speed,
    Sort.SIZE: lambda model: _LAST if model.size_bytes is None else model.size_bytes,
    Sort.NEEDS: lambda model: _LAST if model.needed_bytes is None else model.needed_bytes,
}
