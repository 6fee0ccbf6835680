"""Decides whether Enter sends the message or belongs to a paste that arrived as single keys.

Terminals without bracketed paste, and tmux's `paste-buffer`, deliver a paste as typed keys, with Enter at each line end. Enter therefore
sends only when nothing follows it immediately.
"""

from __future__ import annotations

from enum import Enum, auto

TIGHT_S = 0.008
"""Gap between keys below which they were not typed by hand."""
WAIT_S = 0.06
"""Wait for more input after an Enter that closely follows another key."""
PASTE_ENDS_S = 0.3
"""Silence after which a paste of several lines is over; a slow connection delivers it in pieces."""


class Verdict(Enum):
    """The meaning of an Enter."""

    SEND = auto()
    NEWLINE = auto()
    WAIT = auto()
    """Send if nothing follows within `WAIT_S`; otherwise it was a line end (call `was_newline`)."""


class EnterRule:
    """Classifies each Enter by the times of keys and pastes (seconds, any monotonic clock)."""

    def __init__(self) -> None:
        self._last_s = float("-inf")
        self._pasting = False

    def key(self, now_s: float) -> None:
        """Record a key other than Enter."""
        if now_s - self._last_s > PASTE_ENDS_S:
            self._pasting = False
        self._last_s = now_s

    def burst(self, text: str, now_s: float) -> None:
        """Record a paste without brackets; more of it may follow."""
        self.key(now_s)
        self._pasting = self._pasting or "\n" in text or "\r" in text

    def bracketed(self) -> None:
        """Record a bracketed paste, which is complete."""
        self._last_s = float("-inf")
        self._pasting = False

    def was_newline(self) -> None:
        """Record that input followed a waiting Enter."""
        self._pasting = True

    def enter(self, now_s: float) -> Verdict:
        """Classify an Enter."""
        gap = now_s - self._last_s
        self._last_s = now_s
        if self._pasting and gap <= PASTE_ENDS_S:
            return Verdict.NEWLINE
        self._pasting = False
        return Verdict.WAIT if gap < TIGHT_S else Verdict.SEND
