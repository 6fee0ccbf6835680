"""Enter sends what a person typed, and never a line of a paste."""

from __future__ import annotations

from tui.prompt.enter_rule import PASTE_ENDS_S, EnterRule, Verdict


def test_a_person_who_types_and_presses_enter_sends() -> None:
    rule = EnterRule()
    rule.key(1.0)
    assert rule.enter(1.1) is Verdict.SEND


def test_enter_tight_behind_a_key_waits_to_see_whether_more_follows() -> None:
    rule = EnterRule()
    rule.key(1.0)
    assert rule.enter(1.001) is Verdict.WAIT


def test_once_more_followed_every_enter_of_the_paste_is_a_newline() -> None:
    rule = EnterRule()
    rule.key(1.0)
    rule.enter(1.001)
    rule.was_newline()
    rule.key(1.002)
    assert rule.enter(1.003) is Verdict.NEWLINE
    rule.key(1.2)
    assert rule.enter(1.201) is Verdict.NEWLINE


def test_after_the_paste_has_ended_enter_sends_again() -> None:
    rule = EnterRule()
    rule.burst("two\rlines", 1.0)
    assert rule.enter(1.0 + PASTE_ENDS_S * 1.1) is Verdict.SEND


def test_enter_right_behind_a_bracketed_paste_sends() -> None:
    rule = EnterRule()
    rule.bracketed()
    assert rule.enter(1.0) is Verdict.SEND


def test_a_burst_of_one_line_and_enter_is_sent_when_nothing_follows() -> None:
    rule = EnterRule()
    rule.burst("one line", 1.0)
    assert rule.enter(1.001) is Verdict.WAIT
