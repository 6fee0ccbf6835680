from __future__ import annotations

import random
from itertools import combinations

import pytest

from engine.metrics.ratio import MOST, ratio_of


def test_the_interval_is_that_of_the_exact_rank_sum_test() -> None:
    """Two-sided critical values of U at 5 %, as tables have them: the interval begins at the one after it."""
    for n, critical in ((4, 0), (5, 2), (8, 13), (10, 23)):
        one = [2.0 ** (n * i) for i in range(n)]
        other = [2.0**j for j in range(n)]
        ratios = sorted(x / y for x in one for y in other)
        found = ratio_of(one, other)
        assert found.low == pytest.approx(ratios[critical])
        assert found.high == pytest.approx(ratios[-1 - critical])


def test_the_distribution_of_small_samples_is_counted_right() -> None:
    """4 against 5: of all 126 orders, those that are as extreme as allowed."""
    statistics = [sum(i - place for place, i in enumerate(order)) for order in combinations(range(9), 4)]
    rank = max(k for k in range(20) if sum(u < k for u in statistics) <= 0.025 * len(statistics))
    one, other = [2.0 ** (5 * i) for i in range(4)], [2.0**j for j in range(5)]
    assert ratio_of(one, other).low == pytest.approx(sorted(x / y for x in one for y in other)[rank - 1])


def test_too_few_measurements_have_an_estimate_and_no_interval() -> None:
    found = ratio_of([110.0, 111.0, 112.0], [100.0, 100.0, 100.0])
    assert found.estimate == pytest.approx(1.11)
    assert (found.low, found.high, found.sure) == (None, None, False)


def test_equal_settings_differ_for_sure_in_at_most_five_of_a_hundred_comparisons() -> None:
    chance = random.Random(7)

    def speeds() -> list[float]:
        return [chance.lognormvariate(4.6, 0.1) for _ in range(8)]

    assert sum(ratio_of(speeds(), speeds()).sure for _ in range(600)) <= 0.07 * 600


def test_a_real_difference_is_found_and_named() -> None:
    chance = random.Random(7)
    slow, fast = ([base * chance.lognormvariate(0, 0.05) for _ in range(12)] for base in (100.0, 120.0))
    found = ratio_of(fast, slow)
    assert found.sure
    assert found.estimate == pytest.approx(1.2, rel=0.05)
    assert ratio_of(slow, fast).estimate == pytest.approx(1 / found.estimate)


def test_only_the_newest_measurements_count() -> None:
    assert ratio_of([1.0] * 1_000 + [200.0] * MOST, [100.0] * MOST).estimate == pytest.approx(2.0)
