"""Database files of released versions, opened by this one. Each was made by the released program itself."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.store.captures import list_captures, load_capture
from engine.store.queries.search import search_messages
from engine.store.queries.sessions import SessionFilter, find_sessions, read_session
from engine.store.queries.turns import turns_of
from engine.store.reader import Reader
from engine.store.schema.migrations import VERSION, version_of
from engine.store.sqlite.connect import open_writer

RELEASED = Path(__file__).parent / "released"
TABLES = ("processes", "sessions", "messages", "turns", "samples", "events", "captures", "capture_stacks")


@pytest.fixture(params=sorted(RELEASED.glob("*.db.gz")), ids=lambda file: file.name.removesuffix(".db.gz"))
def released(request: pytest.FixtureRequest, path: Path) -> Path:
    path.parent.mkdir()
    path.write_bytes(gzip.decompress(request.param.read_bytes()))
    return path


def rows(path: Path) -> dict[str, list[dict[str, object]]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return {table: [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY 1")] for table in TABLES}


def test_an_upgrade_keeps_every_value_of_every_row(released: Path) -> None:
    before = rows(released)
    assert all(before.values())
    with closing(open_writer(released)) as db:
        assert version_of(db) == VERSION
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    after = rows(released)
    for table, old in before.items():
        kept = [{column: value for column, value in row.items() if column in old[0]} for row in after[table]]
        assert kept == old, table


async def test_an_upgraded_file_is_read_like_a_new_one(released: Path) -> None:
    open_writer(released).close()
    reader = await Reader.open(released)
    sessions = await reader.read(find_sessions)
    assert [one.title for one in sessions] == ["Caches", "Tell me a story", "How do I quit?"]
    assert sessions[0].pinned
    stored = await reader.read(read_session, sessions[0].id)
    assert len(stored.messages) == 7
    turns = await reader.read(turns_of, sessions[0].id)
    assert len(turns) == 4
    assert all(turn.quant == "F16" and turn.timings.predicted_n > 1 for turn in turns)
    assert [hit.session.title for hit in await reader.read(search_messages, SessionFilter(search="story"))] == ["Tell me a story"]
    await reader.close()


def test_an_upgraded_capture_still_has_its_stacks(released: Path) -> None:
    open_writer(released).close()
    (capture,) = list_captures(released)
    assert capture.id is not None
    assert load_capture(released, capture.id).stacks.total > 0
