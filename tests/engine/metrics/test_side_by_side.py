"""Two sets of turns held against each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.metrics.figures import BY_ID
from engine.metrics.side_by_side import COMPARED, Side, side_by_side
from engine.records import TurnRecord
from tests.factories import turn_record


def turn(milliseconds: float, noisy: str | None = None) -> TurnRecord:
    record = turn_record()
    return replace(record, noisy=noisy, timings=replace(record.timings, predicted_n=100, predicted_ms=milliseconds))


def test_the_change_of_the_medians_is_told_and_which_way_is_better() -> None:
    slow = Side("slow", tuple(turn(ms) for ms in (2000, 2010, 1990)))
    fast = Side("fast", tuple(turn(ms) for ms in (1000, 1005, 995)))
    decode = side_by_side(slow, fast)[0]
    assert decode.figure.name == "Decode speed"
    assert decode.change == pytest.approx(1.0)
    assert decode.better is True
    assert side_by_side(fast, slow)[0].better is False


def test_noisy_turns_do_not_count() -> None:
    side = Side("one", (turn(1000), turn(9000, noisy="a busy neighbour")))
    middle = side.middle(COMPARED[0])
    assert middle is not None
    assert (middle.median, middle.turns) == (100.0, 1)
    assert side.middle(COMPARED[-1]) is None


def disturbed(milliseconds: float, share: float) -> TurnRecord:
    return replace(turn(milliseconds, noisy="others"), disturbed=share)


def test_without_quiet_turns_disturbed_ones_count_the_less_the_more_others_took_within_what_they_took() -> None:
    side = Side("one", (disturbed(1000, 0.1), disturbed(5000, 0.8), disturbed(4000, 0.8)))
    middle = side.middle(COMPARED[0])
    assert middle is not None
    assert side.disturbed
    assert (middle.median, middle.disturbed) == (100.0, True)
    assert middle.deviation == pytest.approx(80.0)


def test_time_that_others_took_does_not_make_memory_or_tokens_uncertain() -> None:
    side = Side("one", tuple(replace(disturbed(1000, share), rss_peak_bytes=size) for share, size in ((0.1, 10**9), (0.8, 3 * 10**9))))
    peak = side.middle(BY_ID["rss_peak_bytes"])
    assert peak is not None
    assert (peak.median, peak.deviation, peak.disturbed) == (2000.0, 1000.0, False)
    tokens = side.middle(BY_ID["predicted_n"])
    assert tokens is not None
    assert (tokens.median, tokens.deviation, tokens.disturbed) == (100.0, 0.0, False)


def test_a_disturbed_side_is_better_only_beyond_what_others_took() -> None:
    quiet = Side("quiet", (turn(1000),))
    assert side_by_side(quiet, Side("slower", (disturbed(1500, 0.6),)))[0].better is None
    assert side_by_side(quiet, Side("much slower", (disturbed(5000, 0.1),)))[0].better is False


def test_a_difference_within_what_both_vary_by_is_no_verdict() -> None:
    one = Side("one", tuple(turn(ms) for ms in (900, 1000, 1100)))
    other = Side("other", tuple(turn(ms) for ms in (910, 1010, 1110)))
    assert side_by_side(one, other)[0].better is None


def test_a_figure_of_one_side_only_is_shown_without_a_change() -> None:
    decode = side_by_side(Side("empty", ()), Side("one", (turn(1000),)))[0]
    assert (decode.left, decode.change, decode.better) == (None, None, None)
