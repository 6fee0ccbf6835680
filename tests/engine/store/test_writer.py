from __future__ import annotations

import asyncio
import sqlite3
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from engine.errors import StoreError
from engine.records import MessageStatus, Sample
from engine.store import statements
from engine.store.errors import SessionMissingError
from engine.store.queries.search import search_messages
from engine.store.queries.sessions import SessionFilter, find_sessions, read_session, session_info
from engine.store.reader import Reader
from engine.store.sqlite.connect import open_reader, open_writer, wal_path
from engine.store.writer import Store
from tests.engine.store.records import answer, sample, turn, user


def outside(path: Path, query: str) -> list[tuple[object, ...]]:
    """What another program sees in the file."""
    db = open_reader(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


async def conversation(store: Store, words: str = "What is a llama?") -> int:
    session_id = await store.create_session(words, 1_000)
    asked = user(words)
    said = answer("An animal.", asked.id)
    await store.save_message(session_id, asked)
    await store.save_turn(turn(session_id, said, asked=asked), said)
    return session_id


async def test_a_conversation_comes_back_as_it_was_saved(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("A title", 1_000)
    asked = user("What is a llama?\x00\x1b[31m 🦙\n")
    said = answer("An animal.", asked.id)
    record = turn(session_id, said, asked=asked, tokens=300)
    await store.save_message(session_id, asked)
    await store.save_turn(record, said)
    stored = await reader.read(read_session, session_id)
    assert stored.messages == (asked, said)
    assert stored.turns == (record,)
    assert stored.info == replace(
        stored.info,
        id=session_id,
        title="A title",
        created_ms=1_000,
        updated_ms=2_000,
        head_id=said.id,
        model="Tiny 0.6B",
        n_messages=2,
        n_turns=1,
    )


async def test_a_finished_turn_is_in_the_file_when_the_call_returns(store: Store, path: Path) -> None:
    await conversation(store)
    assert outside(path, "SELECT count(*) FROM turns") == [(1,)]


async def test_saving_twice_is_the_same_as_saving_once(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)
    said = answer()
    await store.save_message(session_id, replace(said, text="An"))
    await store.save_turn(turn(session_id, said), said)
    await store.save_turn(turn(session_id, said), said)
    stored = await reader.read(read_session, session_id)
    assert stored.messages == (said,)
    assert len(stored.turns) == 1
    assert [hit.message_id for hit in await reader.read(search_messages, _words("there"))] == [said.id]


async def test_half_a_surrogate_pair_is_stored_as_a_replacement_character(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("bad \ud83d title", 1)
    await store.save_message(session_id, user("bad \udc80 paste"))
    stored = await reader.read(read_session, session_id)
    assert (stored.info.title, stored.messages[0].text) == ("bad \ufffd title", "bad \ufffd paste")


async def test_a_title_is_one_line_without_escapes(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("two\nlines \x1b]0;evil\x07 👩‍🚀 " + "x" * 500, 1)
    title = (await reader.read(session_info, session_id)).title
    assert title.startswith("two lines ]0;evil 👩‍🚀 x")
    assert len(title) == 200


@pytest.mark.slow
async def test_a_message_of_ten_megabytes_is_stored_and_found(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)
    await store.save_message(session_id, user("llama " * 1_700_000 + "needle"))
    hits = await reader.read(search_messages, _words("needle"))
    assert len(hits) == 1
    assert len(hits[0].snippet) < 1000


async def test_the_file_is_for_its_owner_only_even_if_it_was_not_before(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    path.touch(0o644)
    store = await Store.open(path)
    await store.create_session("", 1)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    await store.close()
    assert set(modes.values()) == {0o600}
    assert wal_path(path).name in modes


async def test_closing_empties_the_log_and_ends_the_thread(path: Path) -> None:
    before = set(threading.enumerate())
    store = await Store.open(path)
    threads = set(threading.enumerate()) - before
    await conversation(store)
    await store.close()
    await store.close()
    assert not wal_path(path).exists()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    with pytest.raises(StoreError):
        await store.create_session("", 1)


async def test_a_store_that_nobody_closed_does_not_keep_the_program_from_ending(path: Path) -> None:
    before = set(threading.enumerate())
    store = await Store.open(path)
    assert all(thread.daemon for thread in set(threading.enumerate()) - before)
    await store.close()


async def test_samples_wait_for_a_batch_and_are_flushed_at_the_end(store: Store, path: Path) -> None:
    session_id = await store.create_session("", 1)
    for moment in range(10):
        store.put_sample(sample(session_id, moment))
    store.put_event(wall_ms=3, session_id=session_id, turn_id=None, kind="stall", text="80 ms")
    assert outside(path, "SELECT count(*) FROM samples") == [(0,)]
    assert store.figures().waiting == 11
    await store.close()
    assert outside(path, "SELECT count(*), max(wall_ms) FROM samples") == [(10, 9)]
    assert outside(path, "SELECT kind, text FROM events") == [("stall", "80 ms")]


async def test_fifty_rows_are_written_without_waiting_for_the_interval(path: Path) -> None:
    store = await Store.open(path, interval_s=3600)
    for moment in range(50):
        store.put_sample(sample(None, moment))
    await _until(lambda: store.figures().rows == 50)
    assert outside(path, "SELECT count(*) FROM samples") == [(50,)]
    await store.close()


async def test_a_single_row_is_written_after_the_interval(path: Path) -> None:
    store = await Store.open(path, interval_s=0.001)
    store.put_sample(sample())
    await _until(lambda: store.figures().rows == 1)
    await store.close()


async def test_rows_of_a_session_that_another_xchat_deleted_are_left_out_and_the_rest_is_written(store: Store, path: Path) -> None:
    gone = await store.create_session("", 1)
    kept = await store.create_session("", 1)
    other = await Store.open(path)
    await other.delete_session(gone)
    await other.close()
    store.put_sample(sample(gone))
    store.put_sample(sample(kept))
    store.put_sample(sample(None))
    await store.flush()
    assert outside(path, "SELECT session_id FROM samples ORDER BY id") == [(kept,), (None,)]
    with pytest.raises(SessionMissingError):
        await store.save_message(gone, user())


async def test_a_full_queue_drops_the_oldest_samples_and_counts_them(path: Path) -> None:
    store = await Store.open(path, queue_rows=30, interval_s=3600)
    for moment in range(40):
        store.put_sample(sample(None, moment))
    figures = store.figures()
    await store.close()
    assert (figures.waiting, figures.dropped) == (30, 10)
    assert outside(path, "SELECT min(wall_ms), max(wall_ms) FROM samples") == [(10, 39)]


@pytest.mark.parametrize(
    "senseless", [replace(sample(), figures={"rss_bytes": 1 << 70}), replace(sample(), figures={"threads": cast(int, "many")})]
)
async def test_a_sample_that_makes_no_sense_does_not_hold_up_the_ones_after_it(store: Store, path: Path, senseless: Sample) -> None:
    store.put_sample(senseless)
    with pytest.raises(StoreError):
        await store.flush()
    store.put_sample(sample())
    await store.flush()
    assert (store.figures().rows, store.figures().dropped, store.figures().waiting) == (1, 1, 0)
    assert outside(path, "SELECT count(*) FROM samples") == [(1,)]


async def test_a_conversation_from_elsewhere_is_stored_whole_or_not_at_all(store: Store, reader: Reader) -> None:
    asked = user("Imported", created_ms=5)
    said = answer("Yes", asked.id, created_ms=6)
    session_id = await store.import_session("From elsewhere", 5, [asked, said])
    stored = await reader.read(read_session, session_id)
    assert (stored.messages, stored.info.head_id, stored.info.updated_ms) == ((asked, said), said.id, 6)
    with pytest.raises(StoreError):
        await store.import_session("Broken", 5, [user(), replace(said, id=1 << 70)])
    with pytest.raises(StoreError):
        await store.import_session("The same twice", 5, [asked, said])
    assert len(await reader.read(find_sessions)) == 1


async def test_a_message_never_takes_the_place_of_one_in_another_session(store: Store, reader: Reader) -> None:
    first, second = [await store.create_session("", 1) for _ in range(2)]
    said = answer("mine")
    await store.save_message(first, said)
    with pytest.raises(StoreError, match="can't be saved"):
        await store.save_message(second, replace(said, text="stolen"))
    assert (await reader.read(read_session, first)).messages == (said,)


async def test_the_figures_say_what_a_commit_costs(store: Store) -> None:
    await conversation(store)
    figures = store.figures()
    assert figures.commits == 3
    assert figures.commit_p50_ms is not None
    assert figures.commit_max_ms is not None
    assert 0 < figures.commit_p50_ms <= figures.commit_max_ms


async def test_a_cancelled_caller_leaves_no_half_turn(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)
    said = answer()
    saving = asyncio.create_task(store.save_turn(turn(session_id, said), said))
    await asyncio.sleep(0)
    saving.cancel()
    await asyncio.wait([saving])
    await store.rename(session_id, "still works")
    stored = await reader.read(read_session, session_id)
    assert (len(stored.messages), len(stored.turns)) == (1, 1)


async def test_an_answer_cut_by_a_crash_is_noticed_at_the_next_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crashed = await Store.open(path)
    session_id = await conversation(crashed)
    await crashed.mark_answering(session_id, True)
    monkeypatch.setattr(statements, "leave_process", lambda *_: None)
    await crashed.close()
    monkeypatch.undo()
    db = open_writer(path)
    db.execute("UPDATE processes SET process_started = process_started - 1000")
    db.close()

    store = await Store.open(path)
    reader = await Reader.open(path)
    assert (store.unclean_end, store.interrupted) == (True, (session_id,))
    assert (await reader.read(session_info, session_id)).interrupted
    said = answer()
    await store.save_turn(turn(session_id, said), said)
    assert not (await reader.read(session_info, session_id)).interrupted
    await reader.close()
    await store.close()


async def test_an_answer_under_way_in_another_xchat_is_not_taken_for_a_crash(store: Store, path: Path) -> None:
    session_id = await store.create_session("", 1)
    await store.mark_answering(session_id, True)
    other = await Store.open(path)
    assert (other.unclean_end, other.interrupted) == (False, ())
    await other.close()


async def test_a_clean_end_leaves_no_mark(path: Path) -> None:
    store = await Store.open(path)
    await store.mark_answering(await store.create_session("", 1), True)
    await store.close()
    again = await Store.open(path)
    assert (again.unclean_end, again.interrupted) == (False, ())
    await again.close()


async def test_two_stores_on_one_file_take_turns(path: Path) -> None:
    stores = [await Store.open(path) for _ in range(2)]
    ids = [await store.create_session(str(index), index) for index, store in enumerate(stores)]

    async def chat(store: Store, session_id: int) -> None:
        for _ in range(20):
            said = answer()
            store.put_sample(sample(session_id))
            await store.save_turn(turn(session_id, said), said)

    await asyncio.gather(*(chat(store, session_id) for store, session_id in zip(stores, ids, strict=True)))
    for store in stores:
        await store.close()
    assert outside(path, "SELECT session_id, count(*) FROM turns GROUP BY 1") == [(session_id, 20) for session_id in ids]
    assert outside(path, "SELECT count(*) FROM samples") == [(40,)]


class TestDeleting:
    async def test_nothing_of_a_session_is_left_anywhere_in_the_file(self, store: Store, reader: Reader, path: Path) -> None:
        kept = await conversation(store, "Tell me about alpacas")
        doomed = await conversation(store, "Xylophonistically speaking, my secret is Quetzalcoatlus")
        store.put_sample(sample(doomed))
        store.put_event(wall_ms=1, session_id=doomed, turn_id=None, kind="stall", text="Zwitterion")
        await store.flush()
        await store.delete_session(doomed)
        left = b"".join(file.read_bytes() for file in path.parent.iterdir()).lower()
        for word in (b"xylophonistically", b"ylophonistically", b"quetzalcoatlus", b"uetzalcoatlus", b"zwitterion"):
            assert word not in left
        assert wal_path(path).stat().st_size == 0
        assert [info.id for info in await reader.read(find_sessions)] == [kept]
        for table in ("messages", "turns", "samples", "events"):
            assert outside(path, f"SELECT count(*) FROM {table} WHERE session_id = {doomed}") == [(0,)]

    async def test_no_word_is_left_whatever_segments_of_the_index_it_was_in(self, store: Store, path: Path) -> None:
        words = ["gryllotalpa", "velociraptor", "opisthocomus", "hypsilophodon", "zalambdalestes", "microbrachius"]
        ids = [await conversation(store, f"zq{word} {' '.join(words[:number])}") for number, word in enumerate(reversed(words))]
        for session_id, word in zip(ids, reversed(words), strict=True):
            for _ in range(7):
                await conversation(store, "something else")
            others = b"".join(file.read_bytes() for file in path.parent.iterdir()).count(f"zq{word}".encode())
            assert others > 0
            await store.delete_session(session_id)
            left = b"".join(file.read_bytes() for file in path.parent.iterdir())
            assert f"q{word}".encode() not in left

    async def test_the_search_index_stays_true_to_the_messages(self, store: Store, path: Path) -> None:
        ids = [await conversation(store, f"word{index} common") for index in range(30)]
        for session_id in ids[::2]:
            await store.delete_session(session_id)
        db = open_writer(path)
        db.execute("INSERT INTO messages_fts (messages_fts, rank) VALUES ('integrity-check', 1)")
        assert db.execute("SELECT count(*) FROM messages_fts WHERE messages_fts MATCH 'common'").fetchone() == (15,)
        db.close()

    async def test_an_id_is_never_used_again(self, store: Store) -> None:
        first = await store.create_session("", 1)
        await store.delete_session(first)
        assert await store.create_session("", 1) > first

    async def test_a_session_that_is_not_there_is_said_so(self, store: Store) -> None:
        with pytest.raises(SessionMissingError):
            await store.delete_session(99)
        with pytest.raises(SessionMissingError):
            await store.rename(99, "x")


async def test_statuses_are_kept(store: Store, reader: Reader) -> None:
    session_id = await store.create_session("", 1)
    messages = tuple(replace(answer(), status=status, tokens=None, tokens_of=None) for status in MessageStatus)
    for message in messages:
        await store.save_message(session_id, message)
    assert (await reader.read(read_session, session_id)).messages == messages


def test_the_writer_overwrites_what_it_deletes(path: Path) -> None:
    db = open_writer(path)
    assert db.execute("PRAGMA secure_delete").fetchone() == (1,)
    db.close()
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _words(text: str) -> SessionFilter:
    return SessionFilter(search=text)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)
