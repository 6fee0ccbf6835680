"""Pictures of the screen as text: what stands in each row, and in which style.

`just snap` writes them anew. In a picture's second half a row is a run of lengths and letters, `3a 77b`; the legend says what style each
letter is. Rows that look like the one before are left out.
"""

from __future__ import annotations

import os
import re
from itertools import groupby
from pathlib import Path
from string import ascii_letters
from typing import Any

from rich.color import Color, ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual.app import App

FOLDER = Path(__file__).parent
WRITE = os.environ.get("XCHAT_SNAPSHOTS") == "write"
"""Read when the tests are collected: each test runs without the variables of xchat."""

CLOCK = re.compile(r"\b\d\d:\d\d:\d\d\b")
"""A time of day is never the same twice."""

MARKS = ("bold", "dim", "italic", "underline", "reverse", "strike")


def named(style: Style | None, depth: ColorSystem) -> str:
    """A style as a person reads it: `#e0e0e0 on #101010 bold`."""
    if style is None:
        return "plain"
    words = [colour(style.color, depth), "on", colour(style.bgcolor, depth), *(mark for mark in MARKS if getattr(style, mark))]
    return " ".join(words)


def colour(of: Color | None, depth: ColorSystem) -> str:
    """A colour by its hexadecimal number, or by the name that a terminal gives it."""
    if of is None:
        return "default"
    of = of.downgrade(depth)
    return of.triplet.hex if of.triplet is not None else of.name if depth is ColorSystem.TRUECOLOR else f"color({of.number})"


def picture(app: App[Any], depth: ColorSystem) -> str:
    """The screen of a program as a terminal of so many colours gets it."""
    letters: dict[str, str] = {}
    texts: list[str] = []
    rows: list[str] = []
    for strip in app.screen._compositor.render_strips():
        texts.append(CLOCK.sub("hh:mm:ss", strip.text.rstrip()))
        cells = [(named(segment.style, depth), segment) for segment in Segment.strip_links(strip) if segment.text and not segment.control]
        runs = []
        for style, group in groupby(cells, key=lambda cell: cell[0]):
            letter = letters.setdefault(style, (ascii_letters * 9)[len(letters)])
            runs.append(f"{sum(segment.cell_length for _, segment in group)}{letter}")
        rows.append(" ".join(runs))
    changed = [f"{number:3} {row}" for number, row in enumerate(rows) if number == 0 or row != rows[number - 1]]
    assert len(letters) <= len(ascii_letters), "two styles have one letter"
    legend = [f"{letter} = {style}" for style, letter in letters.items()]
    return "\n".join([*(f"│{text}" for text in texts), "", *changed, "", *legend, ""])


def compare(app: App[Any], name: str, depth: ColorSystem = ColorSystem.TRUECOLOR) -> None:
    """Compare the screen with the picture of this name; `just snap` writes the picture first."""
    path, seen = FOLDER / f"{name}.txt", picture(app, depth)
    if WRITE:
        path.write_text(seen, encoding="utf-8")
    assert path.exists(), f"there is no picture {name}: run `just snap`"
    assert seen.splitlines() == path.read_text("utf-8").splitlines(), f"{name} looks different; if it should, run `just snap`"
