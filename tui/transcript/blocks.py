"""Blocks of the transcript: a text, its kind, and its rendered rows, cached per width and look.

A rendered row takes about 2 KB, so `Layout` drops the least recently used ones; the height of a block stays known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip

from engine.text import drawable
from tui.transcript.look import GUTTER, Look

WIDEST = 116
"""Largest width of text in cells, since longer rows are hard to read."""
NARROWEST = 12


class Kind(Enum):
    """The kind of a block; determines how it is drawn."""

    USER_LABEL = auto()
    ASSISTANT_LABEL = auto()
    SYSTEM_LABEL = auto()
    USER_TEXT = auto()
    USER_FOLD = auto()
    """A file or a long text of the user, folded to one row."""
    PLAIN = auto()
    MARKDOWN = auto()
    THOUGHT_HEAD = auto()
    THOUGHT = auto()
    NOTE = auto()
    """Timings and the reason why an answer ended."""
    FAILURE = auto()
    SWITCH = auto()
    """The settings changed between two answers."""


@dataclass(slots=True, eq=False)
class Block:
    """One cached part of a message."""

    kind: Kind
    source: str
    gap: int = 0
    """Blank lines after it."""
    aside: str = ""
    """Text beside a label, such as `2/3`."""
    _lines: list[Strip] | None = field(default=None, repr=False)
    _height: int | None = field(default=None, repr=False)
    _key: tuple[int, Look] | None = field(default=None, repr=False)

    def change(self, source: str, *, aside: str | None = None) -> None:
        """Change the text; it is rendered again when next shown."""
        self.source = source
        if aside is not None:
            self.aside = aside
        self._lines = self._height = None

    def drop_lines(self) -> None:
        """Free the rendered lines; they are rendered again on demand."""
        self._lines = None

    def height(self, width: int, look: Look) -> int:
        """Number of rows: exact when rendered, else a cheap estimate."""
        if self._height is not None and self._key == (width, look):
            return self._height
        return 1 + self.source.count("\n") + len(self.source) // max(NARROWEST, min(WIDEST, width - GUTTER - 1)) + self.gap

    def lines(self, width: int, look: Look) -> list[Strip]:
        """Rendered rows, each `width` cells wide including the gutter."""
        if self._lines is None or self._key != (width, look):
            self._lines = _compose(self, width, look)
            self._height, self._key = len(self._lines), (width, look)
        return self._lines


_MARKS = {Kind.THOUGHT: "│ ", Kind.SWITCH: "─ "}
"""Prefix of each line of a block, by kind."""

_STYLES = {
    Kind.USER_LABEL: "label_user",
    Kind.ASSISTANT_LABEL: "label_assistant",
    Kind.SYSTEM_LABEL: "label_system",
    Kind.USER_TEXT: "user_text",
    Kind.USER_FOLD: "user_text",
    Kind.THOUGHT_HEAD: "thinking",
    Kind.THOUGHT: "thinking",
    Kind.NOTE: "faint",
    Kind.FAILURE: "failure",
    Kind.SWITCH: "muted",
}


def _compose(block: Block, width: int, look: Look) -> list[Strip]:
    room = max(NARROWEST, min(WIDEST, width - GUTTER - 1))
    rows = _rows(block, room, look)
    of_user = block.kind in {Kind.USER_LABEL, Kind.USER_TEXT, Kind.USER_FOLD}
    fill = look.base + Style(bgcolor=look.user_text.bgcolor) if of_user else look.base
    gutter = Segment("▎ ", look.label_user) if of_user else Segment(" " * GUTTER)
    blank = Strip.blank(width, look.base)
    strips = [Strip([gutter, *row]).adjust_cell_length(width).apply_style(fill) for row in rows]
    return strips + [blank] * block.gap


def _rows(block: Block, room: int, look: Look) -> list[list[Segment]]:
    if block.kind is Kind.MARKDOWN:
        return _markdown_rows(block.source, room, look)
    style: Style = getattr(look, _STYLES[block.kind]) if block.kind in _STYLES else Style()
    text = Text(drawable(block.source))
    text.stylize(style)  # a style given to Text itself is lost by Text.render when it has no spans (Rich 15)
    if block.aside:
        text.append(f"  {block.aside}", look.muted)
    indent = [Segment(_MARKS[block.kind], look.rule)] if block.kind in _MARKS else []
    lines = text.wrap(look.console, max(1, room - GUTTER * len(indent)), overflow="fold", tab_size=4)
    return [[*indent, *(Segment(part, part_style) for part, part_style, _ in line.render(look.console) if part)] for line in lines]


def _markdown_rows(source: str, room: int, look: Look) -> list[list[Segment]]:
    from tui.transcript.markdown import markdown_lines, shows_all

    if not source.strip():
        return []
    try:
        rows = markdown_lines(source, room, look)
        complete = shows_all(source, rows)
    except Exception:  # noqa: BLE001 - show plain text when a parser or highlighter fails on a model's output
        complete = False
    if not complete:
        lines = Text(drawable(source)).wrap(look.console, room, overflow="fold", tab_size=4)
        rows = [[*line.render(look.console, end="")] for line in lines]
    shown = [index for index, row in enumerate(rows) if any(segment.text.strip() or _filled(segment) for segment in row)]
    return rows[shown[0] : shown[-1] + 1] if shown else []


def _filled(segment: Segment) -> bool:
    return segment.style is not None and segment.style.bgcolor is not None
