"""KV states of sequences that lost their cells, in RAM: copying one back is hundreds of times cheaper than prefilling it again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from engine.llama.kv import SavedState, SequenceCache, checkpoint_before, common_prefix


class SavedStates:
    """A bounded store of states. New ones replace the least recently used, never those of waiting turns."""

    def __init__(self, most_bytes: int, *, cuttable: bool) -> None:
        """`cuttable`: whether restored states can be truncated anywhere."""
        self._most_bytes = most_bytes
        self._cuttable = cuttable
        self._states: list[SavedState] = []
        """Used longest ago first."""
        self._needed: dict[int, SavedState] = {}
        """States of waiting turns, by turn."""

    @property
    def used_bytes(self) -> int:
        """Bytes of all states."""
        return sum(saved.size for saved in (*self._states, *self._needed.values()))

    def put(self, cache: SequenceCache, turn: int | None = None) -> None:
        """Save the state of a sequence, for the turn that goes on from it or for any; nothing happens when there is no room for it."""
        room = self._most_bytes - sum(saved.size for saved in self._needed.values())
        saved = None
        with suppress(MemoryError):
            saved = cache.saved(room) if room > 0 else None
        if saved is None:
            return
        if turn is not None:
            self._needed[turn] = saved
        else:
            self.add(saved)
        self._trim()

    def add(self, saved: SavedState) -> None:
        """Add a state for any turn, instead of those that it continues."""
        self._states = [other for other in self._states if common_prefix(other.tokens, saved.tokens) < len(other.tokens)]
        self._states.append(saved)
        self._trim()

    def has(self, turn: int | None) -> bool:
        """Return whether there is a state of this turn."""
        return turn in self._needed

    def forget(self, turn: int) -> None:
        """Drop the state of a turn that has ended."""
        self._needed.pop(turn, None)

    def longest(self, prompt: Sequence[int], turn: int | None = None) -> tuple[int, SavedState | None]:
        """Most tokens that a prompt could reuse of a state, and the state; for `turn` that is the one saved for it."""
        own = self._needed.get(turn) if turn is not None else None
        best = own or max(self._states, key=lambda saved: self._usable(saved, prompt), default=None)
        return (0, None) if best is None else (len(prompt) if best is own else self._usable(best, prompt), best)

    def take(self, saved: SavedState) -> None:
        """Remove a restored state."""
        self._states = [other for other in self._states if other is not saved]
        self._needed = {turn: other for turn, other in self._needed.items() if other is not saved}

    def _trim(self) -> None:
        while self._states and self.used_bytes > self._most_bytes:
            del self._states[0]

    def _usable(self, saved: SavedState, prompt: Sequence[int]) -> int:
        common = min(common_prefix(saved.tokens, prompt), len(prompt) - 1)
        return common if self._cuttable or common == len(saved.tokens) else checkpoint_before(saved.checkpoints, common)
