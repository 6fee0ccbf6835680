"""Which turns of a conversation go into the prompt when not all of them fit into the context window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

FILL = 0.7
"""Share of the room that is used after turns were left out; the rest lets the prompt grow for some turns with a stable beginning."""


@dataclass(frozen=True, slots=True)
class Window:
    """A conversation in numbers of tokens."""

    sizes: Sequence[int]
    """Of each message."""
    turn_starts: Sequence[int]
    """Index of the first message of each turn, ascending, the first of them 0."""
    base: int
    """What the prompt needs besides these messages: system prompt, template."""
    room: int
    """Most tokens that the prompt may have."""

    def first_kept(self, before: int) -> int:
        """Index of the oldest message to keep, given the one of the turn before.

        Everything, if it fits. Else as before, as long as that fits; a fresh cut keeps `FILL` of the room. The last turn always stays.
        """
        needed = self._needed_from()
        if needed[0] <= self.room:
            return 0
        goal = self.room * FILL
        fresh = next((start for start in self.turn_starts if needed[start] <= goal), self.turn_starts[-1])
        return before if before in self.turn_starts and before <= fresh and needed[before] <= self.room else fresh

    def _needed_from(self) -> list[int]:
        return [self.base + tail for tail in reversed(list(accumulate(reversed(self.sizes))))]
