from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import StoreError, UsageError
from engine.store.errors import StoreLockedError, StoreUnusableError
from engine.store.queries.sessions import find_sessions
from engine.store.reader import Reader
from engine.store.sqlite.connect import open_reader, open_writer, wal_path
from engine.store.sqlite.pragmas import PROFILES, Profile
from engine.store.upkeep import bench, maintenance, retention
from engine.store.upkeep.repair import put_in_place, repair
from engine.store.upkeep.retention import MS_PER_DAY, RetentionRule
from engine.store.writer import LOG_BOUND_BYTES, Store
from tests.engine.store.records import answer, sample, turn, user

REPOSITORY = Path(__file__).parents[4]
NOW_MS = 1_000 * MS_PER_DAY


async def fill(path: Path, sessions: int = 3, text: str = "A llama is an animal. ", times: int = 20) -> list[int]:
    """Sessions of one turn each, every one a day younger than the one before; the last is from now."""
    store = await Store.open(path)
    ids = []
    for number in range(sessions):
        created = NOW_MS - (sessions - 1 - number) * MS_PER_DAY
        session_id = await store.create_session(f"Session {number}", created)
        asked = user(f"Question {number}", created_ms=created)
        said = answer(text * times, asked.id, created_ms=created)
        await store.save_message(session_id, asked)
        await store.save_turn(turn(session_id, said, asked=asked), said)
        store.put_sample(sample(session_id, created))
        ids.append(session_id)
    await store.close()
    return ids


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    db = open_reader(path)
    try:
        return {table: db.execute(f"SELECT * FROM {table} ORDER BY id").fetchall() for table in maintenance.TABLES}
    finally:
        db.close()


class TestStats:
    async def test_it_counts_what_there_is(self, path: Path) -> None:
        await fill(path)
        stats = maintenance.stats(path)
        assert stats.rows == {
            "sessions": 3,
            "messages": 6,
            "turns": 3,
            "samples": 3,
            "events": 0,
            "captures": 0,
            "lab_runs": 0,
            "processes": 1,
        }
        assert stats.file_bytes == path.stat().st_size
        assert (stats.oldest_ms, stats.newest_ms, stats.journal_mode) == (NOW_MS - 2 * MS_PER_DAY, NOW_MS, "wal")
        assert stats.table_bytes is None or stats.table_bytes["messages"] > 0

    def test_a_missing_file_is_an_empty_database(self, path: Path) -> None:
        assert maintenance.stats(path).rows["sessions"] == 0
        assert maintenance.check(path).whole


class TestCheck:
    async def test_a_whole_file_has_no_problems(self, path: Path) -> None:
        await fill(path)
        assert maintenance.check(path).whole
        assert maintenance.check(path, quick=True).whole

    async def test_a_damaged_page_is_found(self, path: Path) -> None:
        await fill(path, sessions=40)
        damage(path, "messages")
        assert not maintenance.check(path).whole

    async def test_a_search_index_that_does_not_match_is_found(self, path: Path) -> None:
        await fill(path)
        db = open_writer(path)
        db.execute("INSERT INTO messages_fts (rowid, text) VALUES (12345, 'phantom')")
        db.close()
        report = maintenance.check(path)
        assert "search index" in report.problems[0]

    async def test_a_row_without_its_session_is_found(self, path: Path) -> None:
        await fill(path)
        db = open_writer(path, Profile.of("sqlite"))
        db.execute("UPDATE turns SET session_id = 99")
        db.close()
        assert "belongs to no sessions" in maintenance.check(path).problems[0]


class TestBackup:
    async def test_a_copy_is_whole_private_and_one_file(self, path: Path, tmp_path: Path) -> None:
        await fill(path)
        folder = tmp_path / "backups"
        folder.mkdir()
        copy = maintenance.backup(path, folder / "copy.db")
        assert [file.name for file in folder.iterdir()] == ["copy.db"]
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        assert contents(copy) == contents(path)

    async def test_it_shows_one_moment_though_others_write_meanwhile(self, path: Path, tmp_path: Path) -> None:
        await fill(path, sessions=60, times=2_000)
        writer = open_writer(path)
        steps: list[int] = []

        def write_meanwhile(done: int, total: int) -> None:
            steps.append(done)
            writer.execute("INSERT INTO sessions (title, created_ms, updated_ms) VALUES ('later', 1, 1)")

        copy = maintenance.backup(path, tmp_path / "copy.db", progress=write_meanwhile)
        writer.close()
        assert len(steps) >= 2
        assert steps == sorted(steps)
        assert len(contents(copy)["sessions"]) == 60

    async def test_what_is_there_is_kept_unless_overwriting_was_said(self, path: Path, tmp_path: Path) -> None:
        await fill(path)
        target = tmp_path / "copy.db"
        target.write_text("mine")
        with pytest.raises(UsageError):
            maintenance.backup(path, target)
        assert target.read_text() == "mine"
        maintenance.backup(path, target, overwrite=True)
        with pytest.raises(StoreError, match="is a folder"):
            maintenance.backup(path, tmp_path)

    async def test_a_killed_backup_leaves_nothing(self, path: Path, tmp_path: Path) -> None:
        await fill(path, sessions=60, times=2_000)
        folder = tmp_path / "backups"
        folder.mkdir()
        program = (
            "import os, signal, sys; from pathlib import Path; from engine.store.upkeep.maintenance import backup; "
            "backup(Path(sys.argv[1]), Path(sys.argv[2]), progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL))"
        )
        command = (sys.executable, "-c", program, str(path), str(folder / "copy.db"))
        child = await asyncio.create_subprocess_exec(*command, cwd=REPOSITORY)
        assert await child.wait() == -signal.SIGKILL
        assert list(folder.iterdir()) == []

    def test_there_must_be_something_to_copy(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="can't be copied"):
            maintenance.backup(path, tmp_path / "copy.db")
        path.parent.mkdir()
        path.write_text("no database, but long enough to be read as one" * 50)
        with pytest.raises(StoreUnusableError):
            maintenance.backup(path, tmp_path / "copy.db")
        assert [file.name for file in tmp_path.glob("*.db*")] == []


class TestVacuum:
    async def test_it_gives_back_what_deleting_left(self, path: Path) -> None:
        ids = await fill(path, sessions=10, times=2_000)
        store = await Store.open(path)
        for session_id in ids[1:]:
            await store.delete_session(session_id)
        await store.close()
        before, after = maintenance.vacuum(path)
        assert after < before / 2
        assert path.stat().st_size == after
        assert maintenance.check(path).whole

    async def test_a_file_in_use_is_left_alone(self, path: Path) -> None:
        await fill(path)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLockedError):
            maintenance.vacuum(path, Profile.of("balanced", {"busy_timeout": 10}, {}))
        other.close()


async def test_a_log_that_a_long_reader_let_grow_is_emptied_after_the_next_batch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.writer.LOG_BOUND_BYTES", 200_000)
    assert LOG_BOUND_BYTES > 200_000
    store = await Store.open(path, interval_s=0.001)
    session_id = await store.create_session("", 1)
    long_reader = open_reader(path)
    long_reader.execute("BEGIN")
    long_reader.execute("SELECT count(*) FROM sessions").fetchone()
    await store.save_message(session_id, user("x" * 1_000_000))
    assert wal_path(path).stat().st_size > 200_000
    long_reader.close()
    store.put_sample(sample())
    async with asyncio.timeout(10):
        while wal_path(path).stat().st_size > 0:
            await asyncio.sleep(0.001)
    await store.close()


class TestRetention:
    async def test_it_plans_by_age_and_deletes_nothing_before_it_is_applied(self, path: Path) -> None:
        ids = await fill(path, sessions=5)
        plan = retention.preview(path, RetentionRule(max_age_days=2), NOW_MS)
        assert [candidate.info.id for candidate in plan.candidates] == ids[:2]
        assert "not changed for 4 days" in plan.candidates[0].reason
        assert plan.kept_sessions == 3
        assert 0 < plan.freed_bytes < plan.used_bytes
        assert len(contents(path)["sessions"]) == 5
        assert retention.apply(path, plan) == 2
        assert [row[0] for row in contents(path)["sessions"]] == ids[2:]
        assert len(contents(path)["samples"]) == 3
        assert maintenance.check(path).whole

    async def test_by_size_the_oldest_go_until_the_rest_fits(self, path: Path) -> None:
        ids = await fill(path, sessions=10, times=20_000)
        plan = retention.preview(path, RetentionRule(max_size_mb=3), NOW_MS)
        chosen = [candidate.info.id for candidate in plan.candidates]
        assert chosen == ids[: len(chosen)]
        assert 0 < len(chosen) < 10
        retention.apply(path, plan)
        assert path.stat().st_size <= 3_000_000

    async def test_pinned_sessions_and_those_being_answered_stay(self, path: Path) -> None:
        pinned, answering, old, _ = await fill(path, sessions=4)
        store = await Store.open(path)
        await store.pin(pinned, True)
        await store.mark_answering(answering, True)
        plan = retention.preview(path, RetentionRule(max_age_days=1, max_size_mb=1), NOW_MS + 90 * MS_PER_DAY)
        assert [candidate.info.id for candidate in plan.candidates] == [old, old + 1]
        await store.close()

    async def test_what_changed_since_the_preview_stays(self, path: Path) -> None:
        first, second, _ = await fill(path)
        plan = retention.preview(path, RetentionRule(max_age_days=1), NOW_MS + MS_PER_DAY)
        store = await Store.open(path)
        await store.save_message(first, user("I am back", created_ms=NOW_MS))
        await store.close()
        assert {candidate.info.id for candidate in plan.candidates} == {first, second}
        assert retention.apply(path, plan) == 1
        assert first in [row[0] for row in contents(path)["sessions"]]

    async def test_without_a_rule_nothing_goes(self, path: Path) -> None:
        await fill(path)
        assert retention.preview(path, RetentionRule(), NOW_MS + 10_000 * MS_PER_DAY).candidates == ()


def damage(path: Path, table: str, pages: int = 1) -> None:
    """Overwrite leaf pages of a table with noise."""
    db = sqlite3.connect(path)
    query = "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno"
    try:
        leaves = [page for (page,) in db.execute(query, (table,))]
    except sqlite3.OperationalError:
        pytest.skip("This SQLite can't tell which page belongs to what.")
    finally:
        db.close()
    assert len(leaves) > 2 * pages
    with path.open("r+b") as file:
        for page in leaves[1::2][:pages]:
            file.seek((page - 1) * 4096)
            file.write(b"\xa5" * 4096)


class TestRepair:
    async def test_all_rows_outside_the_damage_are_saved_and_the_rest_is_reported(self, path: Path, tmp_path: Path) -> None:
        await fill(path, sessions=60)
        before = contents(path)
        damage(path, "messages", pages=3)
        report = repair(path, tmp_path / "new.db")
        saved = {table.name: table for table in report.tables}
        assert not report.complete
        assert len(saved["messages"].unreadable) == 3
        assert 60 < saved["messages"].saved < 120
        after = contents(report.target)
        assert set(after["messages"]) < set(before["messages"])
        for table in ("sessions", "turns", "samples"):
            assert after[table] == before[table]
        assert maintenance.check(report.target).whole

    async def test_messages_whose_session_is_lost_get_one_again(self, path: Path, tmp_path: Path) -> None:
        await fill(path, sessions=2)
        db = open_writer(path, Profile.of("sqlite"))
        db.execute("DELETE FROM sessions WHERE id = 1")
        db.close()
        report = repair(path, tmp_path / "new.db")
        assert report.adopted_sessions == 1
        assert contents(report.target)["sessions"][0][:2] == (1, "Recovered session 1")
        assert maintenance.check(report.target).whole

    async def test_a_truncated_file_gives_what_its_pages_still_hold(self, path: Path, tmp_path: Path) -> None:
        await fill(path, sessions=60)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) * 3 // 4 // 4096 * 4096])
        report = repair(path, tmp_path / "new.db")
        assert not report.complete
        assert sum(table.saved for table in report.tables) > 60
        assert maintenance.check(report.target).whole

    @pytest.mark.slow
    async def test_a_damaged_header_costs_no_row(self, path: Path, tmp_path: Path) -> None:
        await fill(path)
        whole, before = path.read_bytes(), contents(path)
        hints: dict[int, str] = {}
        for at in range(100):
            damaged = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
            path.write_bytes(damaged)
            try:
                open_writer(path).close()
            except StoreError as error:
                hints[at] = error.hint
            path.write_bytes(damaged)
            target = tmp_path / f"{at}.db"
            assert repair(path, target).complete, f"byte {at}"
            assert contents(target) == before, f"byte {at}"
            target.unlink()
        path.write_bytes(bytes(100) + whole[100:])
        assert repair(path, tmp_path / "new.db").complete
        assert contents(tmp_path / "new.db") == before
        assert len(hints) > 20
        assert [at for at, hint in hints.items() if "xchat db repair" not in hint] == []
        assert not list(tmp_path.glob("tmp*"))

    async def test_a_whole_file_is_copied_completely(self, path: Path, tmp_path: Path) -> None:
        await fill(path)
        report = repair(path, tmp_path / "new.db")
        assert report.complete
        assert contents(report.target) == contents(path)

    async def test_the_repaired_file_takes_the_place_of_the_damaged_one_which_is_kept(self, path: Path) -> None:
        await fill(path, sessions=60)
        damage(path, "messages")
        broken = path.read_bytes()
        repaired = repair(path, path.with_name("repaired.db")).target
        aside = put_in_place(path, repaired)
        assert aside.read_bytes() == broken
        assert not repaired.exists()
        reader = await Reader.open(path)
        assert len(await reader.read(find_sessions)) == 60
        await reader.close()

    def test_it_never_overwrites_and_needs_something_to_read(self, path: Path, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="file does not exist"):
            repair(path, tmp_path / "new.db")
        path.parent.mkdir()
        path.write_bytes(b"not a database at all" * 100)
        with pytest.raises(StoreUnusableError):
            repair(path, tmp_path / "new.db")
        (tmp_path / "new.db").write_text("mine")
        with pytest.raises(UsageError):
            repair(path, tmp_path / "new.db")


class TestBench:
    def test_it_measures_every_profile_and_leaves_nothing_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bench, "ROUNDS", 2)
        folder = tmp_path / "disk"
        folder.mkdir()
        steps: list[tuple[int, int]] = []
        wanted = (PROFILES["safe"], PROFILES["balanced"])
        figures = bench.run_bench(folder, wanted, turns=5, progress=lambda done, total: steps.append((done, total)))
        assert [figure.name for figure in figures] == ["safe", "balanced"]
        assert all(0 < figure.commit_p50_ms <= figure.commit_p99_ms and figure.rows_per_s > 0 for figure in figures)
        assert steps[-1] == (4, 5)
        assert list(folder.iterdir()) == []

    def test_each_pragma_of_the_default_stands_alone_too(self) -> None:
        names = [profile.name for profile in bench.candidates()]
        assert names[:4] == ["safe", "balanced", "fast", "sqlite"]
        assert "synchronous=NORMAL" in names
        alone = next(profile for profile in bench.candidates() if profile.name == "synchronous=NORMAL")
        assert alone.values == {**PROFILES["sqlite"].values, "synchronous": "NORMAL"}

    def test_a_folder_that_is_not_there_is_a_store_error(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError):
            bench.run_bench(tmp_path / "nowhere", (replace(PROFILES["safe"]),), turns=1)
