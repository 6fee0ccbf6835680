"""Detects pastes in terminal input, before Textual's own parser.

Two reasons: the parser processes a bracketed paste of megabytes one character at a time, and a paste without brackets (tmux's
`paste-buffer`, some terminals) would arrive as thousands of keys, line ends as Enter among them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

START = "\x1b[200~"
END = "\x1b[201~"

BURST = 64
"""Least number of plain characters at once for a paste, more than typing over a connection that stalled for a second."""

BURST_GAP_S = 0.03
"""Input that follows a burst within this time belongs to it."""

LOST_END_S = 1.0
"""Time after the last character of a bracketed paste at which it ends without its end marker."""


@dataclass(frozen=True, slots=True)
class Typed:
    """Input to parse into keys and mouse events."""

    text: str


@dataclass(frozen=True, slots=True)
class Pasted:
    """Text to insert verbatim."""

    text: str
    bracketed: bool = True
    """Whether the terminal marked it; otherwise it was detected by its amount, and more may follow."""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The last unfinished sequence was the start of a paste's marker; the parser must drop it."""


Part = Typed | Pasted | Withdrawn


class _Mode(Enum):
    TYPING = auto()
    PASTE = auto()


_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|\Z)")
"""Matches keys and mouse reports that come as escape sequences."""
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*|O)?\Z")


def _is_burst(text: str, *, at_least: int) -> bool:
    """Return whether at least `at_least` plain characters came at once; repeated keys and mouse reports do not count."""
    typed = _SEQUENCE.sub("", text)
    plain = sum(character.isprintable() or character in "\r\n\t" for character in typed)
    return plain >= at_least and plain >= len(typed) * 0.8


class PasteSplitter:
    """Splits input into typed and pasted parts; markers may be split anywhere."""

    def __init__(self) -> None:
        self._mode = _Mode.TYPING
        self._tail = ""
        """End of the typed input, where a split marker may have started."""
        self._paste = ""
        self._paste_pieces: list[str] = []
        self._last_s = 0.0
        self._burst_s = -BURST_GAP_S

    def feed(self, text: str, now_s: float) -> list[Part]:
        """Classify input read at `now_s` (any monotonic clock)."""
        self._last_s = now_s
        found: list[Part] = []
        while text:
            text = self._in_paste(text, found) if self._mode is _Mode.PASTE else self._typing(text, found)
        return found

    def tick(self, now_s: float) -> list[Part]:
        """Return a paste whose end marker was lost; call periodically."""
        if self._mode is not _Mode.PASTE or now_s - self._last_s < LOST_END_S:
            return []
        self._mode = _Mode.TYPING
        return [Pasted(self._take_paste())]

    def _typing(self, text: str, found: list[Part]) -> str:
        torn = (self._tail + text).find(START)
        start = text.find(START)
        if 0 <= torn < len(self._tail):
            rest = (self._tail + text)[torn + len(START) :]
            self._mode = _Mode.PASTE
            self._tail = ""
            found.append(Withdrawn())
            return rest
        if start < 0:
            at_least = 1 if self._last_s - self._burst_s < BURST_GAP_S else BURST
            if not _UNFINISHED.search(self._tail) and _is_burst(text, at_least=at_least):
                self._burst_s = self._last_s
                self._take_burst(text, found)
            else:
                self._hand_to_parser(text, found)
            return ""
        if start:
            self._hand_to_parser(text[:start], found)
        self._mode = _Mode.PASTE
        self._tail = ""
        return text[start + len(START) :]

    def _take_burst(self, text: str, found: list[Part]) -> None:
        """Split a burst: an Enter at the end of a single line sends it; line ends inside belong to the paste."""
        if "\r" not in text[:-1] and "\n" not in text:
            body = text.removesuffix("\r")
            found.append(Pasted(body, bracketed=False))
            if body != text:
                self._hand_to_parser("\r", found)
        else:
            found.append(Pasted(text, bracketed=False))

    def _in_paste(self, text: str, found: list[Part]) -> str:
        joined = self._paste + text
        end = joined.find(END)
        if end < 0:
            keep = len(END) - 1
            self._paste_pieces.append(joined[:-keep])
            self._paste = joined[-keep:]
            return ""
        self._paste = joined[:end]
        found.append(Pasted(self._take_paste()))
        self._mode = _Mode.TYPING
        return joined[end + len(END) :]

    def _take_paste(self) -> str:
        text = "".join([*self._paste_pieces, self._paste])
        self._paste_pieces.clear()
        self._paste = ""
        return text

    def _hand_to_parser(self, text: str, found: list[Part]) -> None:
        self._tail = (self._tail + text)[-(len(START) - 1) :]
        found.append(Typed(text))
