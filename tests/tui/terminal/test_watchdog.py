"""The time limit for the end of the program, also where memory allows no more threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]

PROGRAM = """
import sys, threading, time
from tui.terminal.watchdog import Watchdog
if "full" in sys.argv:
    def refuse(thread):
        raise RuntimeError("can't start new thread")
    threading.Thread.start = refuse
watchdog = Watchdog()
watchdog.arm(60, 5)
watchdog.arm(0.05, 5)
if "ends" in sys.argv:
    watchdog.disarm()
    time.sleep(0.2)
else:
    time.sleep(60)
"""


@pytest.mark.parametrize("threads", ["free", "full"])
@pytest.mark.parametrize("end", ["hangs", "ends"])
def test_an_end_that_hangs_is_cut_and_one_in_time_is_not(threads: str, end: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, threads, end], cwd=REPOSITORY, timeout=30, check=False)
    assert (done.returncode == 0) == (end == "ends")
