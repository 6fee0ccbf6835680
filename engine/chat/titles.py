"""Makes a session's title from its first message."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from itertools import accumulate

from engine.text import clean_title

MAX_TITLE_CELLS = 60
"""Widest title, in terminal cells."""

_JOINERS = "\u200c\u200d"


def session_title(text: str, max_cells: int = MAX_TITLE_CELLS) -> str:
    """Return one line of at most `max_cells` cells without control characters; empty when nothing visible is left."""
    line = clean_title(text)
    if sum(map(_cells, line)) <= max_cells:
        return line
    used = list(accumulate(map(_cells, line)))
    kept = bisect_right(used, max_cells - 1)
    head = line[:kept].rstrip(_JOINERS)
    word_end = head.rfind(" ")
    if line[kept] != " " and word_end >= len(head) // 2:
        head = head[:word_end]
    return head.rstrip() + "…"


def _cells(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
