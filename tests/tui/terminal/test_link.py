"""The line decides the pace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.metrics.link import Link
from tui.terminal.link import ASKED_SHARE, LONGEST_S, SLOW_AFTER_S, WELL_AFTER_S, LinkWatch, Pacer

FREE = Link(backlog=0, stalled_s=0.0)
BEHIND = Link(backlog=3, stalled_s=0.0)


def test_a_free_local_line_is_painted_ten_times_a_second_and_a_remote_one_four_times() -> None:
    assert Pacer(remote=False).pause() == pytest.approx(0.1)
    assert Pacer(remote=True).pause() == pytest.approx(0.25)


def test_while_the_terminal_is_behind_nothing_is_painted() -> None:
    pacer = Pacer(remote=False)
    assert not any(pacer.due(BEHIND, at / 10) for at in range(20))
    assert pacer.slowed


def test_the_next_pause_is_as_long_as_the_line_needed_within_a_limit() -> None:
    pacer = Pacer(remote=False)
    pacer.due(BEHIND, 5.0)
    pacer.due(BEHIND, 5.1)
    assert pacer.due(FREE, 5.3)
    assert pacer.pause() == pytest.approx(0.1 + 0.3)
    pacer.due(BEHIND, 6.0)
    pacer.due(FREE, 60.0)
    assert pacer.pause() == LONGEST_S


def test_a_write_that_stands_still_counts_as_behind() -> None:
    assert not Pacer(remote=False).due(Link(backlog=0, stalled_s=0.2), 0.0)


def test_what_the_machine_explains_is_no_slow_line_and_what_it_does_not_explain_is_one() -> None:
    starved = Link(backlog=2, stalled_s=0.2, late_s=0.4, starved_s=0.2)
    assert Pacer(remote=False).due(starved, 0.0)
    assert not Pacer(remote=False).due(replace(starved, late_s=2.0), 0.0)
    assert not Pacer(remote=False).due(replace(starved, backlog=9), 0.0)
    assert not Pacer(remote=True).due(replace(starved, remote=True), 0.0)


def test_a_flush_that_waited_for_the_line_counts_until_one_goes_freely() -> None:
    pacer = Pacer(remote=False)
    pacer.due(BEHIND, 0.0)
    pacer.due(FREE, 2.0)
    assert pacer.held_up
    pacer.due(FREE, 4.0)
    assert not pacer.held_up


def test_a_late_answer_of_the_terminal_counts_as_behind() -> None:
    assert not Pacer(remote=False).due(Link(backlog=0, stalled_s=0.0, late_s=0.2), 0.0)


def test_when_the_line_is_free_again_the_pace_comes_back_step_by_step() -> None:
    pacer = Pacer(remote=False)
    pacer.due(BEHIND, 0.0)
    pacer.due(FREE, 9.0)
    pacer.due(FREE, 10.0)
    assert 1.0 < pacer.pause() < LONGEST_S
    for at in range(60):
        pacer.due(FREE, 11.0 + at)
    assert pacer.pause() == pytest.approx(0.1)
    assert not pacer.slowed


def test_painting_keeps_to_its_share_of_a_core_and_text_never_waits_longer_than_a_quarter_of_a_second_for_it() -> None:
    pacer = Pacer(remote=False)
    assert pacer.pause(0.0025) == pytest.approx(0.25)
    assert pacer.pause(5.0) == pytest.approx(0.25)
    pacer.share = ASKED_SHARE
    assert pacer.pause(0.02) == pytest.approx(0.2)


def test_a_slow_line_is_noticed_and_a_wobble_is_not() -> None:
    watch = LinkWatch(slow=False)
    assert not watch.sample(slowed=True, now_s=0.0)
    assert not watch.sample(slowed=False, now_s=SLOW_AFTER_S - 1)
    assert not watch.sample(slowed=True, now_s=5.0)
    assert watch.sample(slowed=True, now_s=5.0 + SLOW_AFTER_S)
    assert watch.slow
    assert not watch.sample(slowed=False, now_s=20.0)
    assert watch.sample(slowed=False, now_s=20.0 + WELL_AFTER_S)
    assert not watch.slow


def test_a_fixed_batch_keeps_its_pace_when_the_line_changes() -> None:
    pacer = Pacer(remote=False)
    pacer.set_remote(remote=True)
    assert pacer.pause() == pytest.approx(0.25)
    pacer.floor_s = 0.02
    pacer.set_remote(remote=False)
    assert pacer.pause() == pytest.approx(0.02)
