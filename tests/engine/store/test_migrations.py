from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from engine.store.connect import open_reader, open_writer
from engine.store.errors import StoreNewerError, StoreUnusableError
from engine.store.migrations import MIGRATIONS, VERSION, Migration, migrate, version_of

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
    added = Migration("a note", ("ALTER TABLE sessions ADD COLUMN note TEXT NOT NULL DEFAULT ''",))
    migrate(empty, HERE, (*MIGRATIONS, added))
    assert version_of(empty) == VERSION + 1
    assert empty.execute("SELECT title, note FROM sessions").fetchall() == [("kept", "")]


def test_a_step_that_fails_leaves_the_file_as_it_was(empty: sqlite3.Connection) -> None:
    migrate(empty, HERE)
    broken = Migration("half a step", ("CREATE TABLE half (a INTEGER) STRICT", "CREATE TABLE half (a INTEGER) STRICT"))
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
