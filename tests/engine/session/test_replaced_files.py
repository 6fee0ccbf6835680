"""A database that is deleted, replaced or overwritten under a running chat: nothing said is lost, and nothing of the new file."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import StoreError
from engine.presets.preset import Preset
from engine.session import journal
from engine.session.session import Session
from engine.store import erase
from engine.store.errors import StoreLockedError, StoreSwappedError
from engine.store.reader import Reader
from engine.store.sqlite import place
from engine.store.sqlite.connect import wal_path
from engine.store.sqlite.pragmas import Profile
from engine.store.upkeep.maintenance import backup, check, vacuum
from engine.store.upkeep.repair import put_in_place
from engine.store.writer import Store
from tests.engine.session.logged_chat import Chat, rows
from tests.fake_backend import FakeBackend


@pytest.mark.parametrize("how", ["deleted", "replaced by a copy", "replaced by another"])
async def test_a_file_that_goes_away_under_a_chat_is_said_and_the_conversation_saved_anew(chat: Chat, tmp_path: Path, how: str) -> None:
    await chat.say("Before")
    await chat.session.library.logged()
    chat.sample(1)
    if how == "replaced by a copy":
        with sqlite3.connect(chat.path) as db:
            db.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        put_in_place_of(chat.path, tmp_path / "copy.db")
    elif how == "replaced by another":
        other = await Store.open(tmp_path / "other.db")
        await other.create_session("Somebody else's first session", 1)
        await other.close()
        put_in_place_of(chat.path, tmp_path / "other.db")
    else:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{chat.path}{suffix}").unlink(missing_ok=True)
    chat.sample(2)
    await chat.say("After")
    await chat.logged_again()
    await chat.say("Later")
    await chat.session.library.logged()
    assert isinstance(chat.changes[0].error, StoreSwappedError)
    assert chat.saved() == ["Before", "After", "Later"]
    await chat.session.library.save_now()
    assert rows(chat.path, "SELECT session_id FROM samples WHERE wall_ms < 10 ORDER BY wall_ms") == [(chat.session.session_id,)] * 2
    listed = await chat.session.library.sessions()
    assert chat.session.session_id in {info.id for info in listed}
    assert len(listed) == (2 if how == "replaced by another" else 1)


def put_in_place_of(path: Path, other: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    os.replace(other, path)


LONG = "x" * 20_000


async def filled(chat: Chat, turns: int = 3) -> None:
    """Have a conversation of some pages."""
    for number in range(turns):
        await chat.say(f"{number} {LONG}")
    await chat.session.library.logged()


@pytest.mark.parametrize("what", ["another", "an older copy", "nothing"])
@pytest.mark.parametrize("profile", ["balanced", "safe"])
async def test_a_file_that_is_overwritten_under_a_chat_keeps_the_new_content_and_the_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, profile: str
) -> None:
    monkeypatch.setattr(place, "SETTLED_S", 0.1)
    monkeypatch.setattr(journal, "RETRY_S", 0.02)
    path, source = tmp_path / "x.db", tmp_path / "other.db"
    store = await Store.open(path, Profile.of(profile))
    backend = FakeBackend()
    chat = Chat(Session(backend, preset=Preset(), store=store, reader=await Reader.open(path)), backend, path)
    await chat.session.load(Path("/models/fake-Q4_K_M.gguf"))
    await filled(chat)
    if what == "another":
        other = await Store.open(source)
        await other.create_session("Somebody else's first session", 1)
        await other.close()
    elif what == "an older copy":
        backup(path, source)
    else:
        source.touch()
    await filled(chat, 5)
    await store._run(erase.empty_log)  # a log that has all that the copy lacks would save everything by itself
    await chat.say("Before")
    await chat.session.library.logged()
    chat.sample(1)
    shutil.copyfile(source, path)
    await chat.say("After")
    await chat.logged_again()
    await chat.say("Later")
    await chat.session.library.save_now()
    assert isinstance(chat.changes[0].error, StoreError)
    assert "overwritten" in chat.changes[0].error.title
    texts = [text.split()[0] for text in chat.saved()]
    assert texts == [*map(str, range(3)), *map(str, range(5)), "Before", "After", "Later"]
    listed = await chat.session.library.sessions()
    assert chat.session.session_id in {info.id for info in listed}
    assert len(listed) == (2 if what == "another" else 1)
    assert rows(path, "SELECT session_id FROM samples WHERE wall_ms = 1") == [(chat.session.session_id,)]
    await chat.session.close()
    assert check(path).whole
    assert rows(path, "SELECT count(*) FROM sessions") == [(len(listed),)]


async def test_a_chat_that_ends_while_its_file_is_overwritten_leaves_the_new_content_alone(chat: Chat, tmp_path: Path) -> None:
    await filled(chat)
    other = await Store.open(tmp_path / "other.db")
    await other.create_session("Somebody else's first session", 1)
    await other.close()
    content = (tmp_path / "other.db").read_bytes()
    chat.path.write_bytes(content)
    store = chat.session._journal._store
    assert store is not None
    with pytest.raises(StoreError, match="overwritten"):
        await store.create_session("Too late", 1)
    with pytest.raises(StoreError, match="overwritten"):
        await store.close()
    gc.collect()
    assert chat.path.read_bytes() == content
    assert not wal_path(chat.path).exists()


@pytest.mark.parametrize("what", ["a text", "a database that is still being copied"])
async def test_a_log_is_never_written_into_content_that_is_not_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    path = tmp_path / "x.db"
    store, other = await Store.open(path), await Store.open(tmp_path / "other.db")
    await store.create_session(LONG, 1)
    await other.create_session("Somebody else's first session", 1)
    await other.close()
    content = (tmp_path / "other.db").read_bytes() if what != "a text" else b"Not a database\n" * 10_000
    path.write_bytes(content)
    with pytest.raises(StoreError, match="overwritten"):
        await store.create_session("Too late", 1)
    abandon = place.Place.abandon

    def written_once_more(self: place.Place, db: sqlite3.Connection) -> bool:
        with path.open("r+b") as file:
            file.write(content)
        return abandon(self, db)

    monkeypatch.setattr(place.Place, "abandon", written_once_more)
    with pytest.raises(StoreError, match="overwritten"):
        await store.close()
    gc.collect()
    assert path.read_bytes() == content
    assert not wal_path(path).exists()


async def test_a_file_that_changes_while_it_is_copied_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "SETTLED_S", 0.0)
    path = tmp_path / "x.db"
    store = await Store.open(path)
    await store.create_session(LONG, 1)
    copyfile = shutil.copyfile
    path.write_bytes(b"")
    inode = path.stat().st_ino

    def changed_meanwhile(source: Path, target: Path) -> None:
        copyfile(source, target)
        with path.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(shutil, "copyfile", changed_meanwhile)
    with pytest.raises(StoreError, match="being overwritten"):
        await store.create_session("Too late", 1)
    assert (path.read_bytes(), path.stat().st_ino) == (b"more", inode)
    with contextlib.suppress(StoreError):
        await store.close()


async def test_a_log_whose_file_was_taken_for_another_is_kept_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is read in the middle of a checkpoint may look like another one."""
    path = tmp_path / "x.db"
    store = await Store.open(path)
    await store.create_session("Before", 1)
    os.utime(path, ns=(1, 1))
    with monkeypatch.context() as once:
        once.setattr(place.Place, "_is_ours", lambda _: False)
        with pytest.raises(StoreError, match="being overwritten"):
            await store.create_session("Refused", 1)
    await store._connection.close()
    assert rows(path, "SELECT title FROM sessions") == [("Before",)]


async def test_what_other_programs_do_to_a_database_is_not_taken_for_another_file(chat: Chat) -> None:
    await filled(chat)
    other = await Store.open(chat.path)
    for _ in range(3):
        await other.create_session(LONG, 1)
        await other._run(erase.empty_log)
        await chat.say("Hello")
        await chat.session.library.logged()
        vacuum(chat.path)  # a write meanwhile would wait longer than this chat does
    await other.close()
    await chat.session.library.logged()
    assert not chat.changes


@pytest.mark.skipif(sys.platform == "win32", reason="files in use can't be renamed there")
def test_a_repair_refuses_a_file_that_a_program_has_open(tmp_path: Path) -> None:
    path, repaired = tmp_path / "x.db", tmp_path / "repaired.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)")
    shutil.copy(path, repaired)
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"open\n"
    with pytest.raises(StoreLockedError, match=f"{holder.pid}"):
        put_in_place(path, repaired)
    holder.communicate()
    assert put_in_place(path, repaired).exists()
