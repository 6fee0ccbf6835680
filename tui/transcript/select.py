"""Selects text of the transcript with the mouse.

Textual identifies a position by (character, line). Rows here move while text arrives and estimates are corrected, so a row is identified by
its entry, block and row within the block; the order is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.selection import Selection
from textual.strip import Strip

from tui.transcript.blocks import Block
from tui.transcript.look import GUTTER
from tui.transcript.messages import Entry

_BLOCK_BITS = 24
_LINE_BITS = 24


def line_key(entry: int, block: int, line: int) -> int:
    """Return a number for a row that stays valid while the transcript moves."""
    return (entry << _BLOCK_BITS | block) << _LINE_BITS | line


def highlight(strip: Strip, span: tuple[int, int], style: Style) -> Strip:
    """Apply `style` to the characters `span` of a strip; an end of -1 is the end of the row."""
    text = strip.text
    begin, end = span
    end = len(text.rstrip()) if end == -1 else end
    begin = max(begin, GUTTER)
    if end <= begin:
        return strip
    left, right = cell_len(text[:begin]), cell_len(text[:end])
    chosen = [Segment(segment.text, segment.style + style if segment.style else style) for segment in strip.crop(left, right)]
    return Strip.join([strip.crop(0, left), Strip(chosen, right - left), strip.crop(right)])


def extract(entries: Sequence[Entry], selection: Selection, lines_of: Callable[[Block], Sequence[Strip]]) -> str:
    """Return the selected text as drawn, without gutter and padding."""
    first = selection.start.y if selection.start is not None else 0
    last = selection.end.y if selection.end is not None else line_key(len(entries), 0, 0)
    lines: list[str] = []
    for index in range(min(first >> _BLOCK_BITS + _LINE_BITS, len(entries)), len(entries)):
        for number, block in enumerate(entries[index].blocks()):
            if line_key(index, number + 1, 0) <= first:
                continue
            if line_key(index, number, 0) > last:
                return "\n".join(lines)
            for line, strip in enumerate(lines_of(block)):
                span = selection.get_span(line_key(index, number, line))
                if span is not None:
                    text = strip.text.rstrip()
                    lines.append(text[max(GUTTER, span[0]) : len(text) if span[1] == -1 else span[1]])
    return "\n".join(lines)
