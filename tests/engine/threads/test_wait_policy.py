"""Whether waiting threads spin or sleep: the decision, the guard that applies it, and the lever of libgomp."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.host.contention import RunQueueWait
from engine.threads.spin_lever import find_lever
from engine.threads.wait_policy import CALM_S, FIRST_CALM_S, LONGEST_CALM_S, PRESSURE_S, STALE_S, TICK_S, Judgement, WaitPolicy


def looks(judgement: Judgement, share: float, seconds: float) -> bool:
    for _ in range(round(seconds / TICK_S)):
        judgement.add(share, TICK_S)
    return judgement.spins


def test_a_crowd_ends_spinning_at_once() -> None:
    judgement = Judgement()
    judgement.begin(crowded=False)
    assert not judgement.add(0.7, TICK_S)


def test_one_slice_of_another_program_is_no_crowd() -> None:
    judgement = Judgement()
    judgement.begin(crowded=False)
    assert judgement.add(0.2, TICK_S)
    assert judgement.add(0.01, TICK_S)
    assert judgement.add(0.2, TICK_S)
    assert not judgement.add(0.2, TICK_S)


def test_spinning_is_back_after_half_a_second_of_calm() -> None:
    judgement = Judgement()
    judgement.begin(crowded=True)
    assert not looks(judgement, 0.4, 3)
    assert not looks(judgement, 0.01, CALM_S - 2 * TICK_S)
    assert looks(judgement, 0.01, 3 * TICK_S)


def test_a_crowd_that_takes_no_time_is_a_wrong_guess_for_a_moment_only() -> None:
    judgement = Judgement()
    judgement.begin(crowded=True)
    assert not looks(judgement, 0.0, FIRST_CALM_S - TICK_S)
    assert looks(judgement, 0.0, 2 * TICK_S)


def test_a_neighbour_that_comes_and_goes_makes_it_patient() -> None:
    judgement = Judgement()
    judgement.begin(crowded=False)
    flips = 0
    for second in range(120):
        share = 0.6 if second % 2 else 0.0
        for _ in range(round(1 / TICK_S)):
            before = judgement.spins
            flips += judgement.add(share, TICK_S) is not before
    assert flips < 20
    assert not looks(judgement, 0.0, CALM_S + TICK_S), "half a second of calm was wrong before"
    assert looks(judgement, 0.0, LONGEST_CALM_S)


@pytest.mark.parametrize("crowded", [True, False, None])
def test_the_first_call_begins_with_what_the_machine_looks_like(crowded: bool | None) -> None:
    judgement = Judgement()
    judgement.begin(crowded)
    assert judgement.spins is not crowded or crowded is None


class Recorded:
    """A lever that remembers and announces what was done with it."""

    def __init__(self) -> None:
        self.throttled = threading.Event()
        self.released = threading.Event()

    def throttle(self) -> None:
        self.throttled.set()

    def release(self) -> None:
        self.released.set()


class Waits(RunQueueWait):
    """Says what the test wants."""

    def __init__(self, waited_ns: Callable[[], int | None]) -> None:
        super().__init__(Path("/nowhere"))
        self._waited_ns = waited_ns

    def since_last(self) -> int | None:
        return self._waited_ns()


def policy(lever: Recorded, share: Callable[[], float | None], crowded: bool | None = False) -> WaitPolicy:
    def waited_ns() -> int | None:
        now = share()
        return None if now is None else int(now * 2 * TICK_S * 1e9)

    return WaitPolicy(lever, waits=Waits(waited_ns), crowded=lambda _: crowded)


def test_spinning_ends_within_the_running_call() -> None:
    lever = Recorded()
    waits = policy(lever, lambda: 0.8)
    try:
        waits.before(2)
        assert lever.throttled.wait(10), "the call is still running"
        assert not waits.now.spins
        assert "sleep at once: they waited" in waits.now.reason
        waits.after()
    finally:
        waits.close()


def test_a_crowded_machine_is_seen_before_the_first_call() -> None:
    lever = Recorded()
    waits = policy(lever, lambda: 0.4, crowded=True)
    try:
        waits.before(2)
        assert lever.throttled.is_set()
    finally:
        waits.close()
    assert lever.released.is_set()


def test_one_thread_left_on_a_machine_that_is_quiet_again_lets_threads_spin() -> None:
    lever = Recorded()
    waits = policy(lever, lambda: 0.0, crowded=True)
    try:
        waits.before(1)
        assert lever.throttled.is_set()
        assert lever.released.wait(10), "the call is still running"
        waits.after()
    finally:
        waits.close()


def test_pressure_that_this_process_may_have_made_is_known_as_such() -> None:
    asked: list[bool] = []

    def crowded(lately: bool) -> bool:
        asked.append(lately)
        return False

    waits = WaitPolicy(Recorded(), waits=Waits(lambda: 0), crowded=crowded)
    try:
        waits.before(2)
        waits.after()
        waits._ended_s -= 2 * STALE_S
        waits.before(2)
        waits.after()
        waits._ended_s -= 2 * PRESSURE_S
        waits.before(2)
        waits.after()
    finally:
        waits.close()
    assert asked == [False, True, False]


def test_one_thread_has_nobody_to_wait_for() -> None:
    lever, looked = Recorded(), threading.Semaphore(0)
    alone = threading.Event()

    def share() -> float:
        looked.release()
        return 0.9 if alone.is_set() else 0.0

    waits = policy(lever, share)
    try:
        waits.before(2)
        assert looked.acquire(timeout=10)
        waits.before(1)
        alone.set()
        for _ in range(4):
            assert looked.acquire(timeout=10)
        assert not lever.throttled.is_set()
        waits.before(2)
        assert lever.throttled.wait(10)
    finally:
        waits.close()


@pytest.mark.slow
def test_nothing_wakes_up_between_turns() -> None:
    ticks: list[int] = []

    def tick() -> float:
        ticks.append(1)
        return 0.0

    waits = policy(Recorded(), tick)
    try:
        waits.before(2)
        waits.after()
        end = time.monotonic() + 20 * STALE_S
        while waits._active.is_set() and time.monotonic() < end:
            time.sleep(TICK_S)
        assert not waits._active.is_set()
        before = len(ticks)
        time.sleep(4 * TICK_S)
        assert len(ticks) == before
    finally:
        waits.close()


def test_without_a_lever_it_says_why_and_does_nothing() -> None:
    waits = WaitPolicy(None, "the native library was not built with libgomp")
    waits.before(2)
    waits.after()
    assert waits.now.spins
    assert waits.now.reason == "the native library was not built with libgomp"
    waits.close()


@pytest.mark.parametrize(
    ("maps", "why"),
    [
        ("7f00-7f01 r-xp 00000000 00:00 1 /usr/lib/libc.so.6\n7f02-7f03 rw-p 00000000 00:00 0 \n", "not built with libgomp"),
        ("7f00-7f01 r-xp 0 0:0 1 /a/libgomp.so.1\n7f00-7f01 r-xp 0 0:0 1 /b/libgomp-12.so\n", "several copies"),
        ("7f00-7f01 r-xp 0 0:0 1 /nowhere/libgomp.so.1\n", "cannot be called"),
    ],
)
def test_where_there_is_no_lever_the_reason_is_known(tmp_path: Path, maps: str, why: str) -> None:
    (tmp_path / "maps").write_text(maps)
    lever, reason = find_lever(tmp_path / "maps")
    assert lever is None
    assert why in reason


def test_who_sets_the_wait_policy_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert find_lever() == (None, "OMP_WAIT_POLICY in the environment sets how threads wait")


@pytest.mark.skipif(sys.platform != "linux", reason="libgomp")
def test_the_real_lever_throttles_and_lets_go(tmp_path: Path) -> None:
    # A process of its own: libgomp's count of managed threads belongs to the process.
    script = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
ctypes.CDLL("libgomp.so.1")
from engine.threads.spin_lever import find_lever
lever, why = find_lever()
assert lever is not None, why
def threads(): return len(os.listdir("/proc/self/task"))
before = threads()
for _ in range(20):
    lever.throttle(); lever.throttle()
    assert lever.throttled and threads() > before
    lever.release(); lever.release()
    assert not lever.throttled
import time
end = time.monotonic() + 10
while threads() > before and time.monotonic() < end: time.sleep(0.01)
assert threads() == before, threads()
print("held")
"""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        pytest.skip("no libgomp here")
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parents[3])], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout.strip() == "held", done.stderr
