"""Normalizes the cost of decode calls by their width, so that thread counts can be compared."""

from __future__ import annotations

from typing import Final

_SETTLED: Final = 4
"""Calls of a new width that only measure its relative cost."""
_FOLLOW: Final = 0.2
_DRIFT: Final = 0.02


class Widths:
    """The cost of each width as a multiple of the first one. Pure arithmetic; for one thread."""

    def __init__(self) -> None:
        self._ratios: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        self._unit_ns = 0.0
        """Current cost of the first width; updated by every call."""

    def ratio(self, width: int, duration_ns: int) -> float:
        """Return the usual relative cost of a call with `width` tokens, after adding one that took `duration_ns`.

        The first calls of a width count as usual, since there is nothing to compare them with.
        """
        first = not self._ratios
        seen = self._seen[width] = self._seen.get(width, 0) + 1
        now = duration_ns / self._unit_ns if self._unit_ns else 1.0
        before = self._ratios.get(width, now)
        is_base = first or next(iter(self._ratios)) == width
        weight = 0.0 if is_base else 1 / seen if seen <= _SETTLED else _DRIFT
        ratio = self._ratios[width] = max(before + (now - before) * weight, 1e-3)
        unit_ns = duration_ns / ratio
        self._unit_ns = unit_ns if first else self._unit_ns + (unit_ns - self._unit_ns) * _FOLLOW
        return ratio
