"""The policies: the treatment of each table of characters at each destination. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import chain
from pathlib import Path

from engine.text.tables import (
    ALL,
    BIDI,
    BREAKS,
    C1,
    CONTROLS,
    FLAGS,
    HIDDEN,
    JOINERS,
    MODIFIERS,
    SEPARATORS,
    VARIANTS,
    Characters,
    becoming,
    pictures,
)

MAX_TEXT = 200
"""Most characters of a text shown in a line."""

TITLE_LENGTH = 200
"""Most characters of a title."""

_LOST = "\N{REPLACEMENT CHARACTER}"


@cache
def _candidates() -> re.Pattern[str]:
    """Compile a pattern of all characters that a policy may change, except newlines and tabs, on first use."""
    codes = chain.from_iterable(chain.from_iterable(ALL))
    spans = [(code, code) for code in sorted(codes) if code not in (0x09, 0x0A)]
    merged = [spans[0]]
    for first, last in spans[1:]:
        if first == merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return re.compile(f"[{''.join(f'{chr(92)}U{first:08x}-{chr(92)}U{last:08x}' for first, last in merged)}]")


_VARIANTS = frozenset(becoming("", VARIANTS))


def _policy(becomes: dict[str, str], *, kept: tuple[Characters, ...] = (), dropped: tuple[Characters, ...] = ()) -> Callable[[str], str]:
    """Make a policy: replace by `becomes`, keep `kept`, remove `dropped`, and show every other candidate as a replacement character.

    Of several variation selectors in a row only the first one stays, since texts are hidden in them. `str.translate` is ten times as fast
    as a regular expression on ASCII, and six times as slow on everything else.
    """
    answers = becoming("", *dropped) | {character: character for character in becoming("", *kept)} | becomes
    ascii_only = str.maketrans({character: to for character, to in answers.items() if character < "\x80"})

    def replacement(match: re.Match[str]) -> str:
        character = match[0]
        if character in _VARIANTS and match.string[max(0, match.start() - 1)] in _VARIANTS:
            return ""
        return answers.get(character, _LOST)

    def policy(text: str) -> str:
        return text.translate(ascii_only) if text.isascii() else _candidates().sub(replacement, text)

    return policy


_LINES = pictures("\n\t\r") | becoming("\n", SEPARATORS) | {"\r": ""}
_LETTERS = {chr(code): chr(ord("A") + index) for index, code in enumerate(FLAGS[0])}

_visible = _policy(_LINES, kept=(BREAKS, JOINERS, VARIANTS, MODIFIERS, FLAGS), dropped=(BIDI, HIDDEN))
_drawable = _policy(_LINES | _LETTERS, dropped=(BIDI, HIDDEN, BREAKS, JOINERS, VARIANTS, MODIFIERS))
_printable = _policy(pictures(), kept=(JOINERS, VARIANTS, MODIFIERS, FLAGS))
_title = _policy(becoming(" ", CONTROLS, C1, SEPARATORS), kept=(JOINERS, VARIANTS, MODIFIERS, FLAGS), dropped=(BIDI, HIDDEN, BREAKS))


def visible(text: str) -> str:
    """Show control characters as symbols (ESC becomes ␛), and remove bidi marks and hidden characters.

    Newlines and tabs stay. Carriage returns go, since they would overwrite the line. Joined emoji and variation selectors stay.
    """
    return _visible(text)


def drawable(text: str) -> str:
    """Apply `visible`, and split joined emoji; for drawing only.

    Terminals and multiplexers disagree on the width of joined emoji, flags and skin tones; single code points have one width. Zero-width
    joiners go too, which costs a few ligatures.
    """
    return _drawable(text)


def one_line(text: str) -> str:
    """Apply `drawable`, and put the text on one line: runs of white space become one space."""
    return _drawable(" ".join(text.split()))


def printable(text: str, limit: int = MAX_TEXT) -> str:
    """Put `text` on one line of at most `limit` characters, with control characters as symbols and other active or hidden ones replaced."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return cut if cut.isascii() and cut.isprintable() else _printable(cut).replace("\n", "␊").replace("\t", "␉")


def file_name(path: Path) -> str:
    """Return the name of a file, for a sentence."""
    return printable(path.name or str(path))


def clean_title(title: str, limit: int = TITLE_LENGTH) -> str:
    """Make a title one line of at most `limit` characters, without line breaks and terminal escapes."""
    line = " ".join(_title(storable(title[: limit * 4])).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def storable(text: str) -> str:
    """Make text valid UTF-8: halves of surrogate pairs, which a terminal can send, are joined or replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
