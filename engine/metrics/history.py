"""Keeps the history of a figure over the last minute, five minutes and the whole session, in rings of fixed size."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from engine.clock import NS_PER_S


class Window(StrEnum):
    """The time span of a chart."""

    MINUTE = "1 min"
    FIVE_MINUTES = "5 min"
    SESSION = "session"


Fold = Literal["mean", "max"]
"""How several values in one bucket are combined."""

SESSION_BUCKETS = 240
"""Most buckets of the session's ring; when it is full, pairs of buckets merge and cover twice the time."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A figure over time, frozen. Bucket k covers the seconds [k, k + 1) x `bucket_s` since the meter began."""

    first: int
    """Number of the oldest bucket."""
    bucket_s: float
    span_s: float
    """Length of the window; the buckets may cover less of it."""
    values: tuple[float | None, ...]
    """One per bucket, oldest first; None where nothing was measured."""

    @property
    def last(self) -> int:
        """Number of the newest bucket."""
        return self.first + len(self.values) - 1

    @property
    def latest(self) -> float | None:
        """The newest value."""
        return self.values[-1] if self.values else None


class _Ring:
    """Buckets of one width. The newest bucket is still being filled."""

    def __init__(self, bucket_s: float, capacity: int, fold: Fold, *, widens: bool) -> None:
        self.bucket_s = bucket_s
        self._capacity = capacity
        self._fold = fold
        self._widens = widens
        self._values: deque[float | None] = deque(maxlen=capacity)
        self._last = -1
        self._sum = 0.0
        self._count = 0
        self._frozen: Trace | None = None

    def push(self, seconds: float, value: float | None, covers_s: float) -> None:
        bucket = max(int(seconds / self.bucket_s), self._last)
        if bucket > self._last:
            bucket = self._open(bucket)
        if value is not None:
            if self._fold == "max":
                self._sum, self._count = max(self._sum, value) if self._count else value, 1
            else:
                self._sum, self._count = self._sum + value, self._count + 1
            self._values[-1] = self._sum / self._count
            if covers_s > 0:
                self._fill(seconds - covers_s, value)
        self._frozen = None

    def _fill(self, begin_s: float, value: float) -> None:
        """Fill the empty buckets that begin after `begin_s` with the value."""
        for back in range(2, len(self._values) + 1):
            if (self._last - back + 1) * self.bucket_s < begin_s or self._values[-back] is not None:
                break
            self._values[-back] = value

    def _open(self, bucket: int) -> int:
        """Begin a new bucket; the ones skipped stay empty."""
        while self._widens and bucket - self._first() >= self._capacity:
            self._halve()
            bucket //= 2
        if bucket > self._last:
            self._values.extend([None] * min(bucket - self._last if self._values else 1, self._capacity))
            self._last = bucket
            self._sum, self._count = 0.0, 0
        return bucket

    def _first(self) -> int:
        return self._last - len(self._values) + 1 if self._values else 0

    def _halve(self) -> None:
        """Merge buckets two by two, even numbers first, and double their width."""
        first, old = self._first(), list(self._values)
        if first % 2:
            old.insert(0, None)
        if len(old) % 2:
            old.append(None)
        self._values = deque((_merged(*pair, self._fold) for pair in zip(old[::2], old[1::2], strict=True)), maxlen=self._capacity)
        self._last = self._last // 2 if self._last >= 0 else -1
        self.bucket_s *= 2
        newest = self._values[-1] if self._values else None
        self._sum, self._count = (newest, 1) if newest is not None else (0.0, 0)

    def freeze(self) -> Trace:
        if self._frozen is None:
            self._frozen = Trace(self._first(), self.bucket_s, self.bucket_s * self._capacity, tuple(self._values))
        return self._frozen


def _merged(early: float | None, late: float | None, fold: Fold) -> float | None:
    if early is None or late is None:
        return late if early is None else early
    return max(early, late) if fold == "max" else (early + late) / 2


class Track:
    """One figure's history in every window; a push costs microseconds, however long the session."""

    def __init__(self, *, fold: Fold = "mean") -> None:
        self._rings = {
            Window.MINUTE: _Ring(0.5, 120, fold, widens=False),
            Window.FIVE_MINUTES: _Ring(2.5, 120, fold, widens=False),
            Window.SESSION: _Ring(0.5, SESSION_BUCKETS, fold, widens=True),
        }

    def push(self, since_start_ns: int, value: float | None, *, covers_s: float = 0.0) -> None:
        """Add the value at a time since the meter's start; None is a gap.

        `covers_s` is the time before that moment which the value also covers.
        """
        for ring in self._rings.values():
            ring.push(since_start_ns / NS_PER_S, value, covers_s)

    def trace(self, window: Window) -> Trace:
        """Return the history in one window, frozen."""
        return self._rings[window].freeze()
