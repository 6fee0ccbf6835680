"""Which tokens were generated while a capture ran, and how fast beside it: what makes captures comparable and their cost known."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.metrics.clock import NS_PER_S

REMEMBERED = 131_072
"""Tokens of the past that are kept: half an hour at 70 tokens/s, in at most 16 MB."""

FEWEST_GAPS = 8
"""A speed from fewer inter-token gaps than this is not a speed."""

SHORTEST_ASIDE_NS = 2 * NS_PER_S
"""The least that is looked at before and after a span: the further away, the more has changed by itself."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the engine did during a span of time."""

    tokens: int
    turn_id: int | None
    """The last turn that generated in the span."""
    speed_during: float | None
    """Tokens per second inside the span."""
    speed_outside: float | None
    """Tokens per second of the same turns beside the span, as long before and after it as it is itself."""


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
        during: list[int] = []
        outside: list[int] = []
        for (turn, early), (next_turn, late) in pairwise(self._tokens):
            if turn != next_turn or turn not in turns:
                continue
            if start_ns <= early and late <= end_ns:
                during.append(late - early)
            elif (undisturbed_ns - span <= early and late < undisturbed_ns) or (end_ns < early and late <= end_ns + span):
                outside.append(late - early)
        return Work(len(inside), inside[-1][0] if inside else None, _speed(during), _speed(outside))


def _speed(gaps_ns: Sequence[int]) -> float | None:
    return len(gaps_ns) / sum(gaps_ns) * NS_PER_S if len(gaps_ns) >= FEWEST_GAPS else None
