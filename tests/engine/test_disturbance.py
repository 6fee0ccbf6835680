"""What others took of a turn, and what is known of its speed without them, from readings of how long threads waited."""

from __future__ import annotations

import pytest

from engine.disturbance import FEWEST_UNDISTURBED, Wait, quiet_speed, taken_share


def test_the_share_is_what_the_threads_waited_of_the_time_since_the_prefill_began() -> None:
    assert taken_share([Wait(1_100, 30), Wait(1_200, 20)], 1_000) == pytest.approx(0.25)


def test_threads_that_wait_at_once_take_no_more_than_all_of_the_time() -> None:
    assert taken_share([Wait(1_100, 500), Wait(1_200, 0)], 1_000) == pytest.approx(0.5)


def test_a_wait_before_the_turn_is_none_of_its_time() -> None:
    assert taken_share([Wait(900, 800), Wait(1_100, 0)], 1_000) == 0.0


@pytest.mark.parametrize("waits", [[], [Wait(900, 10)]])
def test_without_a_reading_in_the_turn_nothing_is_known(waits: list[Wait]) -> None:
    assert taken_share(waits, 1_000) is None


def test_the_quiet_speed_counts_only_tokens_during_which_nobody_waited() -> None:
    tokens, waits, now = [], [Wait(0, 0)], 0
    for number in range(4 * FEWEST_UNDISTURBED):
        disturbed = number % 2 == 0
        now += 50_000_000 if disturbed else 10_000_000
        waits.append(Wait(now, 40_000_000 if disturbed else 0))
        tokens.append(now)
    assert quiet_speed(waits, tokens) == pytest.approx(100.0)
    assert taken_share(waits, 0) == pytest.approx(40 / 60)


def test_the_quiet_speed_is_never_less_than_the_speed_with_the_waits() -> None:
    tokens, waits, now = [], [Wait(0, 0)], 0
    for number in range(4 * FEWEST_UNDISTURBED):
        slow_and_undisturbed = number % 2 == 0
        now += 20_000_000 if slow_and_undisturbed else 10_000_000
        waits.append(Wait(now, 0 if slow_and_undisturbed else 5_000_000))
        tokens.append(now)
    assert quiet_speed(waits, tokens) == pytest.approx(1e9 * (len(tokens) - 1) / (tokens[-1] - tokens[0]))


def test_several_tokens_between_two_readings_count_each() -> None:
    waits = [Wait(2_000_000 * number, 0) for number in range(40)]
    assert quiet_speed(waits, [250_000 * number for number in range(1, 313)]) == pytest.approx(4000.0)


def test_too_few_undisturbed_tokens_are_no_estimate() -> None:
    waits = [Wait(10_000_000 * number, 0) for number in range(1, FEWEST_UNDISTURBED)]
    assert quiet_speed(waits, [wait.at_ns for wait in waits]) is None
