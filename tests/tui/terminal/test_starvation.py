"""How long the screen's threads waited for a CPU of late."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engine.host.contention import RunQueueWait
from tui.terminal.starvation import READ_EVERY_S, WINDOW_S, Starvation, screen_tids


def test_waits_of_the_last_second_add_up_and_older_ones_are_forgotten(tmp_path: Path) -> None:
    stat, now = tmp_path / "1" / "schedstat", [0.0]
    stat.parent.mkdir()
    starvation = Starvation(RunQueueWait(tmp_path, lambda _: frozenset({1})), clock=lambda: now[0])

    def after(seconds: float, waited_ns: int) -> float:
        now[0] += seconds
        stat.write_text(f"5 {waited_ns} 7\n")
        return starvation.recent_s()

    assert after(1.0, 1_000_000_000) == 0.0
    assert after(READ_EVERY_S, 1_200_000_000) == pytest.approx(0.2)
    assert after(READ_EVERY_S, 1_300_000_000) == pytest.approx(0.3)
    assert after(WINDOW_S + READ_EVERY_S, 1_300_000_000) == 0.0


def test_the_event_loop_counts_and_other_threads_do_not() -> None:
    end = threading.Event()
    other = threading.Thread(target=end.wait, name="somebody")
    other.start()
    tids = screen_tids(Path())
    end.set()
    other.join()
    assert threading.main_thread().native_id in tids
    assert other.native_id not in tids
