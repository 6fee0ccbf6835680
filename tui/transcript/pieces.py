"""Splits text into pieces that are rendered and cached separately.

A Markdown piece is a top-level block. Long fences and lists are split, so that the cost of a chunk does not grow with the answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

LIVE_FENCE_LINES = 16
"""Lines per piece of a growing code block; each flush highlights only the last piece."""
WHOLE_FENCE_LINES = 200
"""Lines per piece of a finished code block; long enough to highlight strings and comments correctly."""
LIST_LINES = 24
_NUMBER = re.compile(r"( *)(\d{1,9})(?=[.)])")
PLAIN_LINES = 50
LONG_LINES = 60
"""Most lines of a user's text that is shown whole."""
FIRST_LINES = 20
"""Lines shown of a longer one."""
_FILE = re.compile(r"^(?P<fence>`{3,})\S+ (?P<name>[^\n`]+)\n(?P<body>(?:.*?\n)?)(?P=fence)$", re.MULTILINE | re.DOTALL)
"""A file as `engine.attachments` sends it: a fence with a language and a name."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that can be rendered by itself."""

    source: str
    closed: bool = True
    """Whether the block ends with this piece and a blank line follows; otherwise the next piece continues it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a message of the user."""

    source: str
    title: str = ""
    """Its title while folded, such as `main.py, 120 lines`; empty for text."""

    @property
    def folded(self) -> bool:
        """Whether it is a file or a long text."""
        return bool(self.title)


def split_user(text: str) -> list[Part]:
    """Split a message of the user into text, files and long texts."""
    parts, at = [], 0
    for match in _FILE.finditer(text):
        if words := text[at : match.start()].strip("\n"):
            parts += _shortened(words)
        count = match["body"].count("\n")
        parts.append(Part(match[0].strip("\n"), f"{match['name']}, {count:,} {'line' if count == 1 else 'lines'}"))
        at = match.end()
    if words := text[at:].strip("\n") if at else text:
        parts += _shortened(words)
    return parts or [Part(text)]


def _shortened(words: str) -> list[Part]:
    """Split a long text into its first lines and the folded rest."""
    lines = words.split("\n")
    if len(lines) <= LONG_LINES:
        return [Part(words)]
    rest = lines[FIRST_LINES:]
    return [Part("\n".join(lines[:FIRST_LINES])), Part("\n".join(rest), f"{len(rest):,} more lines")]


@cache
def _block_parser() -> MarkdownIt:
    """Make a parser that finds blocks only."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("inline").disable("reference")


def split_markdown(source: str, *, fence_lines: int = WHOLE_FENCE_LINES) -> list[Piece]:
    """Split Markdown at block boundaries, long fences every `fence_lines`, long lists at items; never empty."""
    lines = source.split("\n")
    tokens = _block_parser().parse(source)
    blocks = [(token, token.map) for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
    if not blocks:
        return [Piece(source)]
    begins = [0, *(span[0] for _, span in blocks[1:])]
    ends = [*begins[1:], len(lines)]
    pieces: list[Piece] = []
    for (token, _), begin, end in zip(blocks, begins, ends, strict=True):
        part = lines[begin:end]
        if token.type == "fence" and len(part) > fence_lines + 4:
            pieces.extend(_cut_fence(part, token, fence_lines))
        elif token.type in {"bullet_list_open", "ordered_list_open"} and len(part) > LIST_LINES + 4:
            pieces.extend(_cut_list(part, [item - begin for item in _items(tokens, token)], _start(token)))
        else:
            pieces.append(Piece("\n".join(part)))
    return pieces


def _cut_fence(lines: list[str], token: Token, every: int) -> Iterator[Piece]:
    head = f"{token.markup}{token.info}"
    begin = 1 + next(index for index, line in enumerate(lines) if line.strip().startswith(token.markup))
    while len(lines) - begin > every + 4:
        yield Piece("\n".join([head, *lines[begin : begin + every], token.markup]), closed=False)
        begin += every
    yield Piece("\n".join([head, *lines[begin:]]))


def _start(token: Token) -> int | None:
    return int(token.attrs.get("start", 1)) if token.type == "ordered_list_open" else None


def _items(tokens: list[Token], of: Token) -> list[int]:
    begin, end = of.map or (0, 0)
    return [
        token.map[0]
        for token in tokens
        if token.type == "list_item_open" and token.level == 1 and token.map and begin <= token.map[0] < end
    ]


def _cut_list(lines: list[str], items: list[int], start: int | None) -> Iterator[Piece]:
    begin = 0
    for index, item in enumerate(items):
        if item - begin >= LIST_LINES:
            yield Piece("\n".join(lines[begin:item]), closed=False)
            begin = item
            if start is not None:
                _number(lines, item, items[index + 1] if index + 1 < len(items) else len(lines), start + index)
    yield Piece("\n".join(lines[begin:]))


def _number(lines: list[str], begin: int, end: int, number: int) -> None:
    """Set the number of an item, since Markdown counts from the first item, which is in another piece."""
    marker = _NUMBER.match(lines[begin])
    if marker is None or int(marker[2]) == number:
        return
    wider = len(str(number)) - len(marker[2])
    lines[begin] = f"{marker[1]}{number}{lines[begin][marker.end() :]}"
    for index in range(begin + 1, end):
        if lines[index].strip() and wider > 0:
            lines[index] = " " * wider + lines[index]


def split_plain(text: str) -> list[Piece]:
    """Split plain text every `PLAIN_LINES` lines; never empty."""
    lines = text.split("\n")
    groups = [lines[begin : begin + PLAIN_LINES] for begin in range(0, len(lines), PLAIN_LINES)]
    return [Piece("\n".join(group), closed=group is groups[-1]) for group in groups]


def code_blocks(source: str) -> list[str]:
    """Return the code of all code blocks in Markdown, including those in lists and quotes."""
    return [token.content.rstrip("\n") for token in _block_parser().parse(source) if token.type in {"fence", "code_block"}]
