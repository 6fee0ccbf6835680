"""`xchat batch`: a file in, a file out, with the real engine."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.batch.results import Results
from engine.batch.source import BatchSource
from engine.llama.backend import LlamaBackend
from engine.llama.redirect import RealOutput
from tests.tui.cli.conftest import Run
from tui.cli import batch

FAST = ("-m", "builtin", "-n", "6", "--temp", "0", "--threads", "1", "--n-ctx", "1024", "--parallel", "4")


@pytest.fixture(autouse=True)
def output_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave descriptors 1 and 2 to pytest: a process can redirect them once only."""
    monkeypatch.setattr(batch, "redirect_native_output", lambda _path: RealOutput(sys.stdout, sys.stderr))  # type: ignore[arg-type]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prompts_line_by_line_are_answered_in_their_order(xchat: Run, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("What is a KV cache?\n\nHow do I stop an answer?\nWhat is a token?\n")
    ran = xchat("batch", path, *FAST)
    assert ran.code == 0, ran.err
    out = tmp_path / "prompts.results.jsonl"
    assert ran.out.strip() == str(out)
    results = read(out)
    assert [result["custom_id"] for result in results] == ["line-1", "line-3", "line-4"]
    assert all(result["text"] and result["error"] is None and result["usage"]["completion_tokens"] <= 6 for result in results)
    assert "3 answered, 0 failed" in ran.err
    assert "tokens/s" in ran.err
    assert "p99" in ran.err
    again = xchat("batch", path, *FAST)
    assert again.code == 0
    assert "3 already answered" in again.err
    assert read(out) == results


def test_openais_lines_get_openais_results_and_bad_ones_an_error_each(xchat: Run, tmp_path: Path) -> None:
    def line(custom_id: str, **body: object) -> str:
        return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})

    messages = [{"role": "user", "content": "What is a token?"}]
    long = [{"role": "user", "content": "word " * 5000}]
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join([line("a", messages=messages), "{", line("b", messages=long), line("c", messages=messages, max_tokens=2)]))
    ran = xchat("batch", path, *FAST, "-o", tmp_path / "out.jsonl")
    assert ran.code == 1
    assert "line 2: The line is not a request" in ran.err
    a, bad, b, c = read(tmp_path / "out.jsonl")
    assert [result["custom_id"] for result in (a, bad, b, c)] == ["a", "line-2", "b", "c"]
    body = a["response"]["body"]
    assert (body["object"], body["choices"][0]["message"]["role"]) == ("chat.completion", "assistant")
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]
    assert (c["response"]["body"]["usage"]["completion_tokens"], c["response"]["body"]["choices"][0]["finish_reason"]) == (2, "length")
    assert [result["error"]["code"] for result in (bad, b)] == ["invalid_request"] * 2
    assert "context window" in b["error"]["message"]


@pytest.mark.parametrize("name", ["prompts", "prompts.partial"])
def test_the_results_never_replace_the_prompts(xchat: Run, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("Hello")
    ran = xchat("batch", path, *FAST, "-o", tmp_path / "prompts")
    assert ran.code == 2
    assert "replace the prompts" in ran.err
    assert path.read_text() == "Hello"


def test_an_interrupted_batch_goes_on_where_it_was(xchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("".join(f"Question {number}?\n" for number in range(12)))
    submitted = 0
    submit = LlamaBackend.submit

    def interrupting(self: LlamaBackend, request: Any) -> None:
        nonlocal submitted
        submitted += 1
        if submitted == 11:
            raise KeyboardInterrupt
        submit(self, request)

    monkeypatch.setattr(LlamaBackend, "submit", interrupting)
    ran = xchat("batch", path, *FAST)
    assert ran.code == 130
    assert "Run the same command again to resume" in ran.err
    kept = read(tmp_path / "prompts.results.jsonl.partial")
    assert 0 < len(kept) < 11
    assert xchat("batch", path, *FAST).code == 0
    assert [result["custom_id"] for result in read(tmp_path / "prompts.results.jsonl")] == [f"line-{number}" for number in range(1, 13)]


def test_a_large_batch_that_is_done_ends_at_once(xchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done is collected once, not for each line: a set of 25,000 takes 2 ms."""
    path, out = tmp_path / "prompts.txt", tmp_path / "out.jsonl"
    path.write_text("".join(f"Question {number}?\n" for number in range(500)))
    with Results(out, numbers := BatchSource(path).numbers) as results:
        for ident in numbers:
            results.write(ident, {"id": ident, "error": None})
    collected = list[int]()

    class Counting(Results):
        @property
        def done(self) -> set[str]:
            collected.append(1)
            return super().done

    monkeypatch.setattr(batch, "Results", Counting)
    ran = xchat("batch", path, "-o", out, *FAST)
    assert ran.code == 0, ran.err
    assert "500 already answered" in ran.err
    assert len(collected) == 1


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_no_line_and_doubles_none(tmp_path: Path) -> None:
    path, out = tmp_path / "prompts.txt", tmp_path / "out.jsonl"
    path.write_text("".join(f"Question number {number}: what is a token?\n" for number in range(140)))
    command = [
        sys.executable,
        "-c",
        "import sys; from tui.cli.main import main; sys.exit(main())",
        "batch",
        str(path),
        "-o",
        str(out),
        *FAST,
    ]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    draw = random.Random(4)
    answered = kills = 0
    for _ in range(7):
        partial = out.with_name("out.jsonl.partial")
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            began = time.monotonic()
            while process.poll() is None and time.monotonic() - began < 30:
                if partial.exists() and partial.read_bytes().count(b"\n") > answered:
                    break
                time.sleep(0.002)
            time.sleep(draw.random() * 0.04)
            process.send_signal(signal.SIGKILL)
        if out.exists():
            break
        kills += 1
        answered = partial.read_bytes().count(b"\n")
    assert kills >= 4
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
    ids = [result["custom_id"] for result in read(out)]
    assert ids == [f"line-{number}" for number in range(1, 141)]
