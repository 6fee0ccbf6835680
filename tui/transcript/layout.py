"""Layout of the conversation: renders the visible rows, estimates the others. Independent of widgets."""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice

from rich.segment import Segment
from textual.strip import Strip

from tui.transcript.blocks import Block
from tui.transcript.look import GUTTER, Look
from tui.transcript.messages import Entry, Pages, Place
from tui.transcript.select import line_key

LINES_KEPT = 1_000
"""Most rendered lines kept, in addition to visible ones."""

NO_KEY = -1
"""Key of a row without a message."""


class Layout:
    """All entries, laid out to a width; positions are rows from the start of the conversation."""

    def __init__(self) -> None:
        self.pages = Pages()
        self.width = 0
        self.rows = 0
        self._look: Look | None = None
        self._rendered: OrderedDict[Block, int] = OrderedDict()
        """Blocks with rendered lines, by their number, the least recently used first."""
        self._lines_kept = 0

    @property
    def entries(self) -> list[Entry]:
        """The messages, oldest first."""
        return self.pages.entries

    @property
    def look(self) -> Look:
        """The current styles."""
        assert self._look is not None, "fit() comes first"
        return self._look

    @property
    def ready(self) -> bool:
        """Whether size and styles are known."""
        return self._look is not None and self.width > 0 and self.rows > 0

    @property
    def height(self) -> int:
        """Rows of the whole conversation; estimated for those never shown."""
        return self.pages.height(self.width, self.look)

    def fit(self, width: int, rows: int, look: Look) -> None:
        """Set size and look."""
        if (width, look) != (self.width, self._look):
            self.pages.remeasure()
        self.width, self.rows, self._look = width, rows, look

    def cut(self, length: int) -> None:
        """Remove all entries from `length` on."""
        self.pages.cut(length)
        if not length:
            self._rendered.clear()
            self._lines_kept = 0

    def lines(self, block: Block) -> list[Strip]:
        """Return the lines of a block, and keep them cached."""
        lines = block.lines(self.width, self.look)
        self._lines_kept += len(lines) - self._rendered.pop(block, 0)
        self._rendered[block] = len(lines)
        while self._lines_kept > LINES_KEPT and len(self._rendered) > self.rows:  # at most as many blocks as rows are visible
            dropped, height = self._rendered.popitem(last=False)
            dropped.drop_lines()
            self._lines_kept -= height
        return lines

    def place(self, y: int) -> Place | None:
        """Return the place at row `y`; None below the end."""
        return self.pages.place(y, self.width, self.look)

    def top(self, index: int) -> int:
        """First row of an entry."""
        return self.pages.top(index, self.width, self.look)

    def line_of(self, place: Place | None) -> int:
        """Current row of a place, or the nearest existing one."""
        if place is None or place.entry >= len(self.entries):
            return 0
        blocks = self.entries[place.entry].blocks()
        before = sum(block.height(self.width, self.look) for block in islice(blocks, place.block))
        within = min(place.line, blocks[place.block].height(self.width, self.look) - 1) if place.block < len(blocks) else 0
        return self.top(place.entry) + before + max(0, within)

    def render_end(self) -> None:
        """Render one screen of rows at the end."""
        missing = self.rows
        for index in reversed(range(len(self.entries))):
            if missing <= 0:
                return
            missing -= self._render_entry_up(index, missing)

    def render_above(self, place: Place, lines: int) -> None:
        """Render `lines` rows above a place."""
        missing = lines - place.line
        missing -= self._render_entry_up(place.entry, missing, below=place.block)
        for index in reversed(range(place.entry)):
            if missing <= 0:
                return
            missing -= self._render_entry_up(index, missing)

    def render_from(self, y: int) -> int:
        """Render one screen of rows from row `y` down; returns its row afterwards."""
        place = self.place(y)
        if place is None:
            return y
        first = self.entries[place.entry]
        if not first.opened:
            first.open()
            self.pages.touch(place.entry)
            place = self.place(y) or Place(place.entry, 0, 0)
        missing = self.rows + place.line
        for index in range(place.entry, len(self.entries)):
            entry = self.entries[index]
            entry.open()
            for block in entry.blocks()[place.block if index == place.entry else 0 :]:
                if missing <= 0:
                    break
                missing -= len(self.lines(block))
            self.pages.touch(index)
            if missing <= 0:
                break
        return self.line_of(place)

    def _render_entry_up(self, index: int, lines: int, *, below: int | None = None) -> int:
        entry = self.entries[index]
        entry.open()
        done = 0
        for block in reversed(entry.blocks()[:below]):
            if done >= lines:
                break
            done += len(self.lines(block))
        self.pages.touch(index)
        return done

    def window(self, top: Place | None, chosen: int | None) -> tuple[list[Strip], list[int]]:
        """Visible rows from `top` with their keys, padded with blank ones; the selected entry is marked."""
        strips: list[Strip] = []
        keys: list[int] = []
        for index in range(top.entry if top else 0, len(self.entries) if top else 0):
            blocks = self.entries[index].blocks()
            at_top = top is not None and index == top.entry
            for number in range(top.block if top and at_top else 0, len(blocks)):
                skip = top.line if top and at_top and number == top.block else 0
                lines = self.lines(blocks[number])
                marked = len(lines) - (blocks[number].gap if number == len(blocks) - 1 else 0) if index == chosen else 0
                strips += [*map(self._marked, lines[skip:marked]), *lines[max(skip, marked) :]]
                keys += [line_key(index, number, line) for line in range(skip, len(lines))]
                if len(strips) >= self.rows:
                    return strips[: self.rows], keys[: self.rows]
        missing = self.rows - len(strips)
        return strips + [Strip.blank(self.width, self.look.base)] * missing, keys + [NO_KEY] * missing

    def _marked(self, strip: Strip) -> Strip:
        mark = Strip([Segment("▌ ", self.look.base + self.look.chosen)], GUTTER)
        return Strip.join([mark, strip.crop(GUTTER)])
