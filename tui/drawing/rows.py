"""Rows of the panel: text runs with a role each, formatted numbers, and the difference of two rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby

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
    """The second, hatched series of a chart."""
    THIRD = "third"
    FOURTH = "fourth"
    FLOW_0 = "flow-0"
    """The lowest row of a chart whose high values are good; the theme's colours change from row to row."""
    FLOW_1 = "flow-1"
    FLOW_2 = "flow-2"
    FLOW_3 = "flow-3"
    FLOW_4 = "flow-4"
    LOAD_0 = "load-0"
    """The lowest row of a chart whose high values are bad: from good to bad."""
    LOAD_1 = "load-1"
    LOAD_2 = "load-2"
    LOAD_3 = "load-3"
    LOAD_4 = "load-4"
    STORE_0 = "store-0"
    """The lowest row of a chart of stored amounts."""
    STORE_1 = "store-1"
    STORE_2 = "store-2"
    STORE_3 = "store-3"
    STORE_4 = "store-4"


Ramp = tuple[Role, ...]
"""Roles from the bottom of a chart to its top."""

FLOW: Ramp = tuple(role for role in Role if role.value.startswith("flow"))
LOAD: Ramp = tuple(role for role in Role if role.value.startswith("load"))
STORE: Ramp = tuple(role for role in Role if role.value.startswith("store"))

STACK = (Role.FIRST, Role.SECOND, Role.THIRD, Role.FOURTH, Role.LABEL)
"""Roles of the parts of a stacked bar, in order."""


def at(ramp: Ramp, share: float) -> Role:
    """Return the role at a height, 0 (bottom) to 1."""
    return ramp[min(len(ramp) - 1, max(0, round(share * (len(ramp) - 1))))]


Run = tuple[str, Role]
Row = tuple[Run, ...]

LINES = (Role.FIRST, Role.SECOND)
"""Roles of a large chart's series in drawing order."""


LEAST_METER = 5
"""Least cells of a meter."""


def text_of(row: Row) -> str:
    """Return the text of a row."""
    return "".join(text for text, _ in row)


def fit(row: Row, width: int) -> Row:
    """Cut or pad the row to exactly `width` cells."""
    runs: list[Run] = []
    room = width
    for text, role in row:
        shown, width_of_text = text, _width(text)
        if width_of_text > room:
            shown = cut(text, room)
            width_of_text = _width(shown)
        if shown:
            runs.append((shown, role))
        room -= width_of_text
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
    """Return the first cell and the number of cells in which two rows of `width` cells differ; None when they are equal."""
    if old == new:
        return None
    before, after = text_of(old), text_of(new)
    if len(before) != width or len(after) != width:  # with wide characters, cells can't be counted by characters
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
    "1/sample": lambda value: f"{value:,.0f} since the last sample",
    "share": lambda value: f"{percent(value):>5}",
    "%": lambda value: percent(value / 100),
    "MHz": lambda value: f"{value:,.0f} MHz",
    "°C": lambda value: f"{value:.0f} °C",
    "answers": lambda value: f"{value:,}",
    "prompts": lambda value: f"{value:,}",
    "tasks": lambda value: f"{significant(value)} runnable tasks",
}
"""Formats by unit; others have three digits, or are counts, and the first word of their unit."""


def written(value: object, unit: str) -> str:
    """Format a figure with its unit; `UNKNOWN` without a value, text unchanged."""
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        return UNKNOWN
    first = unit.split(" ", maxsplit=1)[0]
    known_as = _BY_UNIT.get(unit) or _BY_UNIT.get(first)
    if known_as is not None:
        return known_as(value)
    return f"{f'{value:,}' if isinstance(value, int) else significant(value)} {first}".rstrip()


Cell = tuple[str, str] | tuple[str, str, Role]
"""Label, value, and optionally the role of the label."""


def cells(width: int, *items: Cell) -> Row:
    """Draw figures in columns of equal width: label on the left, value on the right."""
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
    """Draw a label and a text, cut to the row."""
    return ((f"{label} " if label else "", Role.LABEL), (cut(text, max(0, width - len(label) - 1)), role))


def reading(width: int, label: str, value: str | Unavailable) -> Row:
    """Draw a figure in its own row, or the reason why it is unavailable."""
    if isinstance(value, Unavailable):
        shown = f"unavailable: {value.reason}"
        fits = len(label) + 1 + len(shown) <= width
        return sentence(width, label, shown if fits else f"{UNKNOWN} {value.reason}", Role.LABEL)
    return sentence(width, label, value, Role.VALUE)


def bar(share: float | None, width: int, role: Role = Role.FIRST) -> Row:
    """Draw a bar filled to `share` (0 to 1)."""
    if width <= 0:
        return ()
    filled = round(min(1.0, max(0.0, share or 0.0)) * width)
    return (("━" * filled, role), ("─" * (width - filled), Role.GRID))


def _meter(share: float, width: int) -> Row:
    """Draw a bar whose colour changes from good to bad along its length."""
    filled = round(min(1.0, max(0.0, share)) * width)
    parts = [("━" * len(list(group)), role) for role, group in groupby(at(LOAD, cell / max(1, width - 1)) for cell in range(filled))]
    return (*parts, ("─" * (width - filled), Role.GRID))


def stacked_bar(width: int, parts: Sequence[tuple[float, Role]], whole: float) -> Row:
    """Draw a bar of several parts of `whole`, in their order; each part above zero has at least a cell."""
    lengths = [max(1, round(value / whole * width)) if value > 0 and whole > 0 else 0 for value, _ in parts]
    while sum(lengths) > width:
        longest = max(range(len(lengths)), key=lengths.__getitem__)
        lengths[longest] -= 1
    runs: list[Run] = [("█" * length, role) for length, (_, role) in zip(lengths, parts, strict=True) if length]
    return (*runs, ("░" * (width - sum(lengths)), Role.GRID))


def legend(width: int, *items: tuple[str, str, Role]) -> Row:
    """Draw the legend of a stacked bar: a square in each part's colour, its name and its value."""
    runs: list[Run] = []
    room = max(0, width // max(1, len(items)) - 2)
    for label, value, role in items:
        text = cut(f"{label} {value}", max(0, room - 1))
        runs += [("■ ", role), (text, Role.LABEL), (" " * (room - _width(text)), Role.TEXT)]
    return tuple(runs)


def meters(width: int, shares: Sequence[float], rows: int) -> list[Row]:
    """Draw a numbered meter for each share (0 to 1) on `rows` rows; if there are too many, one per group of neighbours."""
    size = next(
        (size for size in range(1, len(shares)) if _across(width, len(shares), size) * rows * size >= len(shares)), len(shares) or 1
    )
    groups = [shares[first : first + size] for first in range(0, len(shares), size)]
    per_row = max(1, -(-len(groups) // rows)) if groups else 1
    room = (width + 2) // per_row - 2
    drawn: list[Row] = []
    for row in range(rows):
        runs: list[Run] = []
        for place, group in enumerate(groups[row * per_row : (row + 1) * per_row], row * per_row):
            first = place * size
            label = f"{first}" if len(group) == 1 else f"{first}-{first + len(group) - 1}"
            share = sum(group) / len(group)
            cells_left = room - len(label) - 1
            runs += [(f"{label} ", Role.LABEL), *_meter(share, cells_left), ("  ", Role.TEXT)]
        drawn.append(tuple(runs[:-1]))
    return drawn


def _across(width: int, count: int, size: int) -> int:
    """How many meters for `size` of `count` things fit beside each other."""
    digits = len(str(max(0, count - 1)))
    label = digits if size == 1 else 2 * digits + 1
    return max(1, (width + 2) // (label + 1 + LEAST_METER + 2))


def labelled_bar(width: int, label: str, share: float | None, value: str, role: Role = Role.FIRST) -> Row:
    """Label, bar and value in one row; without the bar on narrow panes."""
    room = width - len(label) - len(value) - 2
    if room < 4:
        return cells(width, (label, value))
    return ((f"{label} ", Role.LABEL), *bar(share, room, role), (f" {value}", Role.VALUE))


def level(value: float | None, warning: float, bad: float) -> Role:
    """Return the role of a figure whose high values are bad."""
    if value is None or value < warning:
        return Role.FIRST
    return Role.WARNING if value < bad else Role.BAD


def joined(rows: Sequence[Row], gap: int) -> Row:
    """Join the rows of adjacent columns, each as wide as its column."""
    runs: list[Run] = []
    for place, row in enumerate(rows):
        runs += [*([(" " * gap, Role.TEXT)] if place else []), *row]
    return tuple(runs)
