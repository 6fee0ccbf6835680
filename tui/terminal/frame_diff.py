"""Tracks the cells that the terminal shows, to send only changed ones.

Textual paints whole widgets: a key in the prompt repaints its box, a new screen repaints everything. Most of these cells are unchanged. The
rest is sent compactly: colours only where they change, runs of blanks as one erasure.

Uses these private parts of Textual 8.2, each covered by a test: `textual._compositor` (`CompositorUpdate`, `LayoutUpdate`, `ChopsUpdate`)
and `App._display`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import split_graphemes
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

from tui.terminal.ascii import ASCII_DRAWING

NEAR = 10
"""Longest run of unchanged cells that is sent anyway, since moving the cursor costs as many bytes."""

ERASE_FROM = 12
"""Length from which a run of blanks is erased instead of written."""

RESET = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Look:
    """Visible style of a cell, without links, metadata and the foreground of a blank."""

    attributes: str = ""
    """SGR numbers of bold, underline and the like."""
    ink: Color | None = None
    paper: Color | None = None


_PLAIN = Look()
_BLANK = " "
_UNKNOWN = (_BLANK, _PLAIN)
_SECOND = ""
"""The text of a cell covered by the wide character before it."""

_ATTRIBUTES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "21", "51", "52", "53")
"""SGR numbers in the order of Rich's attribute bits."""
_SEEN_ON_BLANKS = 0b1_1111_0100_1000
"""Attribute bits that show on a blank: underlines, overline and strike, reverse, frames."""

_ONE_COLUMN = re.compile("[ -\u02ff\u2010-\u2e7f]*")
"""Characters that every terminal draws one column wide."""

_Cell = tuple[str, Look]


@dataclass(slots=True)
class _Row:
    """A row of the terminal."""

    cells: list[_Cell | None]
    """The cells; None has unknown contents."""
    plain: bool = True
    """Whether every terminal draws each of its characters in one column."""
    coarse: bool = False
    """Whether it was sent in at most 256 colours."""


@lru_cache(maxsize=1024)
def _one(attributes: str, ink: Color | None, paper: Color | None) -> Look:
    """Return a shared object per look, for fast comparison."""
    return Look(attributes, ink, paper)


def _look(style: Style | None, *, blank: bool) -> Look:
    if style is None:
        return _PLAIN
    bits = style._attributes & style._set_attributes
    if blank and not bits & _SEEN_ON_BLANKS:
        return _one("", None, style.bgcolor)
    numbers = ";".join(number for place, number in enumerate(_ATTRIBUTES) if bits >> place & 1)
    return _one(numbers, style.color, style.bgcolor)


@lru_cache(maxsize=2048)
def _texts(text: str, *, ascii_only: bool) -> tuple[str, ...]:
    """Return the text of each cell; combining marks are in the cell of their base character."""
    if text.isascii():
        return tuple(text)
    cells: list[str] = []
    for start, end, width in split_graphemes(text)[0]:
        if width:
            cells += [text[start:end], *[_SECOND] * (width - 1)]
        elif cells:
            cells[-1] += text[start:end]
    if ascii_only:
        cells = [cell if cell.isascii() and cell else "?" for cell in (cell.translate(ASCII_DRAWING) for cell in cells)]
    return tuple(cells)


@lru_cache(maxsize=4096)
def _cells(text: str, style: Style | None, ascii_only: bool) -> tuple[tuple[_Cell, ...], bool]:
    """Return the cells of a text, and whether they are plain."""
    ink, blank = _look(style, blank=False), _look(style, blank=True)
    cells = tuple([(cell, blank if cell == _BLANK else ink) for cell in _texts(text, ascii_only=ascii_only)])
    return cells, _is_plain(cells)


def _is_plain(cells: Sequence[_Cell | None]) -> bool:
    text = "".join([cell[0] if cell is not None else _BLANK for cell in cells])
    return len(text) == len(cells) and (text.isascii() or _ONE_COLUMN.fullmatch(text) is not None)


@lru_cache(maxsize=1024)
def _colour(colour: Color | None, depth: ColorSystem, *, ink: bool) -> str:
    if colour is None:
        return "39" if ink else "49"
    return ";".join(colour.downgrade(depth).get_ansi_codes(ink))


@lru_cache(maxsize=4096)
def _turn(pen: Look, look: Look, depth: ColorSystem) -> str:
    """Return the SGR sequence that changes the pen from one look to another."""
    if pen == look:
        return ""
    if look == _PLAIN:
        return RESET
    codes = [look.attributes] if look.attributes and pen.attributes != look.attributes else []
    reset = bool(pen.attributes) and pen.attributes != look.attributes
    before = _PLAIN if reset else pen
    if before.ink != look.ink:
        codes.append(_colour(look.ink, depth, ink=True))
    if before.paper != look.paper:
        codes.append(_colour(look.paper, depth, ink=False))
    return f"\x1b[{';'.join(['0', *codes] if reset else codes)}m"


class Picture:
    """The cells that the terminal shows, as far as known."""

    def __init__(self, *, erases: bool = True, ascii_only: bool = False) -> None:
        """`erases`: the terminal erases cells with the current background colour, which GNU screen doesn't."""
        self.coarse = False
        """Whether to send at most 256 colours, half the bytes of exact ones. Changed rows are converted whole, the others by `converted`.
        """
        self.owing = False
        """Whether an update was skipped as too large for the connection; the whole screen is repainted later."""
        self._erases = erases
        self._ascii_only = ascii_only
        self._rows: list[_Row] = []
        self._width = 0

    def forget(self) -> None:
        """Mark all cells as unknown, after a resize or another program."""
        self._rows = []
        self._width = 0

    def changes(self, update: LayoutUpdate | ChopsUpdate, depth: ColorSystem, *, at_most: int | None = None) -> str:
        """Return the output that makes the terminal show this update; empty when it already does.

        If that is more than `at_most` characters, returns nothing and sets `owing`.
        """
        if isinstance(update, LayoutUpdate):
            self._fit(update.region.right, update.region.bottom)
        wanted: dict[int, _Row] = {}
        for y, x, strip in _painted(update):
            if y not in wanted:
                before = self._row(y)
                wanted[y] = _Row(list(before.cells), before.plain, before.coarse)
            self._paint(wanted[y], x, strip)
        for y, row in wanted.items():
            if at_most is None and row.cells != self._rows[y].cells:
                row.coarse = self.coarse
        sent = "".join(self._sent(y, row, depth) for y, row in wanted.items())
        if at_most is not None and len(sent) > at_most:
            self.owing = True
            return ""
        for y, row in wanted.items():
            self._rows[y] = row
        return sent and sent + RESET

    @property
    def mixed(self) -> bool:
        """Whether rows are shown in another colour depth than the current one."""
        return any(row.coarse is not self.coarse for row in self._rows)

    def converted(self, depth: ColorSystem, *, rows: int) -> str:
        """Return the output that converts `rows` more rows to the current colour depth."""
        sent: list[str] = []
        for y, row in enumerate(self._rows):
            if row.coarse is not self.coarse and len(sent) < rows:
                changed = self._rows[y] = _Row(row.cells, row.plain, self.coarse)
                if depth is ColorSystem.TRUECOLOR and None not in row.cells:
                    sent.append(self._sent_part(y, changed, [(0, len(row.cells))], depth))
        return "".join(sent) and "".join(sent) + RESET

    def _fit(self, width: int, height: int) -> None:
        if (width, height) != (self._width, len(self._rows)):
            self._width = width
            self._rows = [self._unknown_row() for _ in range(height)]

    def _row(self, y: int) -> _Row:
        while y >= len(self._rows):
            self._rows.append(self._unknown_row())
        return self._rows[y]

    def _unknown_row(self) -> _Row:
        return _Row([None] * self._width, coarse=self.coarse)

    def _paint(self, row: _Row, x: int, strip: Strip) -> None:
        all_plain = row.plain
        for text, style, control in strip:
            if control:
                continue
            cells, plain = _cells(text, style, self._ascii_only)
            end = x + len(cells)
            if end > len(row.cells):
                row.cells.extend([None] * (end - len(row.cells)))
            if not row.plain:
                _halve(row.cells, x)
                _halve(row.cells, end)
            row.cells[x:end] = cells
            all_plain = all_plain and plain
            x = end
        row.plain = all_plain or _is_plain(row.cells)

    def _sent(self, y: int, row: _Row, depth: ColorSystem) -> str:
        before = self._rows[y]
        if row.coarse is not before.coarse and depth is ColorSystem.TRUECOLOR:
            return self._sent_part(y, row, [(0, len(row.cells))], depth)
        return self._sent_part(y, row, _runs(before, row), depth) if row.cells != before.cells else ""

    def _sent_part(self, y: int, row: _Row, runs: Iterable[tuple[int, int]], depth: ColorSystem) -> str:
        if row.coarse and depth is ColorSystem.TRUECOLOR:
            depth = ColorSystem.EIGHT_BIT
        sent: list[str] = []
        pen = _PLAIN
        for start, end in runs:
            sent.append(f"\x1b[{y + 1};{start + 1}H")
            run, pen = self._run(row.cells[start:end], pen, depth)
            sent.append(run)
        if pen != _PLAIN:
            sent.append(RESET)
        return "".join(sent)

    def _run(self, cells: Sequence[_Cell | None], pen: Look, depth: ColorSystem) -> tuple[str, Look]:
        sent: list[str] = []
        place = 0
        count = len(cells)
        while place < count:
            cell = cells[place]
            text, look = cell or _UNKNOWN
            length = 1
            if text == _BLANK:
                while place + length < count and cells[place + length] == cell:
                    length += 1
                erasable = length >= ERASE_FROM and self._erases and not look.attributes
                if look is not pen and look.paper == pen.paper and not look.attributes and not _shows_on_blanks(pen):
                    look = pen
                if erasable:
                    text = f"\x1b[{length}X" if place + length == count else f"\x1b[{length}X\x1b[{length}C"
                else:
                    text *= length
            if look is not pen:
                sent.append(_turn(pen, look, depth))
                pen = look
            sent.append(text)
            place += length
        return "".join(sent), pen


def _shows_on_blanks(pen: Look) -> bool:
    return bool(pen.attributes) and any(_SEEN_ON_BLANKS >> _ATTRIBUTES.index(number) & 1 for number in pen.attributes.split(";"))


def _halve(row: list[_Cell | None], x: int) -> None:
    """Replace a wide character that is cut at `x` by blanks."""
    if x < len(row) and (cell := row[x]) is not None and cell[0] == _SECOND:
        row[x - 1], row[x] = (_BLANK, cell[1]), (_BLANK, cell[1])


def _runs(before: _Row, row: _Row) -> Iterator[tuple[int, int]]:
    """Yield the spans of a row to send. A row with characters of uncertain width is sent whole."""
    if not before.plain or not row.plain:
        yield 0, len(row.cells)
        return
    pairs = enumerate(zip(row.cells, before.cells, strict=False))
    differing = [place for place, (cell, old) in pairs if cell is not old and cell != old]
    differing += range(len(before.cells), len(row.cells))
    start = end = differing[0]
    for place in differing:
        if place - end > NEAR:
            yield start, end
            start = place
        end = place + 1
    yield start, end


def _painted(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Yield the strips of an update with the position of their first cell: y, x."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in strips:
                yield y, x, strip
                x += strip.cell_length
        return
    for y, x1, x2 in update.spans:
        for end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if chop is not None and x <= x2 and end > x1:
                yield y, x, chop if end <= x2 else chop.crop(0, x2 - x)


class Difference(CompositorUpdate):
    """A Textual update that sends only changed cells. Must be rendered exactly when it is sent."""

    def __init__(self, picture: Picture, update: LayoutUpdate | ChopsUpdate, *, at_most: int | None = None) -> None:
        self._picture = picture
        self._update = update
        self._at_most = at_most

    def render_segments(self, console: Console) -> str:
        """Return the sequence to send."""
        return self._picture.changes(self._update, console._color_system or ColorSystem.TRUECOLOR, at_most=self._at_most)


class Conversion(CompositorUpdate):
    """Converts a few more rows to the current colour depth, after `Picture.coarse` has changed."""

    def __init__(self, picture: Picture, *, rows: int) -> None:
        self._picture = picture
        self._rows = rows

    def render_segments(self, console: Console) -> str:
        """Return the sequence to send."""
        return self._picture.converted(console._color_system or ColorSystem.TRUECOLOR, rows=self._rows)
