"""The cost of decode calls of different widths on one scale, so that thread counts are compared whatever each call evaluates."""

from __future__ import annotations

from typing import Final

_SETTLED: Final = 4
"""Calls of a new width that only show its cost against the others."""
_FOLLOW: Final = 0.2
_DRIFT: Final = 0.02


class Widths:
    """How much a call of some width costs, as a multiple of the width seen first. Pure arithmetic; for one thread."""

    def __init__(self) -> None:
        self._ratios: dict[int, float] = {}
        self._seen: dict[int, int] = {}
        self._unit_ns = 0.0
        """Cost of the width seen first, now: follows every call."""

    def ratio(self, width: int, duration_ns: int) -> float:
        """The usual cost of a call with `width` tokens; this one, which took `duration_ns`, counts for it.

        The first calls of a width are taken for usual: it has nothing to be compared with.
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
