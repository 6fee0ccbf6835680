"""Marks untrusted text in a chat template's input, to find the origin of each part of its output.

The marks are Unicode noncharacters: reserved for use inside a program, and replaced where a content has them itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

BREAK = "\ufdd0"
"""Breaks a forged special text; the prompt is tokenized in two parts here."""
_OPEN, _NUMBERED, CLOSE, _PICTURE = "\ufdd1", "\ufdd2", "\ufdd3", "\ufdd4"

_RESERVED = re.compile("[\ud800-\udfff\ufdd0-\ufdef]")
_MARK = re.compile(f"([{_OPEN}{_PICTURE}][0-9]+{_NUMBERED}|{BREAK}|{CLOSE})")


@dataclass(frozen=True, slots=True)
class Literal:
    """Text of the template, or of the content opened last."""

    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The start of the content with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The end of the content opened last."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The position where a special text is broken in two."""


@dataclass(frozen=True, slots=True)
class Pictured:
    """Here stands the picture with this number, from 0 on."""

    number: int


Part = Literal | Opened | Closed | Broken | Pictured


def cleaned(text: str) -> str:
    """Remove marks and unpaired surrogates from `text`."""
    return _RESERVED.sub("\ufffd", text)


def opening(number: int) -> str:
    """Return the mark that begins the content with this number."""
    return f"{_OPEN}{number}{_NUMBERED}"


def pictured(number: int) -> str:
    """The mark that stands for a picture."""
    return f"{_PICTURE}{number}{_NUMBERED}"


def wrapped(number: int, text: str) -> str:
    """Put marks around `text`, even if empty."""
    return f"{opening(number)}{text}{CLOSE}"


def marked(number: int, text: str) -> str:
    """Put marks around `text` inside its outer blanks, which the template may strip; an empty text stays empty."""
    core = text.strip()
    if not core:
        return text
    start = len(text) - len(text.lstrip())
    end = start + len(core)
    return text[:start] + wrapped(number, core) + text[end:]


def unmarked(text: str) -> str:
    """Remove all marks from `text`."""
    return _MARK.sub("", text)


def parts(text: str) -> Iterator[Part]:
    """Split the text at its marks."""
    for piece in _MARK.split(text):
        if piece == BREAK:
            yield Broken()
        elif piece == CLOSE:
            yield Closed()
        elif piece.startswith(_OPEN):
            yield Opened(int(piece[1:-1]))
        elif piece.startswith(_PICTURE):
            yield Pictured(int(piece[1:-1]))
        elif piece:
            yield Literal(piece)
