"""`xchat db` on a real database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.paths import database_path
from tests.tui.cli.conftest import HOSTILE, Run, save


def test_sizes_and_rows_are_told(xchat: Run) -> None:
    save("Hello")
    out = xchat("db", "stats").out
    assert "1 sessions" in out
    stats = json.loads(xchat("db", "stats", "--json").out)
    assert (stats["rows"]["messages"], stats["path"]) == (2, str(database_path()))


def test_a_whole_database_passes_and_a_damaged_one_does_not(xchat: Run) -> None:
    save("Hello")
    assert xchat("db", "check").code == 0
    assert xchat("db", "check", "--quick").code == 0
    with closing(sqlite3.connect(database_path())) as db:
        db.execute("UPDATE turns SET session_id = 4711")
        db.commit()
    ran = xchat("db", "check", "--quick")
    assert ran.code == 1
    assert "turns" in ran.out + ran.err


def test_a_backup_is_a_database_and_does_not_overwrite(xchat: Run, tmp_path: Path) -> None:
    save("Hello")
    target = tmp_path / "copy.db"
    assert xchat("db", "backup", target).code == 0
    with closing(sqlite3.connect(target)) as db:
        assert db.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    assert xchat("db", "backup", target).code == 2
    assert xchat("db", "backup", target, "--force").code == 0
    ran = xchat("db", "backup", tmp_path)
    assert (ran.code, "is a folder" in ran.err) == (1, True)


def test_vacuum_gives_back_what_a_long_message_took(xchat: Run) -> None:
    session_id = save("x" * 10_000_000)
    assert xchat("sessions", "delete", str(session_id), "--yes").code == 0
    before = database_path().stat().st_size
    assert xchat("db", "vacuum").code == 0
    assert database_path().stat().st_size < before - 9_000_000


def test_a_damaged_file_is_salvaged_and_the_report_says_what(xchat: Run) -> None:
    save("Keep me")
    path = database_path()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'samples'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    assert xchat("db", "check").code == 1
    ran = xchat("db", "repair")
    assert ran.code in {0, 1}, ran.err
    assert "samples" in ran.out
    assert xchat("db", "check").code == 0
    assert "Keep me" in xchat("sessions", "list").out


def test_retention_shows_before_it_acts(xchat: Run) -> None:
    save("Old", title=HOSTILE, at_ms=1_000)
    assert xchat("db", "retain").code == 2
    ran = xchat("db", "retain", "--max-age-days", "1")
    assert ran.code == 0
    assert not set(ran.out) & {"\x1b", "\x07", "\u202e"}
    assert "1 session," in ran.out
    assert len(json.loads(xchat("sessions", "list", "--json").out)) == 1
    assert xchat("db", "retain", "--max-age-days", "1", "--apply").code == 2
    assert xchat("db", "retain", "--max-age-days", "1", "--apply", "--yes").code == 0
    assert json.loads(xchat("sessions", "list", "--json").out) == []


@pytest.mark.parametrize("content", [b"", b"PNG and not a database" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_file_that_is_no_database_of_ours_is_left_alone(xchat: Run, content: bytes) -> None:
    path = database_path()
    path.write_bytes(content)
    for arguments in (("sessions", "list"), ("db", "check"), ("db", "stats")):
        ran = xchat(*arguments)
        assert ran.code in ({0, 1} if not content else {1})
        assert "Traceback" not in ran.err
    assert path.read_bytes()[: len(content)] == content
