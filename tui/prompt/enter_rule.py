"""Whether Enter sends the message or belongs to a paste that came as single keys.

Terminals without bracketed paste, and tmux's `paste-buffer`, deliver a paste as typing: Enter at each line end. Sending each line
would be a disaster, so Enter sends only when nothing follows it at once.
"""

from __future__ import annotations

from enum import Enum, auto

TIGHT_S = 0.008
"""Keys closer than this were not typed by a person."""
WAIT_S = 0.06
"""How long to look whether more follows an Enter that came tight behind another key."""
PASTE_ENDS_S = 0.3
"""A paste of several lines is over after so long a silence; a slow line delivers it in pieces."""


class Verdict(Enum):
    """What to do with an Enter."""

    SEND = auto()
    NEWLINE = auto()
    WAIT = auto()
    """Send if nothing comes within `WAIT_S`; else it was a line end (call `was_newline`)."""


class EnterRule:
    """Told of every key and paste with its time (seconds, any monotonic clock)."""

    def __init__(self) -> None:
        self._last_s = float("-inf")
        self._pasting = False

    def key(self, now_s: float) -> None:
        """A key other than Enter arrived."""
        if now_s - self._last_s > PASTE_ENDS_S:
            self._pasting = False
        self._last_s = now_s

    def burst(self, text: str, now_s: float) -> None:
        """A paste without brackets arrived; more of it may follow."""
        self.key(now_s)
        self._pasting = self._pasting or "\n" in text or "\r" in text

    def bracketed(self) -> None:
        """A paste with brackets arrived, which says itself where it ends."""
        self._last_s = float("-inf")
        self._pasting = False

    def was_newline(self) -> None:
        """More followed the Enter that waited."""
        self._pasting = True

    def enter(self, now_s: float) -> Verdict:
        """Enter arrived."""
        gap = now_s - self._last_s
        self._last_s = now_s
        if self._pasting and gap <= PASTE_ENDS_S:
            return Verdict.NEWLINE
        self._pasting = False
        return Verdict.WAIT if gap < TIGHT_S else Verdict.SEND
