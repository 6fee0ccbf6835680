"""The terminal's answers are timed, and never taken for keys, however late or torn they come."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.link import LATE_S
from tui.terminal.round_trip import ASK_EVERY_S, HOLD_S, PATIENCE_S, QUERY, RoundTrip

ANSWER = "\x1b[?62;4;22c"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def answered_after(trip: RoundTrip, clock: Clock, seconds: float) -> None:
    clock.now += PATIENCE_S
    assert trip.ask() == QUERY
    clock.now += seconds
    assert trip.without_answers(ANSWER) == ""


def test_an_answer_is_timed(clock: Clock) -> None:
    trip = RoundTrip(clock)
    answered_after(trip, clock, 0.16)
    assert trip.newest_s == pytest.approx(0.16)
    assert trip.waiting_s == 0


def test_one_question_at_a_time_and_not_too_often(clock: Clock) -> None:
    trip = RoundTrip(clock)
    assert trip.ask() == QUERY
    clock.now += 1
    assert trip.ask() == ""
    trip.without_answers(ANSWER)
    assert trip.ask() == QUERY
    trip.without_answers(ANSWER)
    assert trip.ask() == ""
    clock.now += ASK_EVERY_S
    assert trip.ask() == QUERY


def test_a_line_is_behind_when_the_answer_takes_longer_than_on_the_empty_line(clock: Clock) -> None:
    trip = RoundTrip(clock)
    answered_after(trip, clock, 0.16)
    clock.now += 1
    trip.ask()
    clock.now += 0.16 + LATE_S / 2
    assert trip.late_s <= LATE_S
    clock.now += LATE_S
    assert trip.late_s > LATE_S
    trip.without_answers(ANSWER)
    assert trip.late_s <= LATE_S


def test_a_terminal_that_never_answers_is_asked_once_and_never_waited_for(clock: Clock) -> None:
    trip = RoundTrip(clock)
    trip.ask()
    clock.now += PATIENCE_S * 0.9
    assert trip.late_s <= LATE_S
    for _ in range(5):
        clock.now += PATIENCE_S
        assert trip.ask() == ""
        assert trip.late_s <= LATE_S
    assert trip.newest_s is None


def test_a_lost_answer_holds_nothing_up_for_long(clock: Clock) -> None:
    trip = RoundTrip(clock)
    answered_after(trip, clock, 0.05)
    clock.now += 1
    trip.ask()
    clock.now += PATIENCE_S + 1
    assert trip.late_s <= LATE_S
    assert trip.ask() == QUERY


def test_a_late_answer_is_no_key_and_the_terminal_is_asked_again(clock: Clock) -> None:
    trip = RoundTrip(clock)
    trip.ask()
    clock.now += 2 * PATIENCE_S
    assert trip.ask() == ""
    assert trip.without_answers(f"he{ANSWER}llo") == "hello"
    assert trip.ask() == QUERY


def test_a_late_answer_may_be_torn_as_well(clock: Clock) -> None:
    trip = RoundTrip(clock)
    trip.ask()
    clock.now += 2 * PATIENCE_S
    trip.ask()
    assert "".join(trip.without_answers(piece) for piece in ("he", "\x1b", "[", "?6", "2;2c", "llo")) == "hello"


@given(st.text("abc\x1b[?0R~;", max_size=20), st.text("xyz", max_size=5), st.data())
def test_an_answer_torn_anywhere_is_taken_out_of_the_typing(before: str, after: str, data: st.DataObject) -> None:
    before = before.replace("\x1b[?", "").rstrip("\x1b[?0;")
    clock = Clock()
    trip = RoundTrip(clock)
    trip.ask()
    text = before + ANSWER + after
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=5)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    got = "".join(trip.without_answers(piece) for piece in pieces)
    clock.now += 2 * HOLD_S
    assert got + trip.tick() == before + after


def test_escape_is_kept_back_only_while_an_answer_is_expected_and_not_for_long(clock: Clock) -> None:
    trip = RoundTrip(clock)
    assert trip.without_answers("\x1b") == "\x1b"
    trip.ask()
    assert trip.without_answers("\x1b") == ""
    assert trip.tick() == ""
    clock.now += 2 * HOLD_S
    assert trip.tick() == "\x1b"
    assert trip.tick() == ""


def test_keys_and_other_reports_pass(clock: Clock) -> None:
    trip = RoundTrip(clock)
    trip.ask()
    for sequence in ("\x1b[A", "\x1b[1;5R", "\x1b[?2026;2$y", "\x1bc", "\x1b[200~"):
        assert trip.without_answers(sequence) == sequence


def test_whoever_gives_the_terminal_back_gets_the_last_answer_first() -> None:
    trip = RoundTrip()
    assert trip.ask() == QUERY
    answer = threading.Timer(0.05, trip.without_answers, (ANSWER,))
    answer.start()
    trip.await_answer(30.0)
    assert trip.newest_s is not None
    answer.join()


def test_a_terminal_that_does_not_answer_holds_nobody_up_for_long() -> None:
    trip = RoundTrip()
    trip.await_answer(30.0)
    trip.ask()
    trip.await_answer(0.01)
    assert trip.newest_s is None
