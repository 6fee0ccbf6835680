"""`xchat export` on a real database."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import resource
import stat
import sys
from pathlib import Path

import pytest

from tests.tui.cli.conftest import HOSTILE, Run, save


@pytest.mark.parametrize("what", ["turns", "samples", "tokens", "events", "chat"])
@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "md", "html"])
def test_every_table_comes_in_every_form(xchat: Run, tmp_path: Path, what: str, form: str) -> None:
    save("Hello")
    file = tmp_path / f"out.{form}"
    ran = xchat("export", "last", "--what", what, "--format", form, "-o", file)
    assert (ran.code, ran.out) == (0, f"{file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text("utf-8")
    if form == "json":
        json.loads(text)
    elif form == "jsonl":
        assert all(json.loads(line) for line in text.splitlines())
    elif form == "csv":
        assert len({len(row) for row in csv.reader(text.splitlines())}) == 1


def test_without_a_file_it_goes_to_standard_output(xchat: Run) -> None:
    save("Hello")
    assert xchat("export", "last").out.startswith("turn_id,session_id")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_behind_standard_output_is_told(xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save("Hello")
    with contextlib.suppress(OSError), open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        ran = xchat("export", "last")
        monkeypatch.undo()
    assert ran.code == 1
    assert ran.err.startswith("xchat: Standard output can't be written: No space left")


def test_texts_stay_out_unless_asked_for(xchat: Run) -> None:
    save("Top secret", title="Hidden")
    for form in ("csv", "json", "md", "html"):
        out = xchat("export", "last", "--format", form).out
        assert "Top secret" not in out
        assert "Hidden" not in out
        assert "Hidden" in xchat("export", "last", "--format", form, "--chat").out
    assert "Top secret" in xchat("export", "last", "--format", "md", "--chat").out


@pytest.mark.parametrize("form", ["md", "html"])
def test_hostile_texts_do_nothing_in_a_page(xchat: Run, form: str) -> None:
    save(f"{HOSTILE} <script>alert(1)</script> </pre> ~~~", title=f"{HOSTILE}<img src=x onerror=alert(1)>")
    out = xchat("export", "last", "--format", form, "--chat").out
    assert not set(out) & {"\x1b", "\x07", "\u202e"}
    if form == "html":
        assert "<script" not in out
        assert "<img" not in out


def test_a_file_that_is_there_is_kept_until_told_otherwise(xchat: Run, tmp_path: Path) -> None:
    save("Hello")
    file = tmp_path / "out.csv"
    file.write_text("mine", encoding="utf-8")
    ran = xchat("export", "last", "-o", file)
    assert (ran.code, "exists already" in ran.err) == (2, True)
    assert file.read_text("utf-8") == "mine"
    assert xchat("export", "last", "-o", file, "--force").code == 0
    assert file.read_text("utf-8").startswith("turn_id")
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".out")] == []


def test_a_folder_and_a_missing_folder_are_named(xchat: Run, tmp_path: Path) -> None:
    save("Hello")
    ran = xchat("export", "last", "-o", tmp_path)
    assert (ran.code, "is a folder" in ran.err) == (1, True)
    ran = xchat("export", "last", "-o", tmp_path / "no" / "out.csv")
    assert (ran.code, "There is no folder" in ran.err) == (1, True)


def test_what_is_no_file_is_never_replaced(xchat: Run, tmp_path: Path) -> None:
    save("Hello")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for arguments in (("export", "last", "-o", pipe, "--force"), ("db", "backup", pipe, "--force")):
        ran = xchat(*arguments)
        assert (ran.code, "is not a regular file" in ran.err) == (1, True)
    assert pipe.is_fifo()


def test_a_full_disk_leaves_what_was_there(xchat: Run, tmp_path: Path) -> None:
    save("x" * 1_000_000)
    file = tmp_path / "out.json"
    file.write_text("mine", encoding="utf-8")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))
    try:
        ran = xchat("export", "last", "--what", "chat", "--format", "json", "-o", file, "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ran.code == 1
    assert "No disk space is left" in ran.err
    assert file.read_text("utf-8") == "mine"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".out")] == []


@pytest.mark.slow
def test_ten_megabytes_in_a_message_leave_whole(xchat: Run, tmp_path: Path) -> None:
    save("x" * 10_000_000, title="Long")
    file = tmp_path / "out.jsonl"
    assert xchat("export", "last", "--what", "chat", "--format", "jsonl", "-o", file).code == 0
    assert len(json.loads(file.read_text("utf-8").splitlines()[0])["text"]) == 10_000_000


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Give one session, or --all"),
        (("last", "--all"), 2, "Give one session, or --all"),
        (("9",), 1, "There is no session 9"),
        (("last", "--format", "pdf"), 2, "There is no export format"),
        (("last", "--what", "tokens", "--format", "llama-bench"), 2, "has no tokens"),
    ],
)
def test_what_can_not_be_meant_is_refused(xchat: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    save("Hello")
    ran = xchat("export", *arguments)
    assert ran.code == code
    assert said in ran.err


def test_all_sessions_as_rows_of_llama_bench(xchat: Run, tmp_path: Path) -> None:
    save("One")
    save("Two")
    file = tmp_path / "runs.json"
    assert xchat("export", "--all", "--format", "llama-bench", "-o", file).code == 0
    rows = json.loads(file.read_text("utf-8"))
    assert {row["n_gen"] for row in rows} >= {0, 20}
