from __future__ import annotations

import pytest

from engine.profiling.diff import DiffTree, Measure
from engine.profiling.records import CaptureMode
from tests.engine.profiling.captures import record

BEFORE = b"thread: t;run;old 10\nthread: t;run;same 20"
AFTER = b"thread: t;run;new 30\nthread: t;run;same 40"


def about(before: float, after: float) -> Measure:
    return Measure(pytest.approx(before), pytest.approx(after))  # type: ignore[arg-type]


def test_two_captures_are_compared_per_token() -> None:
    diff = DiffTree(record(BEFORE, tokens=100), record(AFTER, tokens=200))
    assert diff.unit == "ms per token"
    assert diff.total(diff.tree.root) == about(6.0, 7.0)
    changes = {change.frame: change.own for change in diff.functions()}
    assert changes["same"].equal
    assert changes["old"].after == 0
    assert changes["new"].before == 0
    assert [change.frame for change in diff.functions()][:2] == ["new", "old"]


def test_failed_samples_and_a_length_that_came_out_otherwise_make_no_difference() -> None:
    whole = record(b"thread: t;run 100", tokens=100, looks=100, seconds=2.0)
    gappy = record(b"thread: t;run 80", tokens=100, looks=80, failures=20, seconds=2.0)
    shorter = record(b"thread: t;run 100", tokens=90, looks=100, seconds=1.8)
    for other in (gappy, shorter):
        diff = DiffTree(whole, other)
        assert diff.total(diff.tree.root) == about(20.0, 20.0)
    assert (whole.time(50), gappy.time(40), record().time(50)) == ("1.00 s", "1.00 s", "1.00 s")


def test_nothing_that_vanished_is_hidden() -> None:
    tree = DiffTree(record(BEFORE, tokens=100), record(AFTER, tokens=200)).tree
    run = tree.children(tree.children(tree.root)[0])[0]
    assert {tree.label(node) for node in tree.children(run)} == {"old", "new", "same"}


def test_own_time_is_what_the_callees_leave() -> None:
    diff = DiffTree(record(b"a;b 5\na 10", tokens=10), record(b"a;b 5\na 20", tokens=10))
    a = diff.tree.children(diff.tree.root)[0]
    assert diff.own(a) == about(20.0, 40.0)


def test_without_tokens_time_is_compared() -> None:
    assert DiffTree(record(BEFORE, tokens=None), record(AFTER, tokens=5)).unit == "ms per second"


def test_files_of_unknown_rate_are_compared_by_shares() -> None:
    diff = DiffTree(record(BEFORE, rate=0, seconds=0.0), record(AFTER, rate=0, seconds=0.0))
    assert diff.unit == "‰ of the samples"
    assert diff.total(diff.tree.root) == about(1000.0, 1000.0)


def test_native_frames_of_one_side_only_are_left_out() -> None:
    native = record(b"thread: Thread-1 (work);decode (engine/a.py:1);llama_decode (libllama.so) 10", tokens=10, mode=CaptureMode.NATIVE)
    diff = DiffTree(record(b"thread: Thread-1 (work);decode (engine/a.py:1) 10", tokens=10), native)
    assert diff.python_only
    assert [change.frame for change in diff.functions()] == ["decode (engine/a.py)"]
    assert diff.functions()[0].own.equal


def test_two_modes_are_compared_without_waiting_which_each_reports_differently() -> None:
    waiting = b"thread: t;run (a.py:1);select (selectors.py:1) 10\nthread: t;run (a.py:1) 5"
    diff = DiffTree(record(b"thread: t;run (a.py:1) 5", tokens=10), record(waiting, tokens=10, mode=CaptureMode.IDLE))
    assert not diff.alike
    assert diff.total(diff.tree.root).equal
    same = DiffTree(record(waiting, tokens=10, mode=CaptureMode.IDLE), record(waiting, tokens=10, mode=CaptureMode.IDLE))
    assert same.alike
    assert "select (selectors.py)" in [change.frame for change in same.functions()]


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        (Measure(4.0, 5.0), "4 → 5 ms, grew by 1 (+25 %)"),
        (Measure(5.0, 4.0), "5 → 4 ms, shrank by 1 (-20 %)"),
        (Measure(100.0, 101.0), "100 → 101 ms, the same"),
        (Measure(0.0, 1.5), "0 → 1.5 ms, new"),
        (Measure(1.5, 0.0), "1.5 → 0 ms, gone"),
    ],
)
def test_changes_are_said_in_words(measure: Measure, words: str) -> None:
    assert measure.words("ms") == words


def test_one_function_is_found_without_counting_all_again() -> None:
    diff = DiffTree(record(b"f (engine/a.py:1) 10", tokens=10), record(b"f (engine/a.py:1) 20", tokens=10))
    assert diff.function("f (engine/a.py)") is diff.functions()[0]
    assert diff.function("g (engine/a.py)") is None


def test_a_search_sums_both_sides() -> None:
    diff = DiffTree(record(BEFORE, tokens=100), record(AFTER, tokens=200))
    assert diff.matching("SAME") == about(4.0, 4.0)
