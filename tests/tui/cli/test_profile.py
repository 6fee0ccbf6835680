from __future__ import annotations

import io
import sqlite3
from pathlib import Path

import pytest

import tui.cli
from engine.clock import now_ns, wall_ms
from engine.errors import CaptureError, UsageError
from engine.paths import database_path
from engine.profiling.records import CaptureMode, CaptureRecord
from engine.profiling.request import CaptureRequest
from engine.records import TurnRecord
from engine.store.captures import NOISE, list_captures, save_capture
from engine.timings import compute_timings
from tests.engine.profiling.captures import FOLDED, record
from tests.engine.profiling.test_capture import ENOUGH, linux
from tests.factories import turn_record
from tui.cli.main import COMMANDS, parse
from tui.cli.profile import Recorder, with_turn

pytestmark = pytest.mark.slow


def xchat(*arguments: str) -> int:
    options = parse(["profile", *arguments])
    return int(options.run(options))


def turn(started_ms: int, token_ns: tuple[int, ...]) -> TurnRecord:
    first = token_ns[0]
    timings = compute_timings(cache_n=0, prompt_n=1, submitted_ns=first, prefill_start_ns=first, prefill_end_ns=first, token_ns=token_ns)
    return turn_record(id=9, started_ms=started_ms, timings=timings, token_ns=token_ns)


def test_every_module_with_a_command_is_found_by_the_program() -> None:
    folder = Path(tui.cli.__file__).parent
    files = [path for path in folder.rglob("*.py") if "def add_parser(" in path.read_text()]
    modules = {".".join(("tui", "cli", *path.relative_to(folder).with_suffix("").parts)) for path in files}
    assert modules == {module for module, _ in COMMANDS.values()}


@pytest.fixture
def saved() -> int:
    return save_capture(database_path(), record(tokens=120, preset="daily"))


def test_captures_are_listed(saved: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert xchat("list") == 0
    line = capsys.readouterr().out
    assert f"Capture {saved}" in line
    assert "120 tokens" in line


def test_a_pipe_gets_the_functions_as_text(saved: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert xchat("show", str(saved)) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].startswith("2.0 s at 50/s · 120 tokens · cost unknown · 100 samples")
    assert shown[4].split() == ["40.0", "%", "40.0", "%", "llama_decode", "(libllama.so)"]


def test_a_folded_file_can_stand_for_a_capture(saved: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "elsewhere.folded"
    path.write_bytes(FOLDED + b"\x1b[31mevil 5\n")
    assert xchat("diff", str(saved), str(path)) == 0
    shown = capsys.readouterr().out
    assert "Capture 1 daily → elsewhere.folded" in shown
    assert "\x1b" not in shown
    assert "␛[31mevil" in shown


def test_of_native_frames_the_waiting_ones_are_left_out_and_template_arguments_too(capsys: pytest.CaptureFixture[str]) -> None:
    folded = b"thread: t;work (a.py:1);std::map<int, std::less<int> >::find (libllama.so) 30\nthread: t;epoll_wait (libc.so.6) 70"
    saved = save_capture(database_path(), record(folded, mode=CaptureMode.NATIVE))
    assert xchat("show", str(saved)) == 0
    shown = capsys.readouterr().out
    assert "Idle samples are left out: 70.0 % of the samples." in shown
    assert "100.0 % 100.0 %  std::map<…>::find (libllama.so)" in shown
    assert "epoll_wait" not in shown
    other = save_capture(database_path(), record(b"thread: t;work (a.py:1) 30", tokens=10))
    assert xchat("diff", str(saved), str(other)) == 0
    shown = capsys.readouterr().out
    assert "Idle samples are left out, since not every mode records them." in shown
    assert "epoll_wait" not in shown


def test_exports_go_where_they_are_sent(saved: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.svg"
    assert xchat("export", str(saved), "--format", "svg", "-o", str(path)) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert path.read_bytes().startswith(b"<?xml")
    with pytest.raises(UsageError, match=r"pdf.*choose from .?svg"):
        xchat("export", str(saved), "--format", "pdf")


def test_a_capture_can_be_forgotten(saved: int) -> None:
    assert xchat("delete", str(saved)) == 0
    assert list_captures(database_path()) == ()


@pytest.mark.parametrize("arguments", [("show", "99"), ("show", "nope.folded"), ("record", "--", "list"), ("record",)])
def test_what_cannot_be_meant_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        xchat(*arguments)


def test_another_command_than_ask_is_named_as_the_reason() -> None:
    with pytest.raises(UsageError, match="Only `ask` can be recorded"):
        xchat("record", "--", "models")


@linux
def test_a_recorder_records_the_thread_that_works_meanwhile() -> None:
    recorder = Recorder(CaptureRequest(60, 200))
    recorder.start()
    while recorder.sampling and recorder.taken < ENOUGH:
        sum(range(500))
    recorder.stop()
    capture = recorder.result()
    assert "MainThread" in capture.stacks.threads


def test_a_recorder_that_cannot_record_says_why() -> None:
    recorder = Recorder(CaptureRequest(1, pid=2**22 - 1))
    recorder.start()
    recorder.stop()
    with pytest.raises(CaptureError, match="py-spy"):
        recorder.result()


def test_the_turn_of_the_run_gives_the_capture_its_tokens() -> None:
    began = now_ns()
    capture = record(seconds=60.0, started_ms=wall_ms())
    named = with_turn(capture, turn(wall_ms() + 1, tuple(range(began + 10**9, began + 11 * 10**9, 10**9))))
    assert (named.tokens, named.turn_id, named.model, named.preset) == (10, 9, "fake", "daily")
    assert named.overhead.speed_during == pytest.approx(1.0)


def test_a_turn_whose_capture_was_lost_is_left_out_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(_: Recorder) -> CaptureRecord:
        raise CaptureError("The capture was lost")

    monkeypatch.setattr(Recorder, "result", lose)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(CaptureError, match="lost"):
        xchat("record", "--", "ask", "hello", "-n", "2")
    with sqlite3.connect(database_path()) as db:
        ((noisy,),) = db.execute("SELECT noisy FROM turns").fetchall()
    assert noisy.startswith(NOISE)


def test_an_older_turn_is_not_taken_for_it() -> None:
    capture = record(started_ms=wall_ms())
    assert with_turn(capture, turn(capture.started_ms - 1000, (1,))) is capture
    assert with_turn(capture, None) is capture
