from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from engine.profiling import sampling_cost
from engine.profiling.records import CaptureMode
from engine.profiling.request import DEFAULT_RATE, CaptureRequest
from engine.profiling.sampling_cost import (
    CALLS_PER_FRAME,
    CALLS_PER_SAMPLE,
    CALLS_PER_THREAD,
    SHARE,
    USUAL_FRAMES,
    USUAL_THREADS,
    affordable_rate,
    sample_cost_s,
)

MICROSECOND = 1e-6


@contextmanager
def waiting_threads(count: int, depth: int) -> Iterator[None]:
    """Threads that wait for their end below `depth` frames of their own."""
    go_on = threading.Event()
    there = threading.Barrier(count + 1)

    def wait(below: int) -> None:
        if below:
            wait(below - 1)
        else:
            there.wait()
            go_on.wait()

    threads = [threading.Thread(target=wait, args=(depth - 1,)) for _ in range(count)]
    for thread in threads:
        thread.start()
    there.wait()
    try:
        yield
    finally:
        go_on.set()
        for thread in threads:
            thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="the call that is timed is Linux's")
def test_a_look_costs_more_than_one_call_and_less_than_a_sample_takes() -> None:
    cost = sample_cost_s()
    assert cost is not None
    assert 10 * MICROSECOND < cost < 1 / 2


def test_more_threads_and_deeper_stacks_make_a_look_dearer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_cost, "_call_s", lambda: MICROSECOND)
    with waiting_threads(USUAL_THREADS, depth=20):
        before = sample_cost_s()
        with waiting_threads(3, depth=20):
            within = sample_cost_s()
    assert before is not None
    assert within is not None
    assert within - before > 3 * (20 * CALLS_PER_FRAME + CALLS_PER_THREAD) * MICROSECOND


def test_a_program_that_has_not_begun_counts_as_one_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_cost, "_call_s", lambda: MICROSECOND)
    monkeypatch.setattr(sys, "_current_frames", dict)
    usual = USUAL_FRAMES * CALLS_PER_FRAME + USUAL_THREADS * CALLS_PER_THREAD + CALLS_PER_SAMPLE
    assert sample_cost_s() == pytest.approx(usual * MICROSECOND)


async def test_an_event_loop_counts_as_it_is_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_cost, "_call_s", lambda: MICROSECOND)

    def deeper(below: int) -> float | None:
        return deeper(below - 1) if below else sample_cost_s()

    with waiting_threads(USUAL_THREADS, depth=20):
        assert deeper(0) == deeper(50)


@pytest.mark.parametrize(
    ("cost_s", "rate"),
    [(None, 50), (SHARE / 1000, 50), (SHARE / 50, 50), (SHARE / 23.5, 20), (SHARE / 3.5, 3), (1.0, 1)],
    ids=["unknown", "cheap", "just enough", "steps of five", "below a step", "never none"],
)
def test_as_many_samples_as_the_share_pays_for(monkeypatch: pytest.MonkeyPatch, cost_s: float | None, rate: int) -> None:
    monkeypatch.setattr(sampling_cost, "sample_cost_s", lambda: cost_s)
    assert affordable_rate(50) == rate


@pytest.mark.parametrize(
    ("request_", "rate"),
    [
        (CaptureRequest(), 20),
        (CaptureRequest(mode=CaptureMode.IDLE), 20),
        (CaptureRequest(pid=os.getpid()), 20),
        (CaptureRequest(rate=250), 250),
        (CaptureRequest(mode=CaptureMode.GIL), DEFAULT_RATE),
        (CaptureRequest(mode=CaptureMode.NATIVE), DEFAULT_RATE),
        (CaptureRequest(pid=1), DEFAULT_RATE),
    ],
    ids=["default", "idle", "own pid", "chosen", "gil", "native", "another process"],
)
def test_what_is_dear_is_bounded_unless_it_was_chosen(monkeypatch: pytest.MonkeyPatch, request_: CaptureRequest, rate: int) -> None:
    monkeypatch.setattr(sampling_cost, "sample_cost_s", lambda: SHARE / 20)
    assert request_.planned_rate() == rate
