"""Mirrors the content of a sequence of the KV cache: reuse by prompts and other sequences, and checkpoints where it can't be cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.backend import MemoryKind
from engine.llama.context import Memory
from engine.llama.pool.cells import Cells

MAX_CHECKPOINTS: Final = 24
"""Most checkpoints per sequence."""
CHECKPOINT_EVERY: Final = 1024
"""Tokens of a long prompt between two checkpoints."""
CHECKPOINT_APART: Final = 64
"""Least distance of two checkpoints at boundaries; each costs a call."""
CHECKPOINT_TAIL: Final = 8
"""Tokens after the last checkpoint of a prompt: the generation prompt, which often differs in the next one."""
_BLOCK: Final = 256
"""Tokens compared at once."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The part of a sequence's state that can't be cut back, as it was before the token at `position`."""

    position: int
    state: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SavedState:
    """The whole state of a sequence, and its checkpoints."""

    tokens: list[int]
    state: NDArray[np.uint8]
    checkpoints: tuple[Checkpoint, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.state.size + sum(checkpoint.state.size for checkpoint in self.checkpoints)


@dataclass(frozen=True, slots=True)
class Reuse:
    """The part of the KV cache that a new prompt reuses."""

    cached: int
    """Tokens that need not be evaluated again."""
    diverged_at: int | None
    """First position where the prompt differs from the cached tokens; None when there were no more."""
    restored_checkpoint: bool


class SequenceCache:
    """Mirror of one sequence: the token ids in the native memory.

    The KV cache of attention models can be cut anywhere. Recurrent and hybrid models have one state that every token changes, and
    sliding-window models have dropped tokens that a shorter text would need; they return to a checkpoint, or start again.
    """

    def __init__(
        self, memory: Memory, seq: int, kind: MemoryKind, *, n_swa: int, checkpoint_bytes: int, cells: Cells | None = None
    ) -> None:
        self._memory = memory
        self._cells = cells or Cells(seq + 1)
        self._seq = seq
        self._kind = kind
        self._n_swa = n_swa
        self._checkpoint_bytes = checkpoint_bytes
        self._checkpoints: list[Checkpoint] = []
        self._trusted = True
        self.tokens: list[int] = []
        """Token ids, oldest first, without the running batch."""

    @property
    def uses_checkpoints(self) -> bool:
        """Whether cutting needs saved states."""
        return self._kind is not MemoryKind.ATTENTION

    @property
    def checkpoint_positions(self) -> tuple[int, ...]:
        """Positions of the checkpoints, ascending."""
        return tuple(checkpoint.position for checkpoint in self._checkpoints)

    def reuse(self, prompt: Sequence[int]) -> Reuse:
        """Keep the longest usable common prefix with `prompt` and remove the rest.

        At least the last token of the prompt is left to evaluate, because logits are not kept.
        """
        common = common_prefix(self.tokens, prompt)
        diverged_at = common if common < len(self.tokens) else None
        keep = min(common, len(prompt) - 1)
        restored = False
        if keep < len(self.tokens) or not self._trusted:
            restored = self._go_back(keep)
        return Reuse(len(self.tokens), diverged_at, restored)

    def reusable(self, prompt: Sequence[int]) -> int:
        """Number of tokens that `reuse` would keep for `prompt`, here or in a sequence that borrowed from this one."""
        common = min(common_prefix(self.tokens, prompt), len(prompt) - 1)
        if self._trusted and (common == len(self.tokens) or self._can_cut(common)):
            return common
        return checkpoint_before(self._checkpoints, common)

    def borrow(self, other: SequenceCache, prompt: Sequence[int]) -> None:
        """Replace the content by the part of another sequence of the same KV cache that `prompt` reuses.

        The cells are shared; of sliding-window models they are copied, since the library never frees shared ones that the window has
        passed. Call `reuse` before going on.
        """
        if self._kind is MemoryKind.SLIDING_WINDOW:
            if (saved := other.saved()) is not None:
                self.restore(saved)
            return
        count = other.reusable(prompt) if self._kind is MemoryKind.ATTENTION else len(other.tokens)
        self.clear()
        self._memory.lend(other._seq, self._seq, count if count < len(other.tokens) else -1)
        self._cells.lend(other._seq, self._seq, count)
        self.tokens = other.tokens[:count]
        self._checkpoints = list(other._checkpoints)
        self._trusted = other._trusted

    def extend(self, tokens: Sequence[int]) -> None:
        """Record that `tokens` were evaluated."""
        self.tokens.extend(tokens)
        self._cells.hold(self._seq, len(self.tokens))

    def keep(self, count: int) -> None:
        """Remove what was evaluated after the first `count` tokens; only where the cache can be cut."""
        self._go_back(count)

    def aborted(self, batch: Sequence[int]) -> None:
        """Update the mirror after an aborted decode call with `batch` of this sequence in it; call `reuse` before going on."""
        if self._kind in (MemoryKind.HYBRID, MemoryKind.RECURRENT):
            # The native library restores positions but not the state, which includes a part of the batch.
            self._trusted = False
            return
        held = self._memory.last_position(self._seq) + 1
        self.tokens = [*self.tokens, *batch][:held]
        self._hold(len(self.tokens))
        self._trusted = self._can_cut(held)

    def clear(self) -> None:
        """Remove everything."""
        self._memory.cut(self._seq, 0)
        self._checkpoints = []
        self.tokens = []
        self._cells.hold(self._seq, 0)
        self._trusted = True

    def save(self, most_bytes: int | None = None) -> NDArray[np.uint8] | None:
        """Return the whole state, for another context; None when there is none that is valid, or it is too large."""
        if not self.tokens or not self._trusted:
            return None
        if most_bytes is not None and self._memory.saved_size(self._seq, partial=False) > most_bytes:
            return None
        return self._memory.save(self._seq, partial=False)

    def saved(self, most_bytes: int | None = None) -> SavedState | None:
        """Return the whole state with its checkpoints; None like `save`."""
        state = self.save(most_bytes)
        return SavedState(list(self.tokens), state, tuple(self._checkpoints)) if state is not None else None

    def restore(self, saved: SavedState) -> bool:
        """Replace the content by a saved state; False (and the sequence is empty) when that does not fit."""
        if not self.replace(saved.tokens, saved.state):
            return False
        self._checkpoints = list(saved.checkpoints)
        return True

    def replace(self, tokens: Sequence[int], state: NDArray[np.uint8]) -> bool:
        """Replace the content by a saved state; False (and the sequence is empty) when that does not fit."""
        self.clear()
        return self.adopt(tokens, state)

    def adopt(self, tokens: Sequence[int], state: NDArray[np.uint8]) -> bool:
        """Restore the state of another context; False (and the sequence is empty) when that does not fit."""
        if not self._memory.restore(self._seq, state, partial=False) or self._memory.last_position(self._seq) + 1 != len(tokens):
            self.clear()
            return False
        self.tokens = list(tokens)
        self._cells.hold(self._seq, len(self.tokens))
        return True

    def checkpoint(self) -> None:
        """Save the state, within the bounds for number and bytes."""
        position = len(self.tokens)
        if not self.uses_checkpoints or not self._trusted or not position or position in self.checkpoint_positions:
            return
        if self._memory.saved_size(self._seq, partial=True) > self._checkpoint_bytes:
            return
        state = self._memory.save(self._seq, partial=True)
        if state is None:
            return
        self._checkpoints.append(Checkpoint(position, state))
        self._checkpoints.sort(key=lambda checkpoint: checkpoint.position)
        while len(self._checkpoints) > MAX_CHECKPOINTS or sum(c.state.size for c in self._checkpoints) > self._checkpoint_bytes:
            del self._checkpoints[self._least_missed()]

    def _least_missed(self) -> int:
        """Return the index of the checkpoint (never the newest) whose loss costs the fewest tokens."""
        positions = [0, *self.checkpoint_positions]
        gaps = [late - early for early, late in pairwise(positions[:-1])]
        return gaps.index(min(gaps))

    def _go_back(self, keep: int) -> bool:
        """Keep at most the first `keep` tokens; returns whether a checkpoint was restored."""
        if keep > 0 and self._trusted and self._can_cut(keep) and self._memory.cut(self._seq, keep):
            self._hold(keep)
            return False
        fitting = [checkpoint for checkpoint in self._checkpoints if checkpoint.position <= keep]
        if fitting and self._memory.restore(self._seq, fitting[-1].state, partial=True):
            position = fitting[-1].position
            if self._memory.cut(self._seq, position) and self._memory.last_position(self._seq) == position - 1:
                self._trusted = True
                self._hold(position)
                return True
        self.clear()
        return False

    def _can_cut(self, keep: int) -> bool:
        """Return whether all tokens that the one at `keep` attends to are in the cache."""
        if self._kind is MemoryKind.ATTENTION:
            return True
        if self._kind is MemoryKind.SLIDING_WINDOW:
            return 0 <= self._memory.first_position(self._seq) <= max(0, keep - self._n_swa + 1)
        return False

    def _hold(self, count: int) -> None:
        del self.tokens[count:]
        self._cells.hold(self._seq, count)
        self._checkpoints = [checkpoint for checkpoint in self._checkpoints if checkpoint.position <= count]


def checkpoint_before(checkpoints: Sequence[Checkpoint], position: int) -> int:
    """Position of the last checkpoint that is not behind `position`; 0 without one."""
    return max((checkpoint.position for checkpoint in checkpoints if checkpoint.position <= position), default=0)


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common prefix."""
    length = min(len(left), len(right))
    for begin in range(0, length, _BLOCK):
        ours, theirs = list(left[begin : begin + _BLOCK]), list(right[begin : begin + _BLOCK])
        if ours != theirs:
            return next((begin + index for index, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), length)
    return length


def checkpoint_marks(n_prompt: int, boundaries: Sequence[int]) -> tuple[int, ...]:
    """Positions in a prompt before which the state is worth keeping, ascending."""
    last = n_prompt - CHECKPOINT_TAIL
    wanted = sorted({*boundaries, *range(CHECKPOINT_EVERY, n_prompt, CHECKPOINT_EVERY)})
    final_boundary = max((mark for mark in boundaries if mark < last), default=0)
    marks: list[int] = []
    for mark in wanted:
        if 0 < mark < last and (mark == final_boundary or mark - (marks[-1] if marks else 0) >= CHECKPOINT_APART):
            marks.append(mark)
    return (*marks, last) if last > 0 else tuple(marks)
