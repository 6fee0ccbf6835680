"""Decode speed on both sides of a switch: what a change of settings or of the model bought. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from engine.clock import NS_PER_S

ENOUGH = 32
"""Inter-token gaps after which the speed is reported."""
LEAST = 8
"""Fewer gaps than this say nothing."""
KEPT = 64
"""The latest gaps are the speed of now."""


class BeforeAfter:
    """The decode speeds before and after the last switch."""

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=KEPT)
        self._last_ns: int | None = None
        self._before: float | None = None
        self._pending = False

    @property
    def pending(self) -> bool:
        """Whether there was a switch whose effect has not been reported."""
        return self._pending

    @property
    def ready(self) -> bool:
        """Whether enough tokens came since the switch to say what it did."""
        return self._pending and len(self._gaps) >= ENOUGH

    def began(self) -> None:
        """An answer begins: the time between two answers is not a gap."""
        self._last_ns = None

    def tokens(self, token_ns: Sequence[int]) -> None:
        """Tokens came at these times of the engine's clock."""
        for at_ns in token_ns:
            if self._last_ns is not None:
                self._gaps.append(at_ns - self._last_ns)
            self._last_ns = at_ns

    def switched(self) -> None:
        """What comes now comes from other settings or another model."""
        self._before = self._speed() or self._before
        self._gaps.clear()
        self._last_ns = None
        self._pending = True

    def take(self) -> tuple[float, float | None] | None:
        """Tokens per second after the switch, and before it (None when unknown); None when too few tokens came. Told once."""
        after = self._speed() if self._pending else None
        if after is None:
            return None
        self._pending = False
        return after, self._before

    def _speed(self) -> float | None:
        total = sum(self._gaps)
        return len(self._gaps) * NS_PER_S / total if len(self._gaps) >= LEAST and total > 0 else None
