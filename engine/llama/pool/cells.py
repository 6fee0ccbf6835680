"""Counts the cells of a KV cache that sequences use: the native library does not report it.

Sequences with a common prefix share its cells.
"""

from __future__ import annotations

from collections.abc import Sequence


class Cells:
    """The cells of one KV cache, by sequence. Pure bookkeeping."""

    def __init__(self, n_seq: int) -> None:
        self.used = 0
        """Cells that at least one sequence uses."""
        self._held: list[list[int]] = [[] for _ in range(n_seq)]
        """Numbers of the cells of each sequence, oldest token first."""
        self._sharers: dict[int, int] = {}
        """Sequences that use a cell, where they are several."""
        self._next = 0

    def hold(self, seq: int, length: int) -> None:
        """Set the number of tokens of a sequence."""
        cells = self._held[seq]
        if length > len(cells):
            count = length - len(cells)
            cells.extend(range(self._next, self._next + count))
            self._next += count
            self.used += count
        elif length < len(cells):
            self._release(cells[length:])
            del cells[length:]

    def lend(self, source: int, target: int, count: int) -> None:
        """Record that `target` shares the first `count` cells of `source`, and uses no others."""
        self.hold(target, 0)
        shared = self._held[target] = self._held[source][:count]
        for cell in shared:
            self._sharers[cell] = self._sharers.get(cell, 1) + 1

    @property
    def lent(self) -> int:
        """Number of cells that several sequences use."""
        return len(self._sharers)

    def _release(self, cells: Sequence[int]) -> None:
        for cell in cells:
            sharers = self._sharers.pop(cell, 1) - 1
            if sharers > 1:
                self._sharers[cell] = sharers
            elif not sharers:
                self.used -= 1
