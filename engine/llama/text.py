"""Streams tokens as text: whole UTF-8 characters, with stop strings that may span tokens."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MAX_CHARACTER_BYTES: Final = 4
"""Bytes of the longest character in UTF-8."""


class PieceTable:
    """The bytes of each token, cached."""

    def __init__(self, n_vocab: int, piece_of: Callable[[int], bytes]) -> None:
        self._pieces: list[bytes | None] = [None] * n_vocab
        self._piece_of = piece_of

    def __getitem__(self, token: int) -> bytes:
        """Return the bytes that `token` adds to a text; empty for control tokens."""
        piece = self._pieces[token]
        if piece is None:
            piece = self._pieces[token] = self._piece_of(token)
        return piece


class StopScanner:
    """Finds the first stop string in a text that arrives in pieces; holds back a possible beginning of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in dict.fromkeys(stops) if stop)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """Add text; return the text that is safe to show, without a stop string, and whether one ended it."""
        if not self._stops:
            return text, False
        pending = self._held + text
        hits = [at for stop in self._stops if (at := pending.find(stop)) >= 0]
        if hits:
            self._held = ""
            return pending[: min(hits)], True
        keep = self._possible_beginning(pending)
        self._held = pending[len(pending) - keep :]
        return pending[: len(pending) - keep], False

    def flush(self) -> str:
        """Return the text that is held back."""
        held, self._held = self._held, ""
        return held

    def _possible_beginning(self, pending: str) -> int:
        """Return the length of the longest end of `pending` that begins a stop string."""
        for length in range(min(self._longest - 1, len(pending)), 0, -1):
            end = pending[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text that a token completed."""

    text: str
    stopped: bool


class TextStream:
    """The text of one answer, token by token."""

    def __init__(
        self, pieces: PieceTable, stops: Sequence[str], before: Sequence[int] = (), shown: Mapping[int, bytes] | None = None
    ) -> None:
        """`before`: the tokens in front of the answer; a character that they leave unfinished is completed by the answer.

        `shown` are texts of control tokens, which else have none.
        """
        self._pieces = pieces
        self._shown = shown or {}
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._utf8.decode(b"".join(pieces[token] for token in before[-MAX_CHARACTER_BYTES:]))
        self._stops = StopScanner(stops)

    def feed(self, token: int) -> Decoded:
        """Add a token; return the text that it completes, empty while a character or a possible stop string is unfinished."""
        return Decoded(*self._stops.feed(self._utf8.decode(self._shown.get(token) or self._pieces[token])))

    def finish(self, *, stopped: bool, cut: bool = False) -> str:
        """Return the text held back at the end of the answer: empty after a stop string, else an unfinished character replaced.

        Of an answer that was `cut`, an unfinished character is left out: it is completed when the answer is continued.
        """
        if stopped:
            return ""
        text, ended = self._stops.feed("" if cut else self._utf8.decode(b"", final=True))
        return text if ended else text + self._stops.flush()


def whole_text(pieces: PieceTable, tokens: Sequence[int]) -> str:
    """Return the visible text of `tokens`, invalid UTF-8 replaced."""
    return b"".join(pieces[token] for token in tokens).decode("utf-8", "replace")
