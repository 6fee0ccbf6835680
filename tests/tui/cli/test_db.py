"""`xchat db` on a real database."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.paths import database_path
from engine.store.sqlite.pragmas import Profile
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


@pytest.mark.slow
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


LIVE = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for line in sys.stdin:
    db.execute(line).fetchall()
    print("done", flush=True)
"""
"""Another process with a connection, which runs the statements that it gets."""


@contextmanager
def live_process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", LIVE, str(database_path())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as live:
        execute(live, "SELECT count(*) FROM sessions")
        yield live
        assert live.stdin is not None
        live.stdin.close()
        assert live.wait(10) == 0


def execute(live: subprocess.Popen[str], statement: str) -> None:
    assert live.stdin is not None
    assert live.stdout is not None
    live.stdin.write(f"{statement}\n")
    live.stdin.flush()
    assert live.stdout.readline() == "done\n"


def test_a_vacuum_beside_a_live_process_frees_space_and_loses_none_of_its_writes(xchat: Run) -> None:
    save("Keep me")
    gone = save("x" * 2_000_000)
    assert xchat("sessions", "delete", str(gone), "--yes").code == 0
    path = database_path()
    before, inode = path.stat().st_size, path.stat().st_ino
    with live_process() as live:
        assert xchat("db", "vacuum").code == 0
        execute(live, "UPDATE sessions SET title = 'Written after it'")
    assert path.stat().st_size < before - 1_500_000
    assert path.stat().st_ino == inode
    assert "Written after it" in xchat("sessions", "list").out
    assert xchat("db", "check").code == 0


def test_a_vacuum_that_has_to_wait_too_long_names_the_process(xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save("Hello")
    monkeypatch.setattr("tui.cli.db.profile", lambda: Profile.of("balanced", {"busy_timeout": 10}))
    with live_process() as live:
        execute(live, "BEGIN IMMEDIATE")
        ran = xchat("db", "vacuum")
    assert ran.code == 1
    assert str(live.pid) in ran.err


def test_retention_deletes_nothing_that_a_live_process_may_show(xchat: Run) -> None:
    save("Old", at_ms=1_000)
    rule = ("db", "retain", "--max-age-days", "1")
    with live_process() as live:
        assert "1 session," in xchat(*rule).out
        refused = xchat(*rule, "--apply", "--yes")
        assert refused.code == 1
        assert str(live.pid) in refused.err
    assert "1 session deleted" in xchat(*rule, "--apply", "--yes").out


@pytest.mark.slow
def test_damaged_rows_are_listed_or_named_as_damaged(xchat: Run) -> None:
    session_id = str(save("Hello", at_ms=1_000))
    with closing(sqlite3.connect(database_path())) as db, db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "UPDATE sqlite_master SET sql = replace(replace(sql, ' NOT NULL', ''), ') STRICT', ')') "
            "WHERE name IN ('sessions', 'messages', 'turns')"
        )
    damage = {
        "sessions": ("title", "created_ms", "updated_ms"),
        "messages": ("session_id", "text", "tokens"),
        "turns": ("model", "cache_n", "predicted_n", "predicted_ms", "ttft_ms", "token_times"),
    }
    assert "Hello" in xchat("sessions", "show", session_id).out
    reading = (("sessions", "list"), ("sessions", "show", session_id), ("sessions", "search", "Hello"), ("db", "stats"), ("stats",))
    with closing(sqlite3.connect(database_path(), isolation_level=None)) as db:
        for table, columns in damage.items():
            for column in columns:
                for value in (None, "x", 1e300, b"\xff"):
                    db.execute("BEGIN")
                    saved = db.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
                    db.execute(f"UPDATE {table} SET {column} = ?", (value,))
                    db.execute("COMMIT")
                    for arguments in (*reading, ("db", "retain", "--max-age-days", "1")):
                        assert "Internal error" not in xchat(*arguments).err, (table, column, value, arguments)
                    db.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", [(was, rowid) for rowid, was in saved])
        db.execute("UPDATE sessions SET updated_ms = NULL")
    assert "damaged: no date" in xchat("db", "retain", "--max-age-days", "1").out
    assert "1 session deleted" in xchat("db", "retain", "--max-age-days", "1", "--apply", "--yes").out
