"""What the kernel says about programs that compete for the CPUs."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.host.contention import READ_EVERY_NS, RunQueueWait, compute_tids, crowded_now

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def proc(folder: Path, *, avg10: str | None, running: int | None) -> Path:
    """A /proc with what the test is about."""
    if avg10 is not None:
        (folder / "pressure").mkdir()
        (folder / "pressure/cpu").write_text(
            f"some avg10={avg10} avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
        )
    if running is not None:
        (folder / "stat").write_text(f"cpu 1 2 3\nctxt 5\nprocs_running {running}\nprocs_blocked 0\n")
    return folder


@pytest.mark.parametrize(
    ("avg10", "running", "crowded"),
    [
        ("0.00", 1, False),
        ("0.00", 9, False),  # nobody waited in the last ten seconds: a herd that has just come or an accident of this instant
        ("3.00", 5, True),
        ("45.10", 1, True),
        (None, 5, True),
        (None, 2, False),
        ("12.00", None, True),
        ("nonsense", 5, True),
        (None, None, None),
    ],
)
def test_the_first_look_needs_no_earlier_one(tmp_path: Path, avg10: str | None, running: int | None, crowded: bool | None) -> None:
    assert crowded_now(proc(tmp_path, avg10=avg10, running=running), cpus=2) is crowded


@pytest.mark.parametrize(("avg10", "running", "crowded"), [("45.10", 1, False), ("45.10", 5, True), ("12.00", None, True)])
def test_the_pressure_of_seconds_in_which_this_process_computed_proves_nothing_alone(
    tmp_path: Path, avg10: str, running: int | None, crowded: bool
) -> None:
    assert crowded_now(proc(tmp_path, avg10=avg10, running=running), cpus=2, computed_lately=True) is crowded


def test_waits_for_other_threads_of_this_process_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    used = [0]

    def now(*, process: int, ran: int, waited: int) -> int | None:
        used[0] = process
        (tmp_path / "1/schedstat").write_text(f"{ran} {waited} 7\n")
        return waits.since_last()

    waits = RunQueueWait(tmp_path, lambda _: frozenset({1}), process_ns=lambda: used[0])
    waits.refresh()
    assert now(process=100, ran=100, waited=0) is None
    assert now(process=200, ran=200, waited=50) == 50, "nothing else of this process ran"
    assert now(process=330, ran=300, waited=100) == 20, "the screen took 30 of 50"
    assert now(process=440, ran=400, waited=105) == 0
    assert now(process=540, ran=450, waited=105) == 0, "a file that is behind the clock of the process"
    assert now(process=600, ran=560, waited=145) == 40, "catches up: none of that was other threads"
    waits.close()


def test_waits_of_threads_that_come_and_go_are_added_up(tmp_path: Path) -> None:
    def schedstat(tid: int, waited: int) -> None:
        (tmp_path / str(tid)).mkdir(exist_ok=True)
        (tmp_path / str(tid) / "schedstat").write_text(f"1000 {waited} 7\n")

    tids = {1, 2}
    waits = RunQueueWait(tmp_path, lambda _: frozenset(tids))
    schedstat(1, 100)
    schedstat(2, 50)
    waits.refresh()
    assert waits.since_last() is None
    schedstat(1, 180)
    assert waits.since_last() == 80
    tids.add(3)
    schedstat(3, 9_000)
    waits.refresh()
    schedstat(2, 60)
    assert waits.since_last() == 10
    tids.remove(1)
    waits.refresh()
    schedstat(3, 9_001)
    assert waits.since_last() == 1
    waits.close()


def test_after_a_call_workers_that_it_started_are_found_and_short_calls_share_a_reading(tmp_path: Path) -> None:
    def schedstat(tid: int, waited: int) -> None:
        (tmp_path / str(tid)).mkdir(exist_ok=True)
        (tmp_path / str(tid) / "schedstat").write_text(f"1000 {waited} 7\n")

    waits = RunQueueWait(tmp_path, lambda tasks: frozenset(int(path.name) for path in tasks.iterdir() if path.name.isdigit()))
    schedstat(1, 100)
    assert waits.after_call(READ_EVERY_NS, 1) is None
    schedstat(1, 150)
    schedstat(2, 9_000)
    assert waits.after_call(2 * READ_EVERY_NS - 1, 2) is None
    assert waits.after_call(2 * READ_EVERY_NS, 2) == 50
    schedstat(2, 9_007)
    assert waits.after_call(3 * READ_EVERY_NS, 2) == 7
    waits.close()


def test_a_kernel_without_schedstat_says_nothing(tmp_path: Path) -> None:
    waits = RunQueueWait(tmp_path / "none", compute_tids)
    waits.refresh()
    assert waits.since_last() is None


@linux
def test_threads_of_python_are_no_compute_threads() -> None:
    stop = threading.Event()
    other = threading.Thread(target=stop.wait, name="something")
    compute = threading.Thread(target=stop.wait, name="xchat-compute")
    other.start()
    compute.start()
    try:
        found = compute_tids(Path("/proc/self/task"))
        assert compute.native_id in found
        assert other.native_id not in found
        assert threading.get_native_id() not in found
    finally:
        stop.set()
        other.join()
        compute.join()


@linux
@pytest.mark.slow
def test_a_thread_that_shares_its_cpu_is_seen_to_wait(tmp_path: Path) -> None:
    script = "import os,sys;sys.path[:0]=[sys.argv[1]]\nfrom pathlib import Path\nfrom engine.host.contention import RunQueueWait\n" + (
        "os.sched_setaffinity(0,{min(os.sched_getaffinity(0))})\n"
        "waits=RunQueueWait(tids=lambda _:frozenset({os.getpid()}))\n"
        "waits.refresh();waits.since_last()\n"
        "import time\nend=time.process_time()+0.3\n"
        "while time.process_time()<end: pass\n"
        "print(waits.since_last())\n"
    )
    root = str(Path(__file__).parents[3])
    pair = [subprocess.Popen([sys.executable, "-c", script, root], stdout=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(2)]
    waited = [int(process.communicate(timeout=60)[0]) for process in pair]
    assert max(waited) > 50_000_000, "two that each want one CPU for 0.3 s wait for each other"
