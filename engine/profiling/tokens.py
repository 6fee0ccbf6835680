"""Which tokens were generated while a capture ran, and how fast beside it: what makes captures comparable and their cost known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from engine.clock import NS_PER_S

REMEMBERED = 131_072
"""Tokens of the past that are kept: half an hour at 70 tokens/s, in at most 16 MB."""

FEWEST_GAPS = 8
"""A speed from fewer inter-token gaps than this is not a speed."""

SHORTEST_ASIDE_NS = 2 * NS_PER_S
"""The least that is looked at before and after a span: the further away, the more has changed by itself."""

CERTAIN = 0.05
"""Largest standard error, as a share, of a speed that is said to be what would have been."""

Gaps = list[tuple[int, int]]
"""Inter-token gaps: where in its turn the later token stands, and nanoseconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the engine did during a span of time."""

    tokens: int
    turn_id: int | None
    """The last turn that generated in the span."""
    speed_during: float | None
    """Tokens per second inside the span."""
    speed_outside: float | None
    """Tokens per second that the same turns would have made there, to go by their tokens beside the span (as long before and after it as
    it is itself). A token takes longer the more stand before it, so this is read off a straight line through the gaps; None when the
    line leaves more than CERTAIN open.
    """


class TokenLog:
    """Engine timestamps of the latest tokens, by turn. Fed and asked on one thread."""

    def __init__(self) -> None:
        self._tokens: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)

    def feed(self, turn_id: int, token_ns: Iterable[int]) -> None:
        """A chunk of a turn arrived."""
        self._tokens.extend((turn_id, at_ns) for at_ns in token_ns)

    def between(self, start_ns: int, end_ns: int, *, disturbed_from_ns: int | None = None) -> Work:
        """What happened from `start_ns` to `end_ns`, of the monotonic clock.

        What came after `disturbed_from_ns` and before `start_ns` was slowed down by the preparations, and counts for neither speed.
        """
        undisturbed_ns = start_ns if disturbed_from_ns is None else disturbed_from_ns
        inside = [(turn, at_ns) for turn, at_ns in self._tokens if start_ns <= at_ns <= end_ns]
        turns = {turn for turn, _ in inside}
        span = max(end_ns - start_ns, SHORTEST_ASIDE_NS)
        during: dict[int, Gaps] = {turn: [] for turn in turns}
        outside: dict[int, Gaps] = {turn: [] for turn in turns}
        position = 0
        for (turn, early), (next_turn, late) in pairwise(self._tokens):
            position = position + 1 if turn == next_turn else 0
            if turn != next_turn or turn not in turns:
                continue
            if start_ns <= early and late <= end_ns:
                during[turn].append((position, late - early))
            elif (undisturbed_ns - span <= early and late < undisturbed_ns) or (end_ns < early and late <= end_ns + span):
                outside[turn].append((position, late - early))
        expected = {turn: gap for turn in turns if (gap := _expected_ns(outside[turn], during[turn])) is not None}
        counted = [gap for turn in expected or turns for _, gap in during[turn]]
        without = sum(gap * len(during[turn]) for turn, gap in expected.items())
        return Work(
            len(inside),
            inside[-1][0] if inside else None,
            speed_during=len(counted) / sum(counted) * NS_PER_S if len(counted) >= FEWEST_GAPS else None,
            speed_outside=len(counted) / without * NS_PER_S if without else None,
        )


def _expected_ns(outside: Gaps, during: Gaps) -> float | None:
    """The mean gap at the positions of `during`, by least squares through those `outside`; None when that says too little."""
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
