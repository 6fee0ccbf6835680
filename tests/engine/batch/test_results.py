"""The journal of results: nothing is lost or doubled, whatever ends the program."""

from __future__ import annotations

import fcntl
import json
import random
import stat
from pathlib import Path

import pytest

from engine.batch.results import ENGINE_ERROR, Results
from engine.errors import UsageError

NUMBERS = {f"id{number}": number for number in range(1, 6)}


def result(number: int, text: str = "answer") -> dict[str, object]:
    return {"id": f"id{number}", "text": text, "error": None}


def lines_of(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("in_order", "expected"), [(True, ["id1", "id2", "id3"]), (False, ["id3", "id1", "id2"])])
def test_results_are_in_the_order_of_the_lines_or_of_their_ends(tmp_path: Path, in_order: bool, expected: list[str]) -> None:
    path = tmp_path / "out.jsonl"
    with Results(path, NUMBERS) as results:
        for number in (3, 1, 2):
            results.write(f"id{number}", result(number))
        results.finish(in_order=in_order)
    assert lines_of(path) == expected
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in tmp_path.glob("*out*")] == ["out.jsonl"]


def test_whatever_is_left_of_the_last_line_it_is_answered_again_and_the_others_are_not(tmp_path: Path) -> None:
    """The journal may end anywhere after a power cut."""
    path, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    with Results(path, NUMBERS) as results:
        for number in (1, 2, 3):
            results.write(f"id{number}", result(number, "é\n😀" * 50))
    whole = partial.read_bytes()
    draw = random.Random(1)
    for cut in [0, 1, len(whole) - 1, len(whole), *(draw.randrange(len(whole)) for _ in range(60))]:
        partial.write_bytes(whole[:cut])
        with Results(path, NUMBERS) as results:
            done = results.done
            assert len(done) == whole[:cut].count(b"\n")
            for number in range(1, 6):
                if f"id{number}" not in done:
                    results.write(f"id{number}", result(number))
            results.finish(in_order=True)
        assert lines_of(path) == list(NUMBERS)
        path.unlink()


def test_a_line_on_which_the_engine_failed_is_answered_again_and_stands_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Results(path, NUMBERS) as results:
        results.write("id1", {"id": "id1", "error": {"code": ENGINE_ERROR, "message": "x"}}, again=True)
        results.write("id2", {"id": "id2", "error": {"code": "invalid_request", "message": "x"}})
        results.finish(in_order=True)
    assert lines_of(path) == ["id1", "id2"]
    with Results(path, NUMBERS) as results:
        assert results.done == {"id2"}
        results.write("id1", result(1))
        results.finish(in_order=True)
    assert [json.loads(line)["error"] is None for line in path.read_text().splitlines()] == [True, False]


def test_a_finished_file_is_continued_with_new_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Results(path, {"id2": 1}) as results:
        results.write("id2", result(2))
        results.finish(in_order=True)
    with Results(path, NUMBERS) as results:
        assert results.done == {"id2"}
        results.write("id1", result(1))
        results.finish(in_order=True)
    assert lines_of(path) == ["id1", "id2"]


@pytest.mark.parametrize("content", ["my notes\n", '{"id": "of another batch"}\n', "[]\n"])
def test_a_file_with_something_else_in_it_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match="not a file of results"):
        Results(path, NUMBERS)
    assert path.read_text() == content
    assert [child.name for child in tmp_path.glob("*out*")] == ["out.jsonl"]


@pytest.mark.parametrize("content", ['{"id": "of another batch"}\n', "my prompt\nand another", '{"id": "of another batch"}\nhalf'])
def test_a_journal_of_something_else_is_left_alone(tmp_path: Path, content: str) -> None:
    """An interrupted batch of another file with the same name for its results, which are nowhere else."""
    partial = tmp_path / "out.jsonl.partial"
    partial.write_text(content)
    with pytest.raises(UsageError, match="not a file of results"):
        Results(tmp_path / "out.jsonl", NUMBERS)
    assert partial.read_text() == content


def test_a_journal_goes_on_from_all_of_the_finished_results_whenever_it_was_cut_short(tmp_path: Path) -> None:
    path, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    path.write_text("".join(json.dumps(result(number)) + "\n" for number in (1, 2)))
    whole = path.read_bytes()
    for cut in (0, 5, len(whole) - 1, len(whole)):
        partial.write_bytes(whole[:cut])
        with Results(path, NUMBERS) as results:
            assert results.done == {"id1", "id2"}
    partial.write_bytes(whole + json.dumps(result(3)).encode() + b"\n")
    with Results(path, NUMBERS) as results:
        assert results.done == {"id1", "id2", "id3"}


def test_a_batch_that_starts_while_another_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal that it has opened is gone by then: what it wrote there would be lost."""
    path = tmp_path / "out.jsonl"
    ending = Results(path, NUMBERS)
    ending.write("id1", result(1))
    lock = fcntl.flock

    def late(handle: int, how: int) -> None:
        ending.finish(in_order=True)
        ending.__exit__()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UsageError, match="another xchat batch"):
        Results(path, NUMBERS)
    monkeypatch.undo()
    with Results(path, NUMBERS) as results:
        assert results.done == {"id1"}


def test_only_one_process_writes_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with Results(path, NUMBERS), pytest.raises(UsageError, match="another xchat batch"):
        Results(path, NUMBERS)
    with Results(path, NUMBERS):
        pass
