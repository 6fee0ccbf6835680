"""`xchat runs`: what bench and race logged, listed, shown, compared and deleted."""

from __future__ import annotations

import json

import pytest

from tests.tui.cli.conftest import Run

BENCH = ("bench", "builtin", "-p", "8", "-n", "0", "-t", "1", "-r", "2")


@pytest.fixture
def logged(xchat: Run) -> Run:
    """Two benchmarks of one test, and a race."""
    for _ in range(2):
        assert xchat(*BENCH).code == 0
    assert xchat("race", "threads=1", "threads=2", "-m", "builtin", "--seconds", "0.01").code == 0
    return xchat


@pytest.mark.slow
def test_runs_are_listed_shown_compared_and_deleted(logged: Run) -> None:
    lines = logged("runs", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["3", "2", "1"]
    assert "threads=1 : threads=2" in lines[0]
    assert [run["kind"] for run in json.loads(logged("runs", "list", "--json").out)] == ["race", "bench", "bench"]

    shown = logged("runs", "show", "1").out
    assert "pp8" in shown.splitlines()[0]
    assert "To repeat it: xchat bench" in shown
    assert "INCONCLUSIVE" in logged("runs", "show", "3").out.splitlines()[0]
    assert json.loads(logged("runs", "show", "1", "--json").out)["facts"]["rows"][0]["n_prompt"] == 8

    assert "tokens/s" in logged("runs", "compare", "1", "2").out.splitlines()[0]
    (row,) = json.loads(logged("runs", "compare", "1", "2", "--json").out)
    assert row["before"] > 0
    other = logged("runs", "compare", "1", "3")
    assert (other.code, other.out) == (2, "")
    assert "Runs 1 and 3 have no row in common" in other.err

    assert logged("runs", "delete", "1").code == 0
    assert [run["id"] for run in json.loads(logged("runs", "list", "--json").out)] == [3, 2]


@pytest.mark.parametrize("arguments", [("show", "7"), ("delete", "7"), ("compare", "7", "8")], ids=" ".join)
def test_a_run_that_is_not_there_is_named(xchat: Run, arguments: tuple[str, ...]) -> None:
    ran = xchat("runs", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "There is no run 7" in ran.err


@pytest.mark.slow
def test_runs_that_are_not_to_be_kept_are_not(xchat: Run) -> None:
    assert xchat(*BENCH, "--no-log").code == 0
    assert json.loads(xchat("runs", "list", "--json").out) == []


def test_a_benchmark_is_measured_again_and_reported_in_both_forms(logged: Run) -> None:
    ran = logged("runs", "again", "1", "--slower", "99", "--seconds", "0.01")
    assert ran.code == 0, ran.err
    assert "machine, kernel and library are the same" in ran.out.splitlines()[0]
    assert json.loads(logged("runs", "list", "--json").out)[0]["id"] == 4
    assert logged("runs", "report", "1", "4").out.startswith("# Run 1 before, run 4 after")
    for which in ("1", "3"):
        assert logged("runs", "report", which, "--format", "html").out.startswith("<!doctype html>")
        assert "## Repeat it" in logged("runs", "report", which).out
    refused = logged("runs", "again", "3")
    assert (refused.code, refused.out) == (2, "")
