"""Statistics of paired measurements: the ratio of two speeds, its interval, and a sequential test. Pure.

Arms are measured in units: each arm twice, in a random order that is its own mirror image (A B B A, or B A A B). A unit's difference is the
logarithm of the ratio of both arms' times. Exchanging the arms of a unit changes only the sign of its difference, and the order is random;
so between equal arms the signs are fair and independent, however much the machine drifts. The intervals and the error rate follow from
that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

ERROR_RATE: Final = 0.05
"""Probability of finding a difference where there is none, over all looks of one race."""
LOOKS: Final = (9, 13, 19, 28, 41, 60, 88, 130, 195, 300)
"""Numbers of units after which a race checks its interval. Below 9 units no interval is wide enough for ten checks."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the interval that contains the truth with a stated probability."""

    estimate: float
    low: float
    high: float

    def map(self, scale: float = 1.0) -> Interval:
        """Return the interval of `exp(scale * x)` for `x` in this one: a ratio, from the logarithm of a ratio."""
        ends = sorted((_exp(scale * self.low), _exp(scale * self.high)))
        return Interval(_exp(scale * self.estimate), *ends)


class Finding(StrEnum):
    """The result of a race for B, compared with A."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "the same"
    """The difference is smaller than the stated one, in both directions."""
    UNDECIDED = "undecided"


class Verdict(StrEnum):
    """Whether B is at most the stated difference slower than A."""

    PASS = "PASS"
    FAIL = "FAIL"
    """B is slower, and was not shown to be within the stated difference."""
    INCONCLUSIVE = "INCONCLUSIVE"


def hodges_lehmann(differences: Sequence[float], error: float = ERROR_RATE) -> Interval:
    """Return the median of all pairwise means of differences, with the interval of Wilcoxon's signed-rank test.

    Args:
        differences: Symmetric around what is estimated, and independent in their signs; at least one.
        error: Probability that the interval misses the truth. With too few differences for it, the interval is unbounded.
    """
    values = np.asarray(differences, np.float64)
    first, second = np.triu_indices(len(values))
    walsh = np.sort((values[first] + values[second]) / 2)
    rank = _critical_rank(len(values), error)
    estimate = float(np.median(walsh))
    if rank < 1:
        return Interval(estimate, -math.inf, math.inf)
    return Interval(estimate, float(walsh[rank - 1]), float(walsh[-rank]))


def sign_test(differences: Sequence[float]) -> float:
    """Return the exact two-sided probability of signs this uneven between equal arms, ignoring zero differences."""
    positive = sum(value > 0 for value in differences)
    n = positive + sum(value < 0 for value in differences)
    tail = sum(math.comb(n, k) for k in range(min(positive, n - positive) + 1))
    return min(1.0, float(2 * tail / 2**n))


def mean_interval(values: Sequence[float], error: float = ERROR_RATE) -> Interval:
    """Return the mean with Student's interval; unbounded for fewer than two values."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return Interval(mean, -math.inf, math.inf)
    half = student_quantile(n - 1, error) * deviation(values) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half)


def deviation(values: Sequence[float]) -> float:
    """Return the sample's standard deviation; 0 for a single value, as llama-bench has it."""
    n = len(values)
    mean = math.fsum(values) / n
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else 0.0


def outliers(values: Sequence[float]) -> tuple[int, ...]:
    """Return the indices of outliers: a modified Z score (by the median absolute deviation) above 14.8, hyperfine's limit."""
    array = np.asarray(values, np.float64)
    distances = np.abs(array - np.median(array))
    spread = float(np.median(distances)) / 0.6745
    return tuple(int(index) for index in np.flatnonzero(distances > 14.826 * spread)) if spread > 0 else ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The state of a comparison after some units."""

    finding: Finding
    verdict: Verdict
    interval: Interval
    """Interval of log(time of B / time of A): negative is faster."""
    units: int


def judge(differences: Sequence[float], stated: float, arms: int = 2) -> Decision:
    """Judge the differences at one of the looks of a race.

    The probability of FASTER or SLOWER between equal arms is at most `ERROR_RATE` over all looks and all arms (a union bound).

    Args:
        differences: log(time of B / time of A) of each unit.
        stated: The smallest difference that matters, such as 0.03 for 3 %.
        arms: Number of arms in the race; all others are compared with the first.
    """
    interval = hodges_lehmann(differences, ERROR_RATE / len(LOOKS) / max(1, arms - 1))
    margin = math.log1p(stated)
    within = interval.high < margin
    if interval.high < 0:
        finding = Finding.FASTER
    elif interval.low > 0:
        finding = Finding.SLOWER
    else:
        finding = Finding.SAME if within and interval.low > -margin else Finding.UNDECIDED
    verdict = Verdict.PASS if within else Verdict.FAIL if interval.low > 0 else Verdict.INCONCLUSIVE
    return Decision(finding, verdict, interval, len(differences))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


@lru_cache(maxsize=256)
def _critical_rank(n: int, error: float) -> int:
    """Return the rank of the Walsh average (from each end) that bounds the interval: P(rank sum < rank) <= error / 2, exactly."""
    cumulative = np.cumsum(_rank_sums(n))
    return int(np.searchsorted(cumulative, error / 2, side="right"))


@lru_cache(maxsize=64)
def _rank_sums(n: int) -> NDArray[np.float64]:
    """Return the distribution of Wilcoxon's signed-rank sum for n differences."""
    distribution = np.ones(1)
    for rank in range(1, n + 1):
        longer = np.zeros(len(distribution) + rank)
        longer[: len(distribution)] += distribution / 2
        longer[rank:] += distribution / 2
        distribution = longer
    return distribution


def student_quantile(freedom: int, error: float) -> float:
    """Return the two-sided quantile of Student's t that is exceeded with probability `error`."""
    low, high = 0.0, 1e3
    for _ in range(80):
        middle = (low + high) / 2
        if _student_outside(middle, freedom) > error:
            low = middle
        else:
            high = middle
    return high


def _student_outside(t: float, freedom: int) -> float:
    """Return P(|T| > t), by the finite sums for whole degrees of freedom."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = 1.0, 0.0
    if freedom % 2:
        term = cosine
        for k in range(1, freedom - 1, 2):
            total += term
            term *= cosine**2 * (k + 1) / (k + 2)
        return 1 - 2 / math.pi * (angle + sine * total)
    for k in range(0, freedom - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    return 1 - sine * total
