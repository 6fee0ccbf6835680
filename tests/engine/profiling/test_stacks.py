from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CaptureError
from engine.profiling import stacks as stacks_module
from engine.profiling.stacks import FoldedStacks, StackCounter, parse_folded, read_folded
from tests.engine.profiling.captures import FOLDED, stacks


def test_equal_stacks_are_summed_and_threads_come_busiest_first() -> None:
    parsed = parse_folded([b"thread (1): a;f 2", b"thread (9): a;f 3", b"thread (2): b;g 9"])
    assert dict(zip(parsed.stacks, parsed.counts, strict=True)) == {"thread: a;f": 5, "thread: b;g": 9}
    assert parsed.threads == ("b", "a")
    assert parsed.total == 14


def test_malformed_lines_are_counted_not_fatal() -> None:
    parsed = parse_folded([b"a;b 3", b"", b"no count", b"a;b -1", b"a;b 99999999999999", b" 5", b"\xff\xfe 1", b"a 0"])
    assert parsed.stacks == ("a;b", "��")
    assert parsed.malformed == 4


def test_text_without_any_stack_is_refused() -> None:
    with pytest.raises(CaptureError, match="no folded stacks"):
        parse_folded([b"%PDF-1.7", b"stream"])


def test_escape_sequences_in_frames_never_survive() -> None:
    parsed = parse_folded([b"a\x1b]0;title\x07;b 1"])
    assert "\x1b" not in parsed.text()
    assert "\x07" not in parsed.text()


@given(st.lists(st.binary(max_size=60), max_size=30))
def test_any_bytes_are_either_parsed_harmlessly_or_refused(lines: list[bytes]) -> None:
    try:
        parsed = parse_folded(lines)
    except CaptureError:
        return
    assert all(character.isprintable() or character == "\n" or character.isspace() for character in parsed.text())
    assert parse_folded(parsed.text().encode().split(b"\n")).total == parsed.total


def test_too_many_distinct_stacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks_module, "MAX_STACKS", 10)
    with pytest.raises(CaptureError, match="too large"):
        parse_folded(b"f%d 1" % number for number in range(11))


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.folded"
    path.write_bytes(FOLDED)
    assert read_folded(path) == stacks()


def test_a_file_of_200_mb_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.folded"
    path.touch()
    os.truncate(path, 200_000_000)
    with pytest.raises(CaptureError, match=r"200 MB; at most 67.1 MB"):
        read_folded(path)


@pytest.mark.parametrize("path", ["missing.folded", "."])
def test_what_is_no_readable_file_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(CaptureError, match="can't be read"):
        read_folded(tmp_path / path)


def test_a_pipe_that_nobody_writes_to_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CaptureError, match="not a regular file"):
        read_folded(pipe)


def test_samples_keep_their_order_thread_by_thread() -> None:
    counter = StackCounter()
    for thread, frame in ((1, "a"), (2, "x"), (1, "a"), (1, "b"), (1, "a")):
        counter.add(thread, "worker", [frame])
    folded = counter.folded()
    assert folded.stacks == ("thread: worker;a", "thread: worker;b", "thread: worker #2;x")
    assert folded.counts == (3, 1, 1)
    assert folded.runs == ((0, 2), (1, 1), (0, 1), (2, 1))


def test_nothing_sampled_is_an_empty_profile() -> None:
    assert StackCounter().folded() == FoldedStacks((), ())
