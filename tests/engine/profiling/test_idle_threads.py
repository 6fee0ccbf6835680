from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.profiling.idle_threads import INTERVAL_NS, IdleThreads


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """What the kernel would say of this thread."""
    path = tmp_path / "self/task" / str(threading.get_native_id()) / "schedstat"
    path.parent.mkdir(parents=True)
    return path


def rests(resting: IdleThreads, looks: int) -> bool:
    """Whether this thread rests, at the given look."""
    here = threading.current_thread()
    return here.ident in resting.sample([here], looks * INTERVAL_NS)


def test_a_thread_whose_time_stands_still_rests(tmp_path: Path, clock: Path) -> None:
    resting = IdleThreads(tmp_path)
    clock.write_text("5000000 0 7")
    assert not rests(resting, 1)
    assert rests(resting, 2)
    clock.write_text(f"{5_000_000 + INTERVAL_NS // 2} 0 8")
    assert not rests(resting, 3)


def test_a_thread_that_waits_for_a_core_does_not_rest(tmp_path: Path, clock: Path) -> None:
    resting = IdleThreads(tmp_path)
    clock.write_text("5000000 0 7")
    rests(resting, 1)
    clock.write_text(f"5000000 {INTERVAL_NS} 7")
    assert not rests(resting, 2)


@pytest.mark.parametrize("text", ["0 0 0", "", None])
def test_where_the_kernel_does_not_count_nobody_is_said_to_rest(tmp_path: Path, clock: Path, text: str | None) -> None:
    if text is not None:
        clock.write_text(text)
    resting = IdleThreads(tmp_path)
    assert not rests(resting, 1)
    assert not rests(resting, 2)
