"""Intervals against tables, and 200 simulated races over series that drift and stall like recorded ones."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.lab.statistics import (
    LOOKS,
    Finding,
    Verdict,
    hodges_lehmann,
    judge,
    mean_interval,
    outliers,
    sign_test,
)

RACES = 200


def series(rng: np.random.Generator, length: int, *, busy: bool) -> NDArray[np.float64]:
    """Times of a probe on a shared machine: a slow drift, neighbouring values alike, a heavy tail of stalls."""
    steps = rng.normal(0, 0.004, length)
    drift = np.cumsum(steps) - np.linspace(0, steps.sum(), length) + 0.05 * np.sin(np.linspace(0, rng.uniform(2, 30), length))
    noise = np.empty(length)
    state = 0.0
    for index, value in enumerate(rng.normal(0, 0.02 if not busy else 0.05, length)):
        state = 0.8 * state + value
        noise[index] = state
    stalls = np.where(rng.random(length) < (0.02 if not busy else 0.2), rng.exponential(0.5, length), 0.0)
    return np.asarray(0.04 * np.exp(drift + noise) * (1 + stalls), np.float64)


def race(rng: np.random.Generator, effect: float, *, busy: bool, stated: float = 0.03) -> tuple[Finding, float]:
    """Lay both arms over a series as a race does; B takes `1 - effect` of A's time. Returns the finding and the seconds it took."""
    times = series(rng, 4 * LOOKS[-1], busy=busy).reshape(-1, 4)
    differences: list[float] = []
    for unit in times:
        mirrored = (0, 1, 1, 0) if rng.random() < 0.5 else (1, 0, 0, 1)
        best = [math.inf, math.inf]
        for arm, took in zip(mirrored, unit, strict=True):
            best[arm] = min(best[arm], took * (1 - effect if arm else 1))
        differences.append(math.log(best[1] / best[0]))
        if len(differences) in LOOKS:
            decision = judge(differences, stated)
            if decision.finding is not Finding.UNDECIDED:
                return decision.finding, float(times[: len(differences)].sum())
    return Finding.UNDECIDED, float(times.sum())


@pytest.mark.parametrize("busy", [False, True])
def test_races_of_equal_arms_find_a_difference_in_at_most_one_of_twenty(busy: bool) -> None:
    rng = np.random.default_rng(17 + busy)
    found = [race(rng, 0.0, busy=busy)[0] for _ in range(RACES)]
    assert sum(finding in {Finding.FASTER, Finding.SLOWER} for finding in found) <= RACES // 20


@pytest.mark.parametrize(("busy", "seconds"), [(False, 60.0), (True, 300.0)])
def test_a_true_difference_of_three_per_cent_is_found_in_time(busy: bool, seconds: float) -> None:
    rng = np.random.default_rng(3 + busy)
    races = [race(rng, 0.03, busy=busy) for _ in range(RACES)]
    right = sum(finding is Finding.FASTER and took <= seconds for finding, took in races)
    assert right >= 0.9 * RACES
    assert not any(finding is Finding.SLOWER for finding, _ in races)


def test_the_interval_is_the_exact_one_of_the_signed_rank_test() -> None:
    # Tables of the signed-rank test: n = 6 has the smallest 95 % interval there is, all of the Walsh averages; n = 10 cuts at rank 9.
    assert hodges_lehmann(range(5)).low == -math.inf
    assert hodges_lehmann((1, 2, 3, 4, 5, 6)).low == 1
    values = (1.1, 2.2, 3.5, 4.1, 5.9, 6.3, 7.7, 8.4, 9.2, 10.8)
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(values, 2))
    interval = hodges_lehmann(values)
    assert (interval.low, interval.high) == (pytest.approx(walsh[8]), pytest.approx(walsh[-9]))
    assert interval.estimate == pytest.approx(np.median(walsh))


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = random.Random(5)
    missed = 0
    for _ in range(1000):
        interval = hodges_lehmann([rng.gauss(0.2, 1) for _ in range(12)])
        missed += not interval.low <= 0.2 <= interval.high
    assert 20 <= missed <= 65


def test_the_sign_test_is_the_binomial_one() -> None:
    assert sign_test([1] * 6) == pytest.approx(2 / 64)
    assert sign_test([1, 1, 1, -1, 0, 0]) == pytest.approx(2 * 5 / 16)
    assert sign_test([1, -1]) == 1.0


@pytest.mark.parametrize(("n", "quantile"), [(2, 12.706), (3, 4.303), (5, 2.776), (11, 2.228), (31, 2.042)])
def test_the_interval_of_a_mean_uses_students_quantiles(n: int, quantile: float) -> None:
    values = [float(index) for index in range(n)]
    interval = mean_interval(values)
    half = quantile * np.std(values, ddof=1) / math.sqrt(n)
    assert interval.high - interval.estimate == pytest.approx(half, rel=1e-3)


def test_a_stall_is_an_outlier_and_ordinary_scatter_is_not() -> None:
    assert outliers([10.0, 10.1, 9.9, 10.05, 30.0]) == (4,)
    assert outliers([10.0, 10.3, 9.7, 10.1, 9.9]) == ()
    assert outliers([1.0, 1.0, 1.0]) == ()


@pytest.mark.parametrize(
    ("centre", "finding", "verdict"),
    [
        (-0.10, Finding.FASTER, Verdict.PASS),
        (0.0, Finding.SAME, Verdict.PASS),
        (0.02, Finding.SLOWER, Verdict.PASS),
        (0.10, Finding.SLOWER, Verdict.FAIL),
    ],
)
def test_verdicts_compare_the_interval_with_the_stated_difference(centre: float, finding: Finding, verdict: Verdict) -> None:
    differences = [centre + 0.001 * (index % 7 - 3) for index in range(LOOKS[1])]
    decision = judge(differences, 0.03)
    assert (decision.finding, decision.verdict) == (finding, verdict)


def test_few_units_and_wide_scatter_are_inconclusive() -> None:
    assert judge([0.5] * (LOOKS[0] - 1), 0.03).verdict is Verdict.INCONCLUSIVE
    wide = [(-1) ** index * 0.4 for index in range(LOOKS[3])]
    assert (judge(wide, 0.03).finding, judge(wide, 0.03).verdict) == (Finding.UNDECIDED, Verdict.INCONCLUSIVE)
