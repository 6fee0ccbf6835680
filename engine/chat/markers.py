"""Marks around untrusted text in a chat template, which show the origin of each part of its output.

The marks are Unicode noncharacters: reserved for use inside a program, and replaced where a content has them itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BREAK = "\ufdd0"
"""Stands inside a forged special text; the prompt is tokenized in two parts here."""
_OPEN, _NUMBERED, CLOSE = "\ufdd1", "\ufdd2", "\ufdd3"

_RESERVED = re.compile("[\ud800-\udfff\ufdd0-\ufdef]")
_MARK = re.compile(f"({_OPEN}[0-9]+{_NUMBERED}|{BREAK}|{CLOSE})")


@dataclass(frozen=True, slots=True)
class Literal:
    """Text of the template, or of the content opened last."""

    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Here the content with this number begins."""

    number: int


@dataclass(frozen=True, slots=True)
class Closed:
    """Here the content opened last ends."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Here a special text is broken in two."""


Part = Literal | Opened | Closed | Broken


def cleaned(text: str) -> str:
    """`text` without our marks and unpaired surrogates."""
    return _RESERVED.sub("\ufffd", text)


def opening(number: int) -> str:
    """The mark that begins the content with this number."""
    return f"{_OPEN}{number}{_NUMBERED}"


def wrapped(number: int, text: str) -> str:
    """`text` with marks around it, even an empty one."""
    return f"{opening(number)}{text}{CLOSE}"


def marked(number: int, text: str) -> str:
    """`text` with marks around all but its outer blanks, which the template may still strip; an empty text stays empty."""
    core = text.strip()
    if not core:
        return text
    start = len(text) - len(text.lstrip())
    end = start + len(core)
    return text[:start] + wrapped(number, core) + text[end:]


def unmarked(text: str) -> str:
    """`text` without any marks."""
    return _MARK.sub("", text)


def parts(text: str) -> Iterator[Part]:
    """The text taken apart at its marks."""
    for piece in _MARK.split(text):
        if piece == BREAK:
            yield Broken()
        elif piece == CLOSE:
            yield Closed()
        elif piece.startswith(_OPEN):
            yield Opened(int(piece[1:-1]))
        elif piece:
            yield Literal(piece)
