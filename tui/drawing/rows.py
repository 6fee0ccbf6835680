"""Rows of the panel: text runs with a role each, formatted numbers, and the difference of two rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from rich.cells import cell_len

from engine.host.value import Unavailable
from engine.numbers import UNKNOWN, byte_size, milliseconds, percent, significant
from engine.text import drawable


class Role(StrEnum):
    """The role of a run of text; the theme maps it to a style."""

    TEXT = "text"
    LABEL = "label"
    TITLE = "title"
    CHOSEN = "chosen"
    """Title of the selected pane."""
    VALUE = "value"
    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    GRID = "grid"
    MARK = "mark"
    FIRST = "first"
    """The first series of a chart."""
    SECOND = "second"
    """The second, dotted series of a chart."""


Run = tuple[str, Role]
Row = tuple[Run, ...]

LINES = (Role.FIRST, Role.SECOND)
"""Roles of a chart's series in drawing order."""


def text_of(row: Row) -> str:
    """The text of a row."""
    return "".join(text for text, _ in row)


def fit(row: Row, width: int) -> Row:
    """The row cut or padded to exactly `width` cells."""
    runs: list[Run] = []
    room = width
    for text, role in row:
        shown = text if _width(text) <= room else cut(text, room)
        if shown:
            runs.append((shown, role))
        room -= _width(shown)
        if room <= 0:
            break
    if room > 0:
        runs.append((" " * room, Role.TEXT))
    return tuple(runs)


def _width(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)


def cut(text: str, width: int) -> str:
    """Cut `text` to `width` cells with an ellipsis; safe for untrusted text."""
    text = drawable(text).replace("\n", " ").replace("\t", " ")
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    while text and cell_len(text) > width - 1:
        text = text[:-1]
    return text + "…"


def changed_span(old: Row, new: Row, width: int) -> tuple[int, int] | None:
    """First cell and number of cells in which two rows of `width` cells differ; None when they are equal."""
    if old == new:
        return None
    before, after = text_of(old), text_of(new)
    if len(before) != width or len(after) != width:  # wide characters: cells can't be counted by characters
        return 0, width
    roles_before, roles_after = _roles(old), _roles(new)
    begin = 0
    while begin < width and before[begin] == after[begin] and roles_before[begin] == roles_after[begin]:
        begin += 1
    end = width
    while end > begin and before[end - 1] == after[end - 1] and roles_before[end - 1] == roles_after[end - 1]:
        end -= 1
    return (begin, end - begin) if end > begin else None


def _roles(row: Row) -> list[Role]:
    roles: list[Role] = []
    for text, role in row:
        roles += [role] * len(text)
    return roles


_BY_UNIT: Mapping[str, Callable[[float], str]] = {
    "bytes": byte_size,
    "ms": milliseconds,
    "bytes/s": lambda value: f"{byte_size(value)}/s",
    "tokens/s": lambda value: f"{significant(value)} t/s",
    "tokens": lambda value: f"{value:,.0f}",
    "token": lambda value: f"token {value:,}",
    "turns": lambda value: f"{value:,} turns",
    "1/min": lambda value: f"{value:,}",
    "1/sample": lambda value: f"{value:,.0f} since the sample before",
    "share": lambda value: f"{percent(value):>5}",
    "%": lambda value: percent(value / 100),
    "MHz": lambda value: f"{value:,.0f} MHz",
    "°C": lambda value: f"{value:.0f} °C",
    "tasks": lambda value: f"{significant(value)} runnable tasks",
}
"""Formats by unit; others have three digits and the first word of their unit."""


def written(value: object, unit: str) -> str:
    """Format a figure with its unit; `UNKNOWN` without a value, text unchanged."""
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        return UNKNOWN
    first = unit.split(" ", maxsplit=1)[0]
    known_as = _BY_UNIT.get(unit) or _BY_UNIT.get(first)
    return known_as(value) if known_as else f"{significant(value)} {first}".rstrip()


Cell = tuple[str, str] | tuple[str, str, Role]
"""Label, value, and optionally the role of the label."""


def cells(width: int, *items: Cell) -> Row:
    """Figures side by side in columns of equal width: label on the left, value on the right."""
    runs: list[Run] = []
    share, spare = divmod(width - 2 * (len(items) - 1), len(items))
    for place, (label, value, *role) in enumerate(items):
        room = max(0, share + (spare if place == len(items) - 1 else 0))
        shown = cut(value, max(0, room - len(label) - 1))
        runs.append((label[:room], role[0] if role else Role.LABEL))
        runs.append((" " * max(0, room - len(label) - _width(shown)) + shown, Role.VALUE))
        if place < len(items) - 1:
            runs.append(("  ", Role.TEXT))
    return tuple(runs)


def sentence(width: int, label: str, text: str, role: Role = Role.TEXT) -> Row:
    """A label and a text, cut to the row."""
    return ((f"{label} " if label else "", Role.LABEL), (cut(text, max(0, width - len(label) - 1)), role))


def reading(width: int, label: str, value: str | Unavailable) -> Row:
    """A figure in a row of its own, or why it is unavailable."""
    if isinstance(value, Unavailable):
        shown = f"unavailable: {value.reason}"
        fits = len(label) + 1 + len(shown) <= width
        return sentence(width, label, shown if fits else f"{UNKNOWN} {value.reason}", Role.LABEL)
    return sentence(width, label, value, Role.VALUE)


def bar(share: float | None, width: int, role: Role = Role.FIRST) -> Row:
    """A bar filled to `share` (0 to 1)."""
    if width <= 0:
        return ()
    filled = round(min(1.0, max(0.0, share or 0.0)) * width)
    return (("█" * filled, role), ("░" * (width - filled), Role.GRID))


def labelled_bar(width: int, label: str, share: float | None, value: str, role: Role = Role.FIRST) -> Row:
    """Label, bar and value in one row; without the bar on narrow panes."""
    room = width - len(label) - len(value) - 2
    if room < 4:
        return cells(width, (label, value))
    return ((f"{label} ", Role.LABEL), *bar(share, room, role), (f" {value}", Role.VALUE))


def level(value: float | None, warning: float, bad: float) -> Role:
    """The role of a figure whose high values are bad."""
    if value is None or value < warning:
        return Role.FIRST
    return Role.WARNING if value < bad else Role.BAD


def joined(rows: Sequence[Row], widths: Sequence[int], gap: int) -> Row:
    """Join the rows of adjacent columns."""
    runs: list[Run] = []
    for place, (row, width) in enumerate(zip(rows, widths, strict=True)):
        runs.extend(fit(row, width))
        if place < len(widths) - 1:
            runs.append((" " * gap, Role.TEXT))
    return tuple(runs)
