from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.store.errors import StoreNewerError, StoreUnusableError
from engine.store.queries.turns import turns_of
from engine.store.schema.migrations import MIGRATIONS, VERSION, migrate, version_of
from engine.store.sqlite.connect import open_reader, open_writer

HERE = Path("test.db")


@pytest.fixture
def empty() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def test_a_new_database_is_made_by_replaying_every_step(empty: sqlite3.Connection) -> None:
    assert migrate(empty, HERE) == len(MIGRATIONS)
    assert version_of(empty) == VERSION
    assert migrate(empty, HERE) == 0


def test_every_table_is_strict(empty: sqlite3.Connection) -> None:
    migrate(empty, HERE)
    loose = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict AND name NOT LIKE 'sqlite_%'"
    assert empty.execute(loose).fetchall() == []


def test_an_older_database_keeps_its_rows_through_a_new_step(empty: sqlite3.Connection) -> None:
    migrate(empty, HERE)
    empty.execute("INSERT INTO sessions (title, created_ms, updated_ms) VALUES ('kept', 1, 2)")
    added = "ALTER TABLE sessions ADD COLUMN note TEXT NOT NULL DEFAULT '';"
    migrate(empty, HERE, (*MIGRATIONS, added))
    assert version_of(empty) == VERSION + 1
    assert empty.execute("SELECT title, note FROM sessions").fetchall() == [("kept", "")]


def test_a_step_that_fails_leaves_the_file_as_it_was(empty: sqlite3.Connection) -> None:
    migrate(empty, HERE)
    broken = "CREATE TABLE half (a INTEGER) STRICT;\nCREATE TABLE half (a INTEGER) STRICT;"
    with pytest.raises(sqlite3.OperationalError):
        migrate(empty, HERE, (*MIGRATIONS, broken))
    assert version_of(empty) == VERSION
    assert empty.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)


def test_a_newer_database_is_not_written_but_can_be_read(path: Path) -> None:
    db = open_writer(path)
    db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreNewerError):
        open_writer(path)
    reader = open_reader(path)
    assert reader.execute("SELECT count(*) FROM v_turns").fetchone() == (0,)
    reader.close()
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE bookmarks (url TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnusableError):
        open_writer(path)
    with pytest.raises(StoreUnusableError):
        open_reader(path)
    assert path.read_bytes() == before


def test_a_missing_file_reads_as_an_empty_database_and_is_not_made(path: Path) -> None:
    reader = open_reader(path)
    assert reader.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
    reader.close()
    assert not path.exists()


def test_turns_of_an_older_database_count_as_judged_only_where_that_is_proven(empty: sqlite3.Connection) -> None:
    """Schema 4 did not say whether the machine was watched: a verdict proves it, and so do two samples during the turn."""
    migrate(empty, HERE, MIGRATIONS[:4])
    empty.execute("INSERT INTO sessions (id, title, created_ms, updated_ms) VALUES (1, 'old', 1, 2)")
    columns = (
        "session_id, started_ms, model, model_path, model_fingerprint, quant, preset, preset_json, n_ctx, threads, threads_batch,"
        " stream_batch, cache_n, prompt_n, prompt_ms, predicted_n, predicted_ms, token_times, thinking_n, left_out, id, stop_reason, noisy"
    )
    rows = ((1, "eog", "Other processes used 40 % of the cores"), (2, "eog", None), (3, "eog", None), (4, "eog", None), (5, "error", None))
    for row in rows:
        same = "1, 1, 'm', '/m', 'f', 'q', 'daily', '{}', 1, 1, 1, 1, 0, 1, 1.0, 1, 1.0, x'01', 0, 0"
        empty.execute(f"INSERT INTO turns ({columns}) VALUES ({same}, ?, ?, ?)", row)
    for turn_id in (2, 2, 3, None, None, 5, 5, 5):
        empty.execute("INSERT INTO samples (wall_ms, session_id, turn_id) VALUES (1, 1, ?)", (turn_id,))
    empty.execute("INSERT INTO events (wall_ms, session_id, turn_id, kind, text) VALUES (1, 1, 4, 'stall', 'x')")
    assert empty.execute("SELECT turn_id, clean FROM v_turns ORDER BY 1").fetchall() == [(1, 0), (2, 1), (3, 1), (4, 1), (5, 0)]

    migrate(empty, HERE)

    judged = [(1, 1, 0), (2, 1, 1), (3, 0, 0), (4, 0, 0), (5, 1, 0)]
    assert empty.execute("SELECT turn_id, judged, clean FROM v_turns ORDER BY 1").fetchall() == judged
    assert [turn.judged for turn in turns_of(empty, 1)] == [True, True, False, False, True]
