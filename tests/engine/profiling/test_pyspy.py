from __future__ import annotations

import stat
import sysconfig
from pathlib import Path

import pytest

from engine.errors import CaptureError
from engine.profiling import pyspy
from engine.profiling.permission import Surroundings, obstacle, surroundings
from engine.profiling.pyspy import command_line, find_py_spy, read_report
from engine.profiling.records import CaptureMode

LINUX = Surroundings("linux", 1, container=False, traces=False)
COMMAND = ["/opt/my venv/py-spy", "record", "--pid", "7"]


def only(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let `folder` be the only place where programs are."""
    monkeypatch.setattr(pyspy, "_places", lambda: iter([folder / "py-spy"]))


def test_the_one_of_this_environment_is_found() -> None:
    assert find_py_spy() == Path(sysconfig.get_path("scripts")) / "py-spy"


def test_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only(monkeypatch, tmp_path)
    with pytest.raises(CaptureError, match="py-spy is missing"):
        find_py_spy()


def test_one_that_may_not_be_executed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only(monkeypatch, tmp_path)
    (tmp_path / "py-spy").touch(stat.S_IRUSR)
    with pytest.raises(CaptureError, match=r"chmod \+x"):
        find_py_spy()


def test_the_default_never_stops_the_program_and_native_frames_have_to() -> None:
    flags = {
        mode: command_line(Path("spy"), pid=1, seconds=10, rate=50, mode=mode, output="o")
        for mode in (CaptureMode.PYTHON, CaptureMode.NATIVE, CaptureMode.GIL, CaptureMode.IDLE)
    }
    assert {"--nonblocking", "--function"} <= set(flags[CaptureMode.PYTHON])
    assert "--function" not in flags[CaptureMode.IDLE]
    assert "--native" in flags[CaptureMode.NATIVE]
    assert "--nonblocking" not in flags[CaptureMode.NATIVE]
    assert {"--gil", "--nonblocking"} <= set(flags[CaptureMode.GIL])
    assert {"--idle", "--nonblocking"} <= set(flags[CaptureMode.IDLE])


def test_failures_are_counted_and_each_kind_is_kept_once() -> None:
    complaint = "[2026-01-01T00:00:00Z WARN  py_spy] Failed to get stack trace for thread {}\n"
    report = read_report(
        "py-spy> 1.50s behind in sampling, results may be inaccurate.\npy-spy> Wrote speedscope file to 'x'. Samples: 90 Errors: 12\n",
        complaint.format(139991484655296) + complaint.format(139991484655297),
    )
    assert (report.failures, report.behind_s, report.refused) == (12, 1.5, False)
    assert report.complaints == ("Failed to get stack trace for thread …",)


def test_without_a_tally_every_line_is_a_failure() -> None:
    assert read_report("", "one\n\ntwo\n").failures == 2


def test_escape_sequences_in_complaints_are_shown() -> None:
    assert read_report("", "bad \x1b[2J frame").complaints == ("bad ␛[2J frame",)


def test_a_refusal_is_recognised() -> None:
    assert read_report("", "Permission Denied: Try running again with elevated permissions").refused
    assert read_report("", "Error: Operation not permitted (os error 1)").refused
    assert read_report("", "This program requires root on OSX.\nTry running again with elevated permissions by going 'sudo !!'").refused
    assert not read_report("", "Error: Failed to find python version from target process").refused


@pytest.mark.parametrize(
    ("where", "reason", "step"),
    [
        (LINUX, "ptrace_scope is 1", "sudo '/opt/my venv/py-spy' record --pid 7"),
        (Surroundings("linux", 2, container=False, traces=False), "ptrace_scope is 2", "sudo '/opt/my venv/py-spy' record --pid 7"),
        (Surroundings("linux", 3, container=False, traces=True), "also for root", "kernel.yama.ptrace_scope=1"),
        (Surroundings("linux", 1, container=True, traces=False), "SYS_PTRACE", "docker run --cap-add SYS_PTRACE"),
        (Surroundings("linux", None, container=False, traces=False), "another user", "sudo "),
        (Surroundings("darwin", None, container=False, traces=False), "only root", "sudo "),
        (Surroundings("win32", None, container=False, traces=False), "denied", "administrator"),
    ],
)
def test_every_obstacle_is_explained_with_the_next_step(where: Surroundings, reason: str, step: str) -> None:
    said, hint = obstacle(where, COMMAND, "capture.folded")
    assert reason in said
    assert step in hint


def test_the_hint_leads_back_to_the_viewer() -> None:
    assert "`xchat profile show capture.folded`" in obstacle(LINUX, COMMAND, "capture.folded")[1]


def test_this_machine_can_be_described() -> None:
    assert surroundings().platform
