"""A database that can't be used, and a disk that refuses in the middle: clear errors, and nothing lost in silence."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import StoreError
from engine.store.errors import (
    StoreDamagedError,
    StoreFullError,
    StoreLockedError,
    StoreNewerError,
    StoreUnusableError,
    explain,
)
from engine.store.queries.sessions import find_sessions, read_session
from engine.store.reader import Reader
from engine.store.schema.migrations import VERSION
from engine.store.sqlite.connect import open_reader, open_writer
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store
from tests.engine.store.powerless import open_without_power
from tests.engine.store.records import answer, sample, turn, user

IMPATIENT = Profile.of("balanced", {"busy_timeout": 20}, {})


@contextmanager
def locked(path: Path, how: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Another program is in the middle of writing."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute(f"BEGIN {how}")
    yield other
    if other.in_transaction:
        other.execute("ROLLBACK")
    other.close()


def made(path: Path) -> Path:
    """A database with a session in it, closed."""
    db = open_writer(path)
    db.execute("INSERT INTO sessions (title, created_ms, updated_ms) VALUES ('kept', 1, 1)")
    db.close()
    return path


def complete(error: StoreError, path: Path) -> bool:
    """Whether the error names the file, says why, and what to do."""
    return str(path) in error.title and bool(error.detail) and bool(error.hint)


class TestOpening:
    @pytest.mark.parametrize("content", [b"This is a poem, and quite a long one.\n" * 200, b"\x89PNG\r\n\x1a\n", bytes(8192)])
    async def test_a_file_that_is_no_database_is_left_alone(self, path: Path, content: bytes) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        for opening in (Store.open, Reader.open):
            with pytest.raises(StoreUnusableError) as caught:
                await opening(path)
            assert complete(caught.value, path)
        assert path.read_bytes() == content

    async def test_a_folder_is_said_to_be_one(self, path: Path) -> None:
        path.mkdir(parents=True)
        for opening in (Store.open, Reader.open):
            with pytest.raises(StoreUnusableError, match="is a folder"):
                await opening(path)

    async def test_a_pipe_is_not_waited_for(self, path: Path) -> None:
        path.parent.mkdir()
        os.mkfifo(path)
        with pytest.raises(StoreUnusableError):
            await Store.open(path)

    async def test_a_truncated_file_is_damaged(self, path: Path) -> None:
        whole = made(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(StoreDamagedError) as caught:
            await Store.open(path)
        assert complete(caught.value, path)
        assert "repair" in caught.value.hint

    async def test_a_newer_database_is_refused_for_writing_and_read_all_the_same(self, path: Path) -> None:
        db = open_writer(made(path))
        db.execute(f"PRAGMA user_version = {VERSION + 7}")
        db.close()
        with pytest.raises(StoreNewerError) as caught:
            await Store.open(path)
        assert complete(caught.value, path)
        reader = await Reader.open(path)
        assert [info.title for info in await reader.read(find_sessions)] == ["kept"]
        await reader.close()

    async def test_a_database_that_another_program_has_locked_whole_is_said_to_be_locked(self, path: Path) -> None:
        made(path)
        lock = sqlite3.connect(path, isolation_level=None)
        lock.execute("PRAGMA locking_mode = EXCLUSIVE")
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLockedError) as caught:
            await Store.open(path, IMPATIENT)
        assert complete(caught.value, path)
        lock.close()

    def test_a_read_only_file_can_still_be_read(self, path: Path) -> None:
        made(path).chmod(0o400)
        assert open_without_power(path) == ["StoreReadOnlyError", "1"]

    def test_a_read_only_folder_can_still_be_read(self, path: Path) -> None:
        made(path).parent.chmod(0o500)
        assert open_without_power(path) == ["StoreReadOnlyError", "1"]
        path.parent.chmod(0o700)


class TestLock:
    async def test_a_lock_shorter_than_the_timeout_is_ridden_out(self, store: Store, path: Path) -> None:
        with locked(path) as other:
            asyncio.get_running_loop().call_later(0.05, other.execute, "ROLLBACK")
            assert await store.create_session("waited", 1)

    async def test_a_longer_lock_is_an_error_and_saving_again_works(self, path: Path) -> None:
        store = await Store.open(path, IMPATIENT)
        with locked(path):
            with pytest.raises(StoreLockedError) as caught:
                await store.create_session("", 1)
            assert complete(caught.value, path)
            assert store.figures().failures == 1
        assert await store.create_session("", 1)
        await store.close()

    async def test_samples_are_kept_in_order_until_the_lock_is_gone(self, path: Path) -> None:
        store = await Store.open(path, IMPATIENT, interval_s=3600)
        with locked(path):
            store.put_sample(sample(None, 1))
            with pytest.raises(StoreLockedError):
                await store.flush()
            store.put_sample(sample(None, 2))
            assert (store.figures().waiting, store.figures().dropped) == (2, 0)
            assert isinstance(store.batch_error, StoreLockedError)
        await store.flush()
        assert store.batch_error is None
        reader = open_reader(path)
        assert reader.execute("SELECT wall_ms FROM samples ORDER BY id").fetchall() == [(1,), (2,)]
        reader.close()
        await store.close()

    async def test_a_batch_that_failed_is_tried_again_by_itself(self, path: Path) -> None:
        store = await Store.open(path, IMPATIENT, interval_s=0.001)
        async with asyncio.timeout(10):
            with locked(path):
                store.put_sample(sample())
                while store.batch_error is None:
                    await asyncio.sleep(0.001)
            while store.figures().rows == 0:
                await asyncio.sleep(0.001)
        assert store.batch_error is None
        await store.close()

    async def test_closing_says_what_could_not_be_written_and_closes_all_the_same(self, path: Path) -> None:
        store = await Store.open(path, IMPATIENT, interval_s=3600)
        store.put_sample(sample())
        with locked(path):
            with pytest.raises(StoreLockedError):
                await store.close()
            with pytest.raises(StoreError, match="closed"):
                await store.create_session("", 1)

    async def test_a_reader_does_not_wait_for_a_writer(self, store: Store, reader: Reader, path: Path) -> None:
        with locked(path):
            assert await reader.read(find_sessions) == ()


class TestFullDisk:
    """SQLite itself is told that the file must not grow: the same code as for a disk without room."""

    @pytest.fixture
    async def cramped(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
        def open_cramped(where: Path, profile: Profile) -> sqlite3.Connection:
            db = open_writer(where, profile)
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            db.execute(f"PRAGMA max_page_count = {pages + 8}")
            return db

        monkeypatch.setattr("engine.store.writer.open_writer", open_cramped)
        store = await Store.open(path, interval_s=3600)
        yield store
        await store.close()

    async def test_a_turn_that_does_not_fit_is_an_error_and_nothing_of_it_is_written(self, cramped: Store, path: Path) -> None:
        session_id = await cramped.create_session("", 1)
        said = answer("x" * 100_000)
        with pytest.raises(StoreFullError) as caught:
            await cramped.save_turn(turn(session_id, said), said)
        assert complete(caught.value, path)
        reader = await Reader.open(path)
        stored = await reader.read(read_session, session_id)
        assert (stored.messages, stored.turns) == ((), ())
        await reader.close()

    async def test_writing_goes_on_once_there_is_room(self, cramped: Store) -> None:
        session_id = await cramped.create_session("", 1)
        await cramped.save_message(session_id, user("y" * 15_000))
        with pytest.raises(StoreFullError):
            await cramped.save_message(session_id, user("z" * 30_000))
        await cramped.delete_session(session_id)
        assert await cramped.create_session("room again", 1)


@pytest.mark.parametrize(
    "code", [name for name in dir(sqlite3) if name.startswith("SQLITE_IOERR") or name in {"SQLITE_NOMEM", "SQLITE_CORRUPT_VTAB"}]
)
def test_every_failure_names_the_file_and_a_way_out(path: Path, code: str) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = getattr(sqlite3, code)
    assert complete(explain(error, path), path)
