"""Databases damaged in odd ways: each is refused by an error that a person can act on, or read; none by an error of xchat's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from engine.errors import StoreError
from engine.messages import Role
from engine.records import Message
from engine.store.queries.sessions import find_sessions, read_session
from engine.store.reader import Reader
from engine.store.sqlite.connect import open_reader
from engine.store.upkeep import maintenance
from engine.store.writer import Store

pytestmark = pytest.mark.slow

PAGE = 4096
SEEDS = 60


def flip(content: bytearray, dice: random.Random, reach: int) -> None:
    for _ in range(dice.randrange(1, 60)):
        content[dice.randrange(min(reach, len(content)))] = dice.randrange(256)


def page_lost(content: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(content) // PAGE) * PAGE
    content[at : at + PAGE] = dice.randbytes(PAGE)


def page_twice(content: bytearray, dice: random.Random) -> None:
    pages = len(content) // PAGE
    at, other = dice.randrange(pages) * PAGE, dice.randrange(pages) * PAGE
    content[at : at + PAGE] = content[other : other + PAGE]


def cut(content: bytearray, dice: random.Random) -> None:
    del content[dice.randrange(1, len(content)) :]


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    partial(flip, reach=1 << 30),
    partial(flip, reach=6 * PAGE),
    partial(flip, reach=100),
    page_lost,
    page_twice,
    cut,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "x.db"

    async def fill() -> None:
        store = await Store.open(path)
        for number in range(20):
            session_id = await store.create_session(f"Session {number}", number)
            for turn in range(4):
                at = number * 10 + turn
                role = Role.ASSISTANT if turn % 2 else Role.USER
                await store.save_message(session_id, Message(at + 1, at if turn else None, role, f"text {turn} " * 40))
        await store.close()

    asyncio.run(fill())
    return path.read_bytes()


async def write(path: Path) -> None:
    store = await Store.open(path)
    try:
        session_id = await store.create_session("New", 1)
        await store.save_message(session_id, Message(10**6, None, Role.USER, "text"))
    finally:
        await store.close()


async def read(path: Path) -> None:
    reader = await Reader.open(path)
    try:
        for info in await reader.read(find_sessions):
            await reader.read(read_session, info.id)
    finally:
        await reader.close()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_damaged_file_is_read_or_refused_by_name(seed: int, whole: bytes, tmp_path: Path) -> None:
    path, dice, content = tmp_path / "x.db", random.Random(seed), bytearray(whole)
    DAMAGES[seed % len(DAMAGES)](content, dice)
    path.write_bytes(content)
    for use in (read, lambda path: asyncio.to_thread(maintenance.check, path), write):
        with suppress(StoreError):
            await use(path)


def test_a_schema_that_sqlite_cannot_even_quote_is_damage(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(whole.replace(b"CREATE TABLE messages", b"CREATE \xd5ABLE messages"))
    with pytest.raises(StoreError, match="is damaged") as caught:
        open_reader(path).execute("SELECT * FROM messages")
    assert str(path) in caught.value.title
    assert "xchat db repair" in caught.value.hint
