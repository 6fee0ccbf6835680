"""Captures of the test process itself by the real py-spy, and by scripts that misbehave in its place."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engine.errors import CaptureError, UsageError
from engine.profiling import permission, pyspy_process
from engine.profiling.capture import Capture
from engine.profiling.profiler import Profiler
from engine.profiling.records import CaptureMode
from engine.profiling.request import CaptureRequest, Setting
from engine.profiling.tokens import TokenLog

pytestmark = pytest.mark.slow

ENOUGH = 20
"""Samples after which a thread that is never idle has been seen for sure."""

SWITCH_S = 0.0005

ROOT = Path(__file__).parents[3]

linux = pytest.mark.skipif(sys.platform != "linux", reason="py-spy needs root elsewhere")


@contextmanager
def busy_thread(name: str) -> Iterator[None]:
    """A Python thread that is never idle, and doesn't keep the others from the GIL for long."""
    enough = threading.Event()
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)

    def spin_until_enough() -> None:
        while not enough.is_set():
            sum(range(500))

    thread = threading.Thread(target=spin_until_enough, name=name)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
        sys.setswitchinterval(interval_s)


async def enough_samples(capture: Capture) -> None:
    """Return when ENOUGH samples were taken, however long this machine needs for them."""
    await capture.wait_until_sampling()
    while capture.sampling and (capture.taken or 0) < ENOUGH:
        await asyncio.sleep(0.005)


def script(folder: Path, body: str) -> Path:
    """A program in py-spy's place."""
    path = folder / "fake-spy"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o700)
    return path


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children()]


@pytest.fixture
async def profiler() -> AsyncIterator[Profiler]:
    made = Profiler()
    yield made
    await made.close()


@linux
@pytest.mark.parametrize("mode", [CaptureMode.PYTHON, CaptureMode.NATIVE, CaptureMode.IDLE])
async def test_a_busy_thread_is_seen_and_ending_early_keeps_what_there_is(mode: CaptureMode) -> None:
    tokens = TokenLog()
    capture = Capture(CaptureRequest(60, 200, mode), tokens=tokens, setting=Setting("model", "Q4", "daily"))
    with busy_thread("spinner"):
        await enough_samples(capture)
        capture.stop_early()
        record = await capture.result()
    assert record is not None
    assert (record.mode, record.preset, record.tokens) == (mode, "daily", 0)
    assert "spinner" in record.stacks.threads
    assert "spin_until_enough (engine/profiling/test_capture.py" in record.stacks.text().replace("tests/", "")
    assert record.stacks.runs
    assert 0 < record.seconds < 30
    assert any(lane.name == "spinner" and lane.python for lane in record.lanes)
    assert record.overhead.sampler_cpu_pct is not None


@linux
async def test_ended_at_once_it_still_has_samples() -> None:
    capture = Capture(CaptureRequest(60, 5, CaptureMode.IDLE))
    await capture.wait_until_sampling()
    capture.stop_early()
    record = await capture.result()
    assert record is not None
    assert record.samples > 0


@linux
async def test_the_samples_so_far_are_those_that_the_record_has() -> None:
    capture = Capture(CaptureRequest(60, 100, CaptureMode.IDLE))
    assert capture.taken == 0
    await enough_samples(capture)
    capture.stop_early()
    record = await capture.result()
    assert record is not None
    assert record.samples + record.failures >= ENOUGH


@linux
@pytest.mark.parametrize("mode", [CaptureMode.IDLE, CaptureMode.PYTHON])
async def test_ended_early_it_knows_how_often_it_looked(mode: CaptureMode) -> None:
    capture = Capture(CaptureRequest(60, 100, mode))
    with busy_thread("spinner"):
        await enough_samples(capture)
        capture.stop_early()
        record = await capture.result()
    assert record is not None
    assert record.looks is not None
    seen = record.stacks.samples_of_threads["spinner"]
    if mode is CaptureMode.IDLE:
        assert record.looks == seen
    else:
        # Half a look is rounded away, and half a millisecond of the record's seconds.
        assert record.looks == pytest.approx(max(seen, 100 * record.seconds - record.failures), abs=0.5 + 100 * 0.0005)


@linux
async def test_cancelling_leaves_no_child_and_no_record() -> None:
    before = children()
    capture = Capture(CaptureRequest(60))
    await capture.wait_until_sampling()
    await capture.cancel()
    assert await capture.result() is None
    assert children() == before


async def test_cancelling_before_the_start_is_safe() -> None:
    capture = Capture(CaptureRequest(60))
    await capture.cancel()
    assert await capture.result() is None


@linux
async def test_only_the_child_is_allowed_to_trace_and_only_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed: list[int] = []
    monkeypatch.setattr(permission, "_set_tracer", allowed.append)
    before = set(children())
    capture = Capture(CaptureRequest(60))
    with busy_thread("spinner"):
        await capture.wait_until_sampling()
        (spy,) = set(children()) - before
        assert allowed == [spy]
        capture.stop_early()
        await capture.result()
    assert allowed == [spy, 0]


@linux
async def test_py_spy_killed_in_the_middle_is_told() -> None:
    before = set(children())
    capture = Capture(CaptureRequest(60))
    await capture.wait_until_sampling()
    (spy,) = set(children()) - before
    os.kill(spy, signal.SIGKILL)
    with pytest.raises(CaptureError, match=r"was lost: py-spy was ended by signal 9"):
        await capture.result()


async def test_a_profile_without_samples_is_told(tmp_path: Path) -> None:
    body = """for out; do :; done
echo "Sampling process"
printf '{"shared":{"frames":[]},"profiles":[]}' > "$out"
echo "Samples: 0 Errors: 4"
"""
    program = script(tmp_path, body)
    with pytest.raises(CaptureError, match="All 4 attempts"):
        await Capture(CaptureRequest(1), program=lambda: program).result()


async def test_output_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    program = script(tmp_path, 'echo "Sampling process"; echo "Samples: 3 Errors: 0"')
    with pytest.raises(CaptureError, match="output can't be read"):
        await Capture(CaptureRequest(1), program=lambda: program).result()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('echo "Permission Denied: Try running again" >&2; exit 1', "not permitted to read this process"),
        ('echo "Error: Failed to find python version" >&2; exit 1', "Failed to find python version"),
        ("exit 0", "ended without a message"),
    ],
)
async def test_where_py_spy_cannot_begin_the_program_samples_itself_and_says_why(tmp_path: Path, body: str, said: str) -> None:
    program = script(tmp_path, body)
    capture = Capture(CaptureRequest(60, 200), program=lambda: program)
    with busy_thread("spinner"):
        await enough_samples(capture)
        capture.stop_early()
        record = await capture.result()
    assert record is not None
    assert record.mode is CaptureMode.IN_PROCESS
    assert "spinner" in record.stacks.threads
    assert "profiler" not in record.stacks.threads
    assert said in record.notes[0]


@linux
async def test_a_thread_that_waits_in_native_code_is_not_taken_for_busy(tmp_path: Path) -> None:
    program = script(tmp_path, 'echo "Permission denied" >&2; exit 1')
    nothing: queue.SimpleQueue[None] = queue.SimpleQueue()

    def take_from_native_queue() -> None:
        nothing.get()

    waiter = threading.Thread(target=take_from_native_queue, name="waiter")
    waiter.start()
    try:
        capture = Capture(CaptureRequest(60, 50), program=lambda: program)
        with busy_thread("spinner"):
            await enough_samples(capture)
            capture.stop_early()
            record = await capture.result()
    finally:
        nothing.put(None)
        waiter.join()
    assert record is not None
    assert "spinner" in record.stacks.threads
    assert "waiter" not in record.stacks.threads


async def test_without_py_spy_the_program_samples_itself(tmp_path: Path) -> None:
    def missing() -> Path:
        raise CaptureError("py-spy is missing")

    capture = Capture(CaptureRequest(60, 200, CaptureMode.IDLE), program=missing)
    with busy_thread("spinner"):
        await enough_samples(capture)
        capture.stop_early()
        record = await capture.result()
    assert record is not None
    assert {"spinner", "MainThread"} <= set(record.stacks.threads)


async def test_a_program_that_cannot_be_executed_is_no_dead_end(tmp_path: Path) -> None:
    program = tmp_path / "not-a-program"
    program.write_bytes(b"\x00\x01")
    program.chmod(0o700)
    capture = Capture(CaptureRequest(60), program=lambda: program)
    await capture.wait_until_sampling()
    assert capture.sampling
    await capture.cancel()


async def test_another_process_cannot_be_sampled_from_inside(tmp_path: Path) -> None:
    program = script(tmp_path, 'echo "Permission denied" >&2; exit 1')
    with pytest.raises(CaptureError, match="not permitted to read") as caught:
        await Capture(CaptureRequest(1, pid=1), program=lambda: program).result()
    assert caught.value.hint


async def test_a_flood_of_messages_is_bounded(tmp_path: Path) -> None:
    program = script(tmp_path, "i=0; while [ $i -lt 3000 ]; do echo 'a line of some length, again and again' >&2; i=$((i+1)); done; exit 1")
    capture = Capture(CaptureRequest(60, pid=1), program=lambda: program)
    with pytest.raises(CaptureError) as caught:
        await capture.result()
    assert caught.value.detail == "a line of some length, again and again"


@linux
async def test_a_py_spy_that_ignores_the_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyspy_process, "END_S", 0.1)
    before = children()
    program = script(tmp_path, "trap '' INT; echo 'Sampling process'; while :; do sleep 60; done")
    capture = Capture(CaptureRequest(60), program=lambda: program)
    await capture.wait_until_sampling()
    await capture.cancel()
    assert children() == before


@linux
def test_nothing_is_left_behind_when_the_program_is_killed() -> None:
    code = """
import asyncio, psutil, sys
from engine.profiling.capture import Capture
from engine.profiling.request import CaptureRequest
async def main():
    capture = Capture(CaptureRequest(60))
    await capture.wait_until_sampling()
    print(psutil.Process().children()[0].pid, flush=True)
    await capture.result()
asyncio.run(main())
"""
    program = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    spy = psutil.Process(int(program.stdout.readline()))
    program.kill()
    program.wait()
    program.stdout.close()
    gone, _ = psutil.wait_procs([spy], timeout=5)
    assert gone or spy.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("seconds", "rate"), [(0, 50), (3601, 50), (10, 0), (10, 1001)])
def test_a_request_that_cannot_be_meant_is_refused(seconds: int, rate: int) -> None:
    with pytest.raises(UsageError):
        CaptureRequest(seconds, rate)


async def test_a_second_capture_is_refused_while_one_runs(profiler: Profiler) -> None:
    capture = profiler.start(CaptureRequest(60))
    with pytest.raises(CaptureError, match="A capture is running"):
        profiler.start(CaptureRequest(60))
    assert profiler.active is capture
    await capture.cancel()
    assert profiler.active is None
    await profiler.start(CaptureRequest(60)).cancel()


async def test_the_begin_and_the_end_of_a_capture_are_reported() -> None:
    changes: list[bool] = []
    await Profiler(changes.append).start(CaptureRequest(60)).cancel()
    assert changes == [True, False]


async def test_quitting_cancels_the_capture() -> None:
    before = children()
    profiler = Profiler()
    capture = profiler.start(CaptureRequest(60))
    await capture.wait_until_sampling()
    await profiler.close()
    assert children() == before
