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
    assert Overhead(1.0, work.speed_outside, work.speed_during).words() == "cost 1.0 % of a core, tokens/s −50 %"


def test_what_the_preparations_slowed_down_counts_for_neither_speed() -> None:
    log = TokenLog()
    log.feed(1, range(0, 3 * S, S // 10))
    log.feed(1, range(3 * S, 4 * S, S // 3))
    log.feed(1, range(4 * S, 8 * S, S // 5))
    assert log.between(4 * S, 8 * S).speed_outside == pytest.approx(8.5, abs=0.5)
    assert log.between(4 * S, 8 * S, disturbed_from_ns=3 * S).speed_outside == pytest.approx(10.0)


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
    assert Overhead(2.5).words() == "cost 2.5 % of a core"
    assert Overhead().words() == "cost unknown"


def test_only_what_is_near_is_compared_with() -> None:
    log = TokenLog()
    log.feed(1, range(0, 100 * S, S))
    log.feed(1, range(100 * S, 110 * S, S // 10))
    work = log.between(105 * S, 110 * S)
    assert work.speed_outside == pytest.approx(10.0)


def test_speed_that_changed_by_chance_is_said_as_it_was() -> None:
    assert Overhead(1.0, 10.0, 11.0).words() == "cost 1.0 % of a core, tokens/s +10 %"
    assert Overhead(1.0, 10.0, 9.99).words() == "cost 1.0 % of a core, tokens/s unchanged"
