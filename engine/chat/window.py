"""Chooses the turns of the prompt when not all of them fit into the context window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

FILL = 0.7
"""Share of the room that is used after turns were left out; the rest lets the prompt grow with a stable beginning."""


@dataclass(frozen=True, slots=True)
class Window:
    """A conversation in numbers of tokens."""

    sizes: Sequence[int]
    """Of each message."""
    turn_starts: Sequence[int]
    """Index of the first message of each turn, ascending, the first of them 0."""
    base: int
    """Tokens besides these messages: system prompt, template."""
    room: int
    """Most tokens that the prompt may have."""

    def first_kept(self, before: int) -> int:
        """Index of the oldest message to keep, given the one of the turn before.

        Everything, if it fits. Else as before, as long as that fits and no longer cut than needed; else a fresh cut.
        """
        needed = self._needed_from()
        if needed[0] <= self.room:
            return 0
        fresh = self.fresh_cut()
        return before if before in self.turn_starts and before <= fresh and needed[before] <= self.room else fresh

    def fresh_cut(self) -> int:
        """The oldest turn with which `FILL` of the room is enough; the last turn always stays."""
        needed = self._needed_from()
        return next((start for start in self.turn_starts if needed[start] <= self.room * FILL), self.turn_starts[-1])

    def _needed_from(self) -> list[int]:
        """Tokens of the prompt when each message is the first one kept."""
        return [self.base + tail for tail in reversed(list(accumulate(reversed(self.sizes))))]
