"""The reader: a separate read-only connection that never waits for the writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from engine.store.errors import StoreSwappedError
from engine.store.sqlite.connect import open_reader
from engine.store.sqlite.connection import Connection

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


class Reader:
    """Runs queries on the database. Call it on the event loop it was opened on."""

    def __init__(self, path: Path, connection: Connection | None = None) -> None:
        """Without a connection the first read opens the file; `open` reports errors at once."""
        self.path = path
        self._connection = connection

    @classmethod
    async def open(cls, path: Path) -> Reader:
        """Open the database for reading only, one of a newer xchat too; a missing file reads as an empty database.

        Raises StoreLockedError, StoreReadOnlyError, StoreDamagedError or StoreUnusableError when it can't be read.
        """
        return cls(path, await Connection.open(path, partial(open_reader, path)))

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, Asked], Answer], *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Answer:
        """Run a query of `engine.store.queries`, or another function of a connection, on the reader's thread.

        Raises StoreError when the database can't be read, or the query raised it.
        """
        if self._connection is None:
            self._connection = await Connection.open(self.path, partial(open_reader, self.path))
        try:
            return await self._connection.run(lambda db: query(db, *args, **kwargs))
        except StoreSwappedError:
            before, self._connection = self._connection, await Connection.open(self.path, partial(open_reader, self.path))
            await before.close()
            return await self._connection.run(lambda db: query(db, *args, **kwargs))

    async def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._connection is not None:
            await self._connection.close()
