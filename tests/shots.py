"""Pictures of the program, drawn cell by cell on an exact grid: for the README, and for looking at one's own work.

    python -m tests.shots OUT.svg --columns 120 --rows 36 -- xchat

runs the command in tmux and draws what `capture-pane` shows. `--type TEXT` types first (`\\r` is Enter), `--wait SECONDS` or
`--until TEXT` says when to look. Braille, blocks and lines are drawn by hand, since fonts disagree about their cells.
"""

from __future__ import annotations

import argparse
import io
import shlex
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from rich.ansi import AnsiDecoder
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.app import App

CELL = (10, 20)
FONTS = Path("/usr/share/fonts/truetype/dejavu")
BACKGROUND = (18, 18, 18)
FOREGROUND = (224, 224, 224)

Rgb = tuple[int, int, int]
Box = tuple[int, int, int, int]
_DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
_ARMS = {  # box drawing: which of left, right, up, down a line goes to
    "─": "lr", "━": "lr", "│": "ud", "┃": "ud", "┌": "rd", "╭": "rd", "┐": "ld", "╮": "ld", "└": "ru", "╰": "ru", "┘": "lu", "╯": "lu",
    "├": "rud", "┤": "lud", "┬": "lrd", "┴": "lru", "┼": "lrud", "╷": "d", "╵": "u", "╴": "l", "╶": "r",
}  # fmt: skip


def _font(bold: bool, italic: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSansMono" + ("-" if bold or italic else "") + ("Bold" if bold else "") + ("Oblique" if italic else "")
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), 16)


def _rgb(colour: Color | None, default: Rgb) -> Rgb:
    if colour is None or colour.is_default:
        return default
    red, green, blue = colour.get_truecolor()
    return red, green, blue


class Svg:
    """What an `ImageDraw` draws, as SVG: runs of equal rectangles become one, the letters of a line that share a style one element."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._boxes: list[tuple[int, int, int, int, Rgb]] = []
        self._lines: dict[tuple[Rgb, int], list[str]] = {}
        self._letters: dict[tuple[int, Rgb, bool, bool], list[tuple[int, str]]] = {}

    def rectangle(self, xy: Box, fill: Rgb) -> None:
        """A filled rectangle; the right and lower edge belong to it."""
        x, y, right, bottom = xy
        if self._boxes and self._boxes[-1][1:] == (y, x - 1, bottom, fill):
            x = self._boxes.pop()[0]
        self._boxes.append((x, y, right, bottom, fill))

    def line(self, xy: Box, fill: Rgb, width: int = 1) -> None:
        """A line along one axis."""
        x, y, to_x, to_y = xy
        self._lines.setdefault((fill, width), []).append(f"M{x + 0.5:g} {y + 0.5:g}L{to_x + 0.5:g} {to_y + 0.5:g}")

    def text(self, xy: tuple[int, int], text: str, font: ImageFont.FreeTypeFont, fill: Rgb) -> None:
        """A letter."""
        style = font.getname()[1] or ""
        self._letters.setdefault((xy[1], fill, "Bold" in style, "Oblique" in style), []).append((xy[0], text))

    def __str__(self) -> str:
        width, height = self._size
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="monospace" font-size="16">']
        parts += [
            f'<path fill="{_hex(fill)}" d="M{x} {y}h{right - x + 1}v{bottom - y + 1}h{x - right - 1}z"/>'
            for x, y, right, bottom, fill in self._boxes
        ]
        parts += [
            f'<path stroke="{_hex(fill)}" stroke-width="{width}" d="{"".join(path)}"/>' for (fill, width), path in self._lines.items()
        ]
        for (y, fill, bold, italic), letters in self._letters.items():
            looks = (' font-weight="bold"' if bold else "") + (' font-style="italic"' if italic else "")
            places = " ".join(str(x) for x, _ in letters)
            text = escape("".join(letter for _, letter in letters))
            parts.append(f'<text x="{places}" y="{y + 15}" fill="{_hex(fill)}"{looks}>{text}</text>')
        return "\n".join((*parts, "</svg>\n"))


def _hex(colour: Rgb) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


class _Painter:
    def __init__(self, columns: int, rows: int, background: Rgb, *, vector: bool) -> None:
        size = (columns * CELL[0], rows * CELL[1])
        self._background = background
        self.image = Image.new("RGB", size, background)
        self.vector = Svg(*size)
        self._draw: Any = self.vector if vector else ImageDraw.Draw(self.image)
        self._draw.rectangle((0, 0, size[0] - 1, size[1] - 1), fill=background)
        self._fonts = {(bold, italic): _font(bold, italic) for bold in (False, True) for italic in (False, True)}

    def text(self, column: int, row: int, text: str, style: Style) -> int:
        """Draw a run of one style; returns the column after it."""
        ink, paper = _rgb(style.color, FOREGROUND), _rgb(style.bgcolor, self._background)
        if style.reverse:
            ink, paper = paper, ink
        if style.dim:
            ink = tuple((one + other) // 2 for one, other in zip(ink, paper, strict=True))  # type: ignore[assignment]
        for character in text:
            width = cell_len(character)
            if width:
                self._cell(column, row, character, width, style, ink, paper)
            column += width
        return column

    def _cell(self, column: int, row: int, character: str, width: int, style: Style, ink: Rgb, paper: Rgb) -> None:
        x, y, code = column * CELL[0], row * CELL[1], ord(character)
        right, bottom = x + width * CELL[0] - 1, y + CELL[1] - 1
        draw = self._draw
        draw.rectangle((x, y, right, bottom), fill=paper)
        if 0x2800 <= code <= 0x28FF:
            for across, down in (dot for bit, dot in enumerate(_DOTS) if code - 0x2800 >> bit & 1):
                draw.rectangle((x + 2 + across * 5, y + 2 + down * 5, x + 3 + across * 5, y + 3 + down * 5), fill=ink)
        elif 0x2581 <= code <= 0x2588:
            draw.rectangle((x, bottom + 1 - CELL[1] * (code - 0x2580) // 8, right, bottom), fill=ink)
        elif 0x2589 <= code <= 0x258F:
            draw.rectangle((x, y, x + max(CELL[0] * (0x2590 - code) // 8, 1) - 1, bottom), fill=ink)
        elif code == 0x2580:
            draw.rectangle((x, y, right, y + CELL[1] // 2 - 1), fill=ink)
        elif character in _ARMS:
            self._lines(x, y, _ARMS[character], ink, thick=character in "━┃")
        elif character.strip():
            draw.text((x, y + 1), character, font=self._fonts[bool(style.bold), bool(style.italic)], fill=ink)
        if style.underline:
            draw.line((x, bottom - 1, right, bottom - 1), fill=ink)
        if style.strike:
            draw.line((x, y + CELL[1] // 2, right, y + CELL[1] // 2), fill=ink)

    def _lines(self, x: int, y: int, arms: str, ink: Rgb, *, thick: bool) -> None:
        middle_x, middle_y, width = x + CELL[0] // 2, y + CELL[1] // 2, 3 if thick else 1
        ends = {"l": (x, middle_y), "r": (x + CELL[0] - 1, middle_y), "u": (middle_x, y), "d": (middle_x, y + CELL[1] - 1)}
        for arm in arms:
            self._draw.line((middle_x, middle_y, *ends[arm]), fill=ink, width=width)


def draw(rows: Sequence[Iterable[Segment]], columns: int) -> Image.Image:
    """A picture of rows of styled text."""
    return _painted(rows, columns, vector=False).image


def save(rows: Sequence[Iterable[Segment]], columns: int, out: Path) -> None:
    """Write a picture of rows of styled text, as SVG or in a format of Pillow by the name of the file."""
    if out.suffix == ".svg":
        out.write_text(str(_painted(rows, columns, vector=True).vector), "utf-8")
    else:
        draw(rows, columns).save(out)


def _painted(rows: Sequence[Iterable[Segment]], columns: int, *, vector: bool) -> _Painter:
    lines = [list(segments) for segments in rows]
    # What was erased instead of written is missing in a capture: it has the paper that most of the screen has.
    papers = Counter(style.bgcolor for line in lines for text, style, _ in line if style and style.bgcolor for _cell in text)
    painter = _Painter(columns, len(lines), _rgb(papers.most_common(1)[0][0], BACKGROUND) if papers else BACKGROUND, vector=vector)
    for row, segments in enumerate(lines):
        column = 0
        for text, style, control in segments:
            if not control:
                column = painter.text(column, row, text, style or Style())
    return painter


def shoot(app: App[Any], out: Path) -> None:
    """A picture of a running app, for tests and scripts."""
    draw([list(strip) for strip in app.screen._compositor.render_strips()], app.size.width).save(out)


def rows_of_ansi(captured: str, columns: int) -> list[list[Segment]]:
    """The rows of text with escape sequences, as `tmux capture-pane -epN` prints it."""
    console = Console(file=io.StringIO(), width=columns, color_system="truecolor", force_terminal=True)
    return [list(line.render(console)) for line in AnsiDecoder().decode(captured.rstrip("\n"))]


class TmuxScreen:
    """A command on a screen of its own in a private tmux server."""

    def __init__(self, command: Sequence[str], columns: int, rows: int) -> None:
        self._socket = f"shots-{uuid.uuid4().hex[:8]}"
        size = ("-x", str(columns), "-y", str(rows))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "-s", "shot", "env COLORTERM=truecolor " + shlex.join(command))
        self._tmux("set", "-g", "status", "off")
        self._tmux("resize-window", "-t", "shot", *size)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self._socket, *arguments], capture_output=True, text=True, check=False)
        return done.stdout

    def type(self, text: str) -> None:
        """Type literally; `\\r` presses Enter, `<F1>` and the like press that key."""
        for index, part in enumerate(text.replace("\\r", "\r").split("\r")):
            if index:
                self._tmux("send-keys", "-t", "shot", "Enter")
            for position, piece in enumerate(part.split("<")):
                key, closing, rest = piece.partition(">")
                if position and closing:
                    self._tmux("send-keys", "-t", "shot", key)
                elif position:
                    rest = f"<{piece}"
                else:
                    rest = piece
                if rest:
                    self._tmux("send-keys", "-t", "shot", "-l", rest)

    def capture(self) -> str:
        """The screen with its colours."""
        return self._tmux("capture-pane", "-epN", "-t", "shot")

    def text(self) -> str:
        """The screen as plain text."""
        return self._tmux("capture-pane", "-p", "-t", "shot")

    def close(self) -> None:
        """End the command and its tmux server."""
        self._tmux("kill-server")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--rows", type=int, default=36)
    parser.add_argument("--type", action="append", default=[], metavar="TEXT")
    parser.add_argument("--wait", type=float, default=3.0, metavar="SECONDS")
    parser.add_argument("--until", metavar="TEXT", help="look as soon as this text is on the screen, for at most 60 seconds")
    parser.usage = "python -m tests.shots OUT.png [options] -- COMMAND..."
    dashes = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = parser.parse_args(sys.argv[1:dashes])
    screen = TmuxScreen(sys.argv[dashes + 1 :] or ["xchat"], options.columns, options.rows)
    try:
        for text in options.type:
            time.sleep(1.0)
            screen.type(text)
        deadline = time.monotonic() + (60.0 if options.until else options.wait)
        while time.monotonic() < deadline and not (options.until and options.until in screen.text()):
            time.sleep(0.2)
        save(rows_of_ansi(screen.capture(), options.columns), options.columns, options.out)
    finally:
        screen.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
