"""`xchat ask` and its sisters, as a shell runs them: no fake in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ggufs
from tests.e2e.conftest import SCRIPT, Run

pytestmark = pytest.mark.e2e

SAID = "".join(SCRIPT)

TIMING_NAMES = {
    "cache_n", "prompt_n", "prompt_ms", "prompt_per_token_ms", "prompt_per_second", "predicted_n", "predicted_ms", "predicted_per_token_ms",
    "predicted_per_second", "ttft_ms", "itl_p50_ms", "itl_p95_ms", "itl_p99_ms", "itl_max_ms", "draft_n", "draft_n_accepted",
    "draft_gain",
}  # fmt: skip


def test_the_answer_goes_to_standard_output_and_nothing_else_does(xchat: Run, scripted: Path) -> None:
    done = xchat("ask", "hi", "-m", str(scripted), "--temp", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == SAID + "\n"
    assert done.stderr == b""


@pytest.mark.parametrize("closing", ["</think>\n", "</think>"])
def test_thinking_that_shows_as_such_only_at_its_end_is_not_written(xchat: Run, tmp_path: Path, closing: str) -> None:
    pieces = ["private ", "reasoning\n", closing, "\n\n", "visible ", "answer"]
    model = ggufs.scripted(
        tmp_path / "stray.gguf",
        pieces,
        template=ggufs.CHATML.replace("assistant\n", "assistant~"),
        start="~",
        controls=["<|im_start|>", "<|im_end|>"],
        user_defined=["</think>"],
    )
    assert xchat("ask", "hi", "-m", str(model), "--temp", "0").stdout == b"visible answer\n"


def test_json_is_one_object_with_llama_servers_names(xchat: Run, scripted: Path) -> None:
    done = xchat("ask", "hi", "-m", str(scripted), "--temp", "0", "--json")
    answer = json.loads(done.stdout)
    assert set(answer) == {"text", "stop_reason", "model", "timings"}
    assert (answer["text"], answer["stop_reason"]) == (SAID, "eog")
    assert set(answer["timings"]) == TIMING_NAMES
    assert answer["timings"]["predicted_n"] == len(SCRIPT)


def test_piped_input_is_added_to_the_prompt(xchat: Run, scripted: Path) -> None:
    short = json.loads(xchat("ask", "hi", "-m", str(scripted), "--json").stdout)
    long = json.loads(xchat("ask", "hi", "-m", str(scripted), "--json", stdin=b"and much more text").stdout)
    assert long["timings"]["prompt_n"] > short["timings"]["prompt_n"]


def test_the_longest_answer_is_kept_to(xchat: Run, scripted: Path) -> None:
    answer = json.loads(xchat("ask", "hi", "-m", str(scripted), "-n", "2", "--temp", "0", "--json").stdout)
    assert (answer["text"], answer["stop_reason"]) == ("One two", "length")


def test_fewer_threads_than_asked_for_are_told(xchat: Run, scripted: Path) -> None:
    done = xchat("ask", "hi", "-m", str(scripted), "--temp", "0", "--threads", "1000")
    assert done.stdout.decode() == SAID + "\n"
    assert "the preset asks for 1000, more than this process may use" in done.stderr.decode()


def test_an_answer_is_a_session_unless_it_is_not_to_be_logged(xchat: Run, scripted: Path) -> None:
    xchat("ask", "secret", "-m", str(scripted), "--no-log")
    xchat("ask", "kept", "-m", str(scripted))
    sessions = json.loads(xchat("sessions", "list", "--json").stdout)
    assert [session["title"] for session in sessions] == ["kept"]
    shown = json.loads(xchat("sessions", "show", str(sessions[0]["id"]), "--json").stdout)
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"]
    assert shown["turns"][0]["predicted_n"] == len(SCRIPT)


def test_the_same_seed_gives_the_same_answer(xchat: Run, tmp_path: Path) -> None:
    model = ggufs.dense(tmp_path / "dense.gguf")
    first, second, other = (
        json.loads(xchat("ask", "hi", "-m", str(model), "--temp", "2", "--seed", seed, "-n", "20", "--json").stdout)["text"]
        for seed in ("7", "7", "8")
    )
    assert first == second != other


def test_no_prompt_is_a_usage_error(xchat: Run) -> None:
    done = xchat("ask")
    assert done.returncode == 2
    assert b"no prompt" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"), [(("--temp", "-1"), b"temperature"), (("-n", "0"), b"max_tokens"), (("--seed", "-5"), b"seed")]
)
def test_a_flag_that_makes_no_sense_is_named(xchat: Run, scripted: Path, arguments: tuple[str, str], word: bytes) -> None:
    done = xchat("ask", "hi", "-m", str(scripted), *arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert b"Traceback" not in done.stderr


def broken_files(folder: Path) -> dict[str, Path]:
    """Every kind of file that is no usable model."""
    (folder / "empty.gguf").write_bytes(b"")
    (folder / "picture.gguf").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    whole = ggufs.dense(folder / "whole.gguf").read_bytes()
    (folder / "truncated.gguf").write_bytes(whole[: len(whole) // 2])
    (folder / "folder.gguf").mkdir()
    return {
        "missing": folder / "missing.gguf",
        "empty": folder / "empty.gguf",
        "a picture": folder / "picture.gguf",
        "truncated": folder / "truncated.gguf",
        "a folder": folder / "folder.gguf",
        "only a projector": ggufs.projector_only(folder / "mmproj.gguf"),
        "unknown architecture": ggufs.unknown_architecture(folder / "unknown.gguf"),
        "aborting": ggufs.duplicate_tokens(folder / "aborting.gguf"),
    }


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "a picture", "truncated", "a folder", "only a projector", "unknown architecture", "aborting"]
)
def test_a_file_that_is_no_model_is_refused_by_name(xchat: Run, tmp_path: Path, kind: str) -> None:
    path = broken_files(tmp_path)[kind]
    done = xchat("ask", "hi", "-m", str(path))
    assert done.returncode == 3, done.stderr
    message = done.stderr.decode()
    assert path.name in message
    assert message.count("\n") == 1, message
    assert "Traceback" not in message


def test_an_empty_and_a_huge_prompt_get_a_clear_word(xchat: Run, scripted: Path) -> None:
    assert xchat("ask", "  ", "-m", str(scripted)).returncode == 2
    done = xchat("ask", "-m", str(scripted), stdin=b"word " * 400_000)
    assert done.returncode == 4
    assert b"2,048" in done.stderr or b"2048" in done.stderr


LAST_WORD = "word7499"


def endless(folder: Path) -> Path:
    """A model whose answer takes longer than any of these tests."""
    return ggufs.scripted(folder / "long.gguf", [f" word{number}" for number in range(7500)], layers=60, n_ctx=8192)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_what_came(tmp_path: Path, xchat: Run, number: signal.Signals) -> None:
    model = endless(tmp_path)
    before = signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP is ignored, by children too
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli.main", "ask", "hi", "-m", str(model), "--temp", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    signal.signal(number, before)
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 5)
    process.send_signal(number)
    rest, errors = process.communicate(timeout=30)
    assert first
    assert process.returncode == 130, errors
    assert LAST_WORD.encode() not in rest
    answer = json.loads(xchat("sessions", "show", "last", "--json").stdout)["messages"][-1]["text"]
    assert answer == (first + rest).decode().rstrip("\n")


def test_a_reader_that_leaves_ends_the_answer(tmp_path: Path, xchat: Run) -> None:
    model = endless(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli.main", "ask", "hi", "-m", str(model), "--temp", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    os.read(process.stdout.fileno(), 5)
    process.stdout.close()
    assert process.wait(30) == 130
    assert process.stderr.read() == b""
    process.stderr.close()
    session = json.loads(xchat("sessions", "show", "last", "--json").stdout)
    assert session["turns"][0]["stop_reason"] == "cancelled"
    assert LAST_WORD not in session["messages"][-1]["text"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
@pytest.mark.parametrize("arguments", [("ask", "hi", "--temp", "0"), ("ask", "hi", "--json"), ("locate",), ("sessions", "list")])
def test_a_full_disk_is_told_in_a_sentence(scripted: Path, arguments: tuple[str, ...]) -> None:
    model = ["-m", str(scripted)] if arguments[0] == "ask" else []
    ask = [sys.executable, "-m", "tui.cli.main", "ask", "hi", "-m", str(scripted)]
    subprocess.run(ask, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "tui.cli.main", *arguments, *model]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("xchat: No space left on device.")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ask", "hi", "--nope"), "unrecognized arguments: --nope. Run `xchat ask --help`"),
        (("sessions", "show"), "required: ID. Run `xchat sessions show --help`"),
        (("--nope",), "unrecognized arguments: --nope. Run `xchat --help`"),
        (("modles", "list"), "There is no command modles, and no such file. Did you mean `xchat models`?"),
    ],
)
def test_a_usage_error_is_one_sentence_and_where_to_look(xchat: Run, arguments: tuple[str, ...], words: str) -> None:
    done = xchat(*arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [("--debug", "ask", "hi"), ("ask", "hi", "--debug")])
def test_a_traceback_is_shown_when_it_is_asked_for_and_where(xchat: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = xchat(*arguments, "-m", str(tmp_path / "missing.gguf"))
    assert done.returncode == 3
    assert b"Traceback" in done.stderr


def test_locate_names_the_places(xchat: Run, isolated_machine: Path) -> None:
    assert xchat("locate", "db").stdout.decode().strip() == str(isolated_machine / "data" / "xchat" / "xchat.db")
    assert len(xchat("locate").stdout.splitlines()) == 5


def test_the_screen_needs_a_terminal(xchat: Run) -> None:
    done = xchat()
    assert done.returncode == 2
    assert b"xchat ask" in done.stderr


def test_finished_turns_survive_kill_9(tmp_path: Path, xchat: Run, scripted: Path) -> None:
    xchat("ask", "finished", "-m", str(scripted))
    model = endless(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli.main", "ask", "cut", "-m", str(model), "--temp", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 5)
    process.kill()
    process.wait(30)
    process.stdout.close()
    sessions = {session["title"]: session for session in json.loads(xchat("sessions", "list", "--json").stdout)}
    assert sessions["finished"]["n_turns"] == 1
    assert time.time() * 1000 - sessions["finished"]["created_ms"] < 600_000


@pytest.fixture
def busy_neighbours() -> Iterator[None]:
    """Twice as many processes as there are CPUs, each computing all the time."""
    loops = [
        subprocess.Popen([sys.executable, "-uc", "print()\nwhile True: pass"], stdout=subprocess.PIPE)
        for _ in range(2 * len(os.sched_getaffinity(0)))
    ]
    for loop in loops:
        assert loop.stdout is not None
        loop.stdout.readline()
    yield
    for loop in loops:
        loop.kill()
        loop.communicate()


@pytest.mark.usefixtures("busy_neighbours")
def test_an_answer_on_a_busy_machine_is_judged_and_counts_only_as_disturbed(xchat: Run, tmp_path: Path) -> None:
    model = ggufs.dense(tmp_path / "dense.gguf", n_ctx=4096)
    done = xchat("ask", "hi", "-m", str(model), "--temp", "2", "-n", "2000", "--json")
    assert done.returncode == 0, done.stderr
    (session,) = json.loads(xchat("sessions", "list", "--json").stdout)
    (turn,) = json.loads(xchat("sessions", "show", str(session["id"]), "--json").stdout)["turns"]
    assert turn["judged"]
    assert turn["noisy"].startswith(("Other programs took", "Other processes used"))  # by what the kernel counts
    report = json.loads(xchat("stats", "--json").stdout)
    assert (report["turns"], report["noisy_turns"], report["clean_turns"]) == (1, 1, 0)
    assert report["compared"] == "disturbed", "there is no quiet turn yet: the figures say what they are made of"


def test_a_recorded_answer_is_judged(xchat: Run, tmp_path: Path) -> None:
    model = ggufs.dense(tmp_path / "dense.gguf", n_ctx=4096)
    done = xchat("profile", "record", "--", "ask", "hi", "-m", str(model), "--temp", "2", "-n", "2000")
    assert done.returncode == 0, done.stderr
    (session,) = json.loads(xchat("sessions", "list", "--json").stdout)
    (turn,) = json.loads(xchat("sessions", "show", str(session["id"]), "--json").stdout)["turns"]
    assert turn["judged"]
    assert turn["noisy"]
    assert json.loads(xchat("stats", "--json").stdout)["clean_turns"] == 0, "a recorded turn is not compared with quiet ones"


def test_an_answer_too_short_to_be_judged_does_not_count_as_clean(xchat: Run, scripted: Path) -> None:
    clean = []
    for _ in range(3):  # one that other programs delay is long enough to be judged
        xchat("ask", "hi", "-m", str(scripted), "--temp", "0")
        report = json.loads(xchat("stats", "--json").stdout)
        assert report["turns"] == 1
        clean.append(report["clean_turns"])
    assert 0 in clean
