from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import CaptureError, UsageError
from engine.profiling.records import CaptureMode, Overhead, ThreadLane
from engine.store.captures import delete_capture, list_captures, load_capture, save_capture
from engine.store.writer import Store
from tests.engine.profiling.captures import record, timed
from tests.engine.store.records import answer, turn

FULL = record(
    stacks=timed(),
    mode=CaptureMode.NATIVE,
    failures=3,
    behind_s=0.5,
    notes=("a note",),
    turn_id=1 << 60,
    model="m",
    quant="Q4_K_M",
    preset="daily",
    tokens=42,
    overhead=Overhead(1.5, 20.0, 19.5),
    lanes=(ThreadLane(7, "compute", True, (90.0, 95.5)),),
    id=None,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "xchat.db"


def test_a_capture_comes_back_as_it_was(path: Path) -> None:
    number = save_capture(path, FULL)
    assert load_capture(path, number) == replace(FULL, id=number)


def test_the_list_has_the_newest_first_and_no_stacks(path: Path) -> None:
    first, second = save_capture(path, FULL), save_capture(path, replace(FULL, tokens=None))
    listed = list_captures(path)
    assert [capture.id for capture in listed] == [second, first]
    assert listed[0].stacks.stacks == ()
    assert listed[0].samples == FULL.samples


async def test_the_turn_of_a_capture_is_kept_out_of_comparisons(path: Path) -> None:
    store = await Store.open(path)
    session_id = await store.create_session("x", 1)
    met, other = answer(), answer()
    for said in (met, other):
        await store.save_turn(turn(session_id, said), said)
    await store.close()
    save_capture(path, replace(FULL, turn_id=met.id))
    with closing(sqlite3.connect(path)) as db:
        assert dict(db.execute("SELECT turn_id, noisy FROM v_turns")) == {met.id: "capture", other.id: None}


def test_a_database_without_captures_has_an_empty_list(path: Path) -> None:
    assert list_captures(path) == ()


def test_a_deleted_capture_is_gone_with_its_stacks_and_its_number(path: Path) -> None:
    number = save_capture(path, FULL)
    delete_capture(path, number)
    with pytest.raises(UsageError, match=f"no capture {number}"):
        load_capture(path, number)
    with pytest.raises(UsageError, match=f"no capture {number}"):
        delete_capture(path, number)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM capture_stacks").fetchone() == (0,)
    assert save_capture(path, FULL) == number + 1


def test_damaged_stacks_are_said_to_be(path: Path) -> None:
    number = save_capture(path, FULL)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE capture_stacks SET folded = ?", (b"junk",))
    with pytest.raises(CaptureError, match="damaged"):
        load_capture(path, number)


def test_an_order_that_points_nowhere_is_dropped(path: Path) -> None:
    number = save_capture(path, FULL)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE capture_stacks SET runs = ?", (zlib.compress(b"\xff" * 16),))
    assert load_capture(path, number).stacks.runs == ()
