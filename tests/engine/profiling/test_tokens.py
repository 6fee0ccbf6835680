from __future__ import annotations

import pytest

from engine.profiling.records import Overhead
from engine.profiling.tokens import TokenLog, Work

S = 1_000_000_000


def test_speed_during_a_capture_is_compared_with_the_same_turn_around_it() -> None:
    log = TokenLog()
    log.feed(1, [number * S // 10 for number in range(40)])
    log.feed(1, [4 * S + number * S // 5 for number in range(20)])
    work = log.between(4 * S, 8 * S)
    assert (work.tokens, work.turn_id) == (20, 1)
    assert work.speed_during == pytest.approx(5.0)
    assert work.speed_outside == pytest.approx(10.0)
    assert Overhead(1.0, work.speed_outside, work.speed_during).words() == "50.0 % of tokens/s"


def test_gaps_between_turns_and_other_turns_do_not_count() -> None:
    log = TokenLog()
    log.feed(1, range(0, 5 * S, S // 10))
    log.feed(2, range(100 * S, 105 * S, S // 10))
    work = log.between(100 * S, 200 * S)
    assert (work.turn_id, work.speed_outside) == (2, None)
    assert work.speed_during == pytest.approx(10.0)


def test_too_few_tokens_are_no_speed() -> None:
    log = TokenLog()
    log.feed(1, [1, 2, 3])
    assert log.between(0, 10) == Work(3, 1, None, None)
    assert Overhead(2.5).words() == "2.5 % of one core"
    assert Overhead().words() == "unknown"


def test_a_capture_that_seems_to_speed_up_costs_nothing() -> None:
    assert Overhead(None, 10.0, 11.0).words() == "0.0 % of tokens/s"
