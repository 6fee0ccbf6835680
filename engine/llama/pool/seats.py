"""Assigns the sequences of the KV cache.

A prompt gets the idle sequence with the longest usable common beginning, else an empty one, else the one used longest ago. A longer
beginning in another sequence is lent, one in a saved state copied back.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from engine.backend import MemoryKind
from engine.llama.context import Context
from engine.llama.generation import Turn
from engine.llama.kv import SavedState, SequenceCache
from engine.llama.pool.cells import Cells
from engine.llama.pool.saved import SavedStates

LEAST_LENT: Final = 16
"""Shortest prefix worth sharing, in tokens."""
LEAST_SAVED: Final = 64
"""Shortest content worth saving, and least gain of copying a saved state back, in tokens."""
SPARE: Final = 32
"""Cells left free for the running answers when a turn gets a sequence."""


@dataclass(slots=True, eq=False)
class Seat:
    """One sequence of the KV cache."""

    seq: int
    cache: SequenceCache
    owner: Turn | None = None
    used: int = 0
    """When it was last assigned, as a count of assignments."""


class Seats:
    """The sequences of one context and the cells that they share. For the compute thread only."""

    def __init__(self, context: Context, *, checkpoint_bytes: int, saved_bytes: int) -> None:
        kind = context.model.memory_kind
        self.lends = context.unified and context.n_seq > 1
        """Whether a sequence can share its prefix with another."""
        self._shares = kind is not MemoryKind.SLIDING_WINDOW
        self.cells = Cells(context.n_seq)
        self.limit = context.cells if context.unified and kind is not MemoryKind.RECURRENT else None
        """Total cells of all sequences; None where each has enough of its own."""
        self.saved = SavedStates(saved_bytes, cuttable=kind is MemoryKind.ATTENTION)
        self.all = [
            Seat(
                seq,
                SequenceCache(
                    context.memory,
                    seq,
                    kind,
                    n_swa=context.model.n_swa,
                    checkpoint_bytes=checkpoint_bytes // context.n_seq,
                    cells=self.cells,
                ),
            )
            for seq in range(context.n_seq)
        ]
        self._assigned = 0

    @property
    def idle(self) -> list[Seat]:
        """Sequences without a turn."""
        return [seat for seat in self.all if seat.owner is None]

    @property
    def _all_idle(self) -> bool:
        """Return whether no turn has a sequence, so that the next one may use the whole cache."""
        return all(seat.owner is None for seat in self.all)

    def reusable(self, tokens: Sequence[int]) -> int:
        """Most tokens of a prompt that a sequence holds now, for itself or to lend."""
        return max(seat.cache.reusable(tokens) for seat in (self.all if self.lends else self.idle))

    def take(self, tokens: Sequence[int], *, keep_free: int = 0, turn: int | None = None) -> Seat | None:
        """Assign an idle sequence for `tokens`, with what can be reused for them in it, and room for the rest.

        None when all are in use, or the cells don't suffice beside `keep_free` others. A state saved for `turn` comes before all others.
        """
        idle = self.idle
        if not idle or (len(self.all) == 1 and not self.saved.has(turn)):
            return self._assign(idle[0]) if idle else None
        usable = {seat.seq: seat.cache.reusable(tokens) for seat in self.all}
        seat = self._best(idle, usable)
        lender = max(self.all, key=lambda other: usable[other.seq]) if self.lends else seat
        if usable[lender.seq] < usable[seat.seq] + LEAST_LENT:
            lender = seat
        need = len(tokens) + keep_free + SPARE
        copied, saved = self.saved.longest(tokens, turn)
        if saved is not None and copied >= usable[lender.seq] + LEAST_SAVED:
            return self._restored(seat, saved, need)
        if lender is not seat:
            self.empty(seat)
            if self.make_room(need - (usable[lender.seq] if self._shares else 0), keep=(lender,)):
                seat.cache.borrow(lender.cache, tokens)
                return self._assign(seat)
            if lender.owner is not None:
                return None
            seat = lender  # its own content goes on where there is no room for both
        if not self.make_room(need - len(seat.cache.tokens), keep=(seat,)) and not self._all_idle:
            return None
        if 2 * usable[seat.seq] < len(seat.cache.tokens):
            self.saved.put(seat.cache)
        return self._assign(seat)

    def _restored(self, seat: Seat, saved: SavedState, need: int) -> Seat | None:
        """Restore a saved state into a sequence; None when it does not fit."""
        self.empty(seat)
        if not self.make_room(need) and not self._all_idle:
            return None
        self.saved.take(saved)
        seat.cache.restore(saved)
        return self._assign(seat)

    def has_room(self, cells: int) -> bool:
        """Return whether that number of cells is free."""
        return self.limit is None or self.limit - self.cells.used >= cells

    def make_room(self, cells: int, keep: Iterable[Seat] = ()) -> bool:
        """Empty idle sequences, those used longest ago first, until that number of cells is free; False when it can't be.

        Their states are saved in RAM.
        """
        if self.has_room(cells):
            return True
        kept = {seat.seq for seat in keep}
        idle = sorted((seat for seat in self.idle if seat.cache.tokens and seat.seq not in kept), key=lambda seat: seat.used)
        while idle and not self.has_room(cells):
            self.empty(idle.pop(0))
        return self.has_room(cells)

    def empty(self, seat: Seat, turn: int | None = None) -> None:
        """Remove the content of a sequence and save its state, for the turn that goes on from it or for any."""
        if turn is not None or len(seat.cache.tokens) >= LEAST_SAVED:
            self.saved.put(seat.cache, turn)
        seat.cache.clear()

    def carry_over(self, states: Iterable[SavedState], n_ctx: int) -> None:
        """Restore states of another context, the longest first; those without a sequence or room stay in RAM."""
        for saved, seat in itertools.zip_longest(sorted(states, key=lambda saved: -len(saved.tokens)), self.all):
            if saved is None or len(saved.tokens) >= n_ctx:
                continue
            if seat is None or not self.has_room(len(saved.tokens)):
                self.saved.add(saved)
            else:
                seat.cache.adopt(saved.tokens, saved.state)

    def _assign(self, seat: Seat) -> Seat:
        self._assigned += 1
        seat.used = self._assigned
        return seat

    @staticmethod
    def _best(idle: Sequence[Seat], usable: dict[int, int]) -> Seat:
        """Return the one that reuses most and loses at most half of its content, else an empty one, else the one used longest ago."""

        def worth(seat: Seat) -> tuple[int, bool, int]:
            held = len(seat.cache.tokens)
            return (usable[seat.seq] if 2 * usable[seat.seq] >= held else 0, not held, -seat.used)

        return max(idle, key=worth)
