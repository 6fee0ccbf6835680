"""Counts the tokens generated during a capture, and the speed before and after, to compare captures and measure their cost."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.clock import NS_PER_S

REMEMBERED = 131_072
"""Most tokens kept: half an hour at 70 tokens/s, in about 1 MB."""

TURNS_REMEMBERED = 2_048

FEWEST_GAPS = 8
"""Fewest inter-token gaps for a speed."""

SHORTEST_ASIDE_NS = 2 * NS_PER_S
"""Shortest time before and after a span that is compared with it."""

CERTAIN = 0.05
"""Largest relative standard error of an estimated speed."""

Gaps = list[tuple[int, int]]
"""Inter-token gaps: position of the later token in its turn, and nanoseconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """The engine's work during a span of time."""

    tokens: int
    turn_id: int | None
    """The last turn that generated in the span."""
    speed_during: float | None
    """Tokens per second inside the span."""
    speed_outside: float | None
    """Estimated tokens per second of the same turns without the capture, from their tokens before and after the span (each as long as the
    span). Tokens get slower with the length of the context, so it is a linear fit through the gaps; None when its error exceeds CERTAIN.
    """


class TokenLog:
    """Engine timestamps of the latest tokens, by turn. Not thread-safe."""

    def __init__(self) -> None:
        self._turns: deque[tuple[int, array[int]]] = deque()
        self._remembered = 0

    def feed(self, turn_id: int, token_ns: Sequence[int]) -> None:
        """Add a chunk of a turn."""
        if not self._turns or self._turns[-1][0] != turn_id:
            self._turns.append((turn_id, array("q")))
        self._turns[-1][1].extend(token_ns)
        self._remembered += len(token_ns)
        while self._remembered - len(self._turns[0][1]) >= REMEMBERED or len(self._turns) > TURNS_REMEMBERED:
            self._remembered -= len(self._turns.popleft()[1])

    def between(self, start_ns: int, end_ns: int, *, disturbed_from_ns: int | None = None) -> Work:
        """Return the work from `start_ns` to `end_ns`, by the monotonic clock.

        Tokens between `disturbed_from_ns` and `start_ns` were slowed down by the preparations, and count for neither speed.
        """
        undisturbed_ns = start_ns if disturbed_from_ns is None else disturbed_from_ns
        inside = [turn for turn, times in self._turns for at_ns in times if start_ns <= at_ns <= end_ns]
        turns = set(inside)
        span = max(end_ns - start_ns, SHORTEST_ASIDE_NS)
        during: dict[int, Gaps] = {turn: [] for turn in turns}
        outside: dict[int, Gaps] = {turn: [] for turn in turns}
        for turn, times in self._turns:
            if turn not in turns:
                continue
            for position, (early, late) in enumerate(pairwise(times), 1):
                if start_ns <= early and late <= end_ns:
                    during[turn].append((position, late - early))
                elif (undisturbed_ns - span <= early and late < undisturbed_ns) or (end_ns < early and late <= end_ns + span):
                    outside[turn].append((position, late - early))
        expected = {turn: gap for turn in turns if (gap := _expected_ns(outside[turn], during[turn])) is not None}
        counted = [gap for turn in expected or turns for _, gap in during[turn]]
        without = sum(gap * len(during[turn]) for turn, gap in expected.items())
        return Work(
            len(inside),
            inside[-1] if inside else None,
            speed_during=len(counted) / sum(counted) * NS_PER_S if len(counted) >= FEWEST_GAPS else None,
            speed_outside=len(counted) / without * NS_PER_S if without else None,
        )


def _expected_ns(outside: Gaps, during: Gaps) -> float | None:
    """Return the expected mean gap at the positions of `during`, by least squares through `outside`; None when too uncertain."""
    if len(outside) < FEWEST_GAPS or len(during) < FEWEST_GAPS:
        return None
    positions, gaps = np.array(outside, np.float64).T
    offsets = positions - positions.mean()
    ahead = float(np.mean([position for position, _ in during]) - positions.mean())
    steepness = float(offsets @ gaps / (offsets @ offsets))
    expected = float(gaps.mean()) + steepness * ahead
    left = gaps - gaps.mean() - steepness * offsets
    error = float(np.sqrt(left @ left / (len(gaps) - 2) * (1 / len(gaps) + ahead**2 / (offsets @ offsets))))
    return expected if expected > 0 and error <= CERTAIN * expected else None
