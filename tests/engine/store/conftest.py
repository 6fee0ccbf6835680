"""An open store on a fresh file, for whoever needs one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.store.host import Host
from engine.store.reader import Reader
from engine.store.writer import Store

HOST = Host("box", "Linux 6.1", "A CPU", "avx2 fma", 8, 16 * 2**30, "0.1.0", "b1234")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "xchat.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(path, host=HOST)
    yield opened
    await opened.close()


@pytest.fixture
async def reader(store: Store, path: Path) -> AsyncIterator[Reader]:
    opened = await Reader.open(path)
    yield opened
    await opened.close()
