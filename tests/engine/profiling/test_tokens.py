from __future__ import annotations

from itertools import accumulate

import pytest

from engine.profiling import tokens
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


def growing(tokens: int) -> list[int]:
    """Times of a turn whose tokens take longer the more stand before them, and a tenth longer still from the 301st to the 600th."""
    gaps = (20_000_000 + 20_000 * number for number in range(1, tokens + 1))
    return list(accumulate((gap * 11 // 10 if 300 < number <= 600 else gap for number, gap in enumerate(gaps, 1)), initial=0))


@pytest.mark.parametrize("last", [1200, 600], ids=["with tokens after it", "at once after it"])
def test_a_growing_context_is_not_taken_for_the_cost_of_the_capture(last: int) -> None:
    times = growing(last)
    start_ns, end_ns = times[300], times[600]
    log = TokenLog()
    log.feed(1, times)
    work = log.between(start_ns, end_ns)
    assert work.speed_during is not None
    assert work.speed_outside is not None
    assert work.speed_during / work.speed_outside == pytest.approx(1 / 1.1, abs=0.005)


def test_a_speed_that_swings_says_nothing_of_the_cost() -> None:
    log = TokenLog()
    swinging = [0]
    for number in range(60):
        swinging.append(swinging[-1] + S // (5 if number % 2 else 50))
    log.feed(1, swinging)
    half = swinging[30]
    work = log.between(half, swinging[-1])
    assert work.speed_during is not None
    assert work.speed_outside is None


def test_what_the_preparations_slowed_down_counts_for_neither_speed() -> None:
    log = TokenLog()
    log.feed(1, range(0, 3 * S, S // 10))
    log.feed(1, range(3 * S, 4 * S, S // 3))
    log.feed(1, range(4 * S, 8 * S, S // 5))
    assert log.between(4 * S, 8 * S).speed_outside is None
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


def test_only_the_latest_tokens_and_turns_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED", 100)
    monkeypatch.setattr(tokens, "TURNS_REMEMBERED", 5)
    log = TokenLog()
    for turn in range(20):
        log.feed(turn, range(turn * 30, turn * 30 + 30))
    assert log.between(0, 600).tokens == 120  # the four turns that the last hundred tokens belong to
    for turn in range(20, 40):
        log.feed(turn, [turn * 30])
    assert log.between(0, 1200).tokens == 5
