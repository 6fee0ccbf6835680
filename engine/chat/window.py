"""Chooses the turns of the prompt when not all of them fit into the context window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

FILL = 0.7
"""Share of the room used after leaving out turns; the rest lets the prompt grow with a stable prefix."""


@dataclass(frozen=True, slots=True)
class Window:
    """The token counts of a conversation."""

    sizes: Sequence[int]
    """Tokens of each message."""
    turn_starts: Sequence[int]
    """Index of the first message of each turn, ascending, the first of them 0."""
    base: int
    """Tokens besides these messages: system prompt, template."""
    room: int
    """Most tokens that the prompt may have."""

    def first_kept(self, before: int) -> int:
        """Return the index of the oldest message to keep, given that of the last turn.

        All messages, if they fit; else the same as before, if that fits and cuts no more than needed; else a fresh cut.
        """
        needed = self._needed_from()
        if needed[0] <= self.room:
            return 0
        fresh = self.fresh_cut()
        return before if before in self.turn_starts and before <= fresh and needed[before] <= self.room else fresh

    def fresh_cut(self) -> int:
        """Return the oldest turn that fits into `FILL` of the room; the last turn always stays."""
        needed = self._needed_from()
        return next((start for start in self.turn_starts if needed[start] <= self.room * FILL), self.turn_starts[-1])

    def _needed_from(self) -> list[int]:
        """Return the tokens of the prompt for each message as the first one kept."""
        return [self.base + tail for tail in reversed(list(accumulate(reversed(self.sizes))))]
