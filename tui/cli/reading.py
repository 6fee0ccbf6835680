"""Reading the database from a command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.paths import database_path
from engine.store.reader import Reader


@asynccontextmanager
async def open_reader() -> AsyncIterator[Reader]:
    """Open the database for reading.

    Raises:
        StoreError: It can't be opened.
    """
    reader = await Reader.open(database_path())
    try:
        yield reader
    finally:
        await reader.close()
