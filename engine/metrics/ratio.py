"""The ratio of two unpaired samples of speeds, with its interval. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

ERROR_RATE = 0.05
"""Probability that the interval misses the truth."""
MOST = 50
"""Most measurements of each side, the newest ones; the exact distribution costs their square."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """The speed of one side relative to the other."""

    estimate: float
    low: float | None
    """Lower end; None, like `high`, where there are too few measurements for an interval."""
    high: float | None

    @property
    def sure(self) -> bool:
        """Whether the interval excludes equality."""
        return self.low is not None and self.high is not None and not self.low <= 1.0 <= self.high


def ratio_of(one: Sequence[float], other: Sequence[float], error: float = ERROR_RATE) -> Ratio:
    """Return the median of all ratios of `one` to `other`, with the exact interval of the rank-sum test (Hodges and Lehmann).

    Args:
        one: Speeds greater than zero, at least one; independent, and as spread as those of the other side.
        other: The same.
        error: Probability that the interval misses the truth.
    """
    one, other = one[-MOST:], other[-MOST:]
    ratios = sorted(math.log(x / y) for x in one for y in other)
    middle = len(ratios) // 2
    estimate = math.exp((ratios[middle] + ratios[~middle]) / 2)
    rank = _critical_rank(len(one), len(other), error)
    if rank < 1:
        return Ratio(estimate, None, None)
    return Ratio(estimate, math.exp(ratios[rank - 1]), math.exp(ratios[-rank]))


@cache
def _critical_rank(n: int, m: int, error: float) -> int:
    """Return the largest k for which the rank-sum statistic of equal sides is below k with probability at most `error / 2`."""
    # The numbers of orders by their statistic, as the coefficients of the Gaussian binomial: a product of (1 - x^(n+i)) / (1 - x^i).
    counts = [1] + [0] * (n * m)
    for i in range(1, m + 1):
        for place in range(n * m, n + i - 1, -1):
            counts[place] -= counts[place - n - i]
        for place in range(i, n * m + 1):
            counts[place] += counts[place - i]
    allowed, rank = error / 2 * math.comb(n + m, m), 0
    below = counts[0]
    while below <= allowed:
        rank += 1
        below += counts[rank]
    return rank
