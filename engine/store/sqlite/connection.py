"""A connection on its own thread, and the two uses of private parts of aiosqlite 0.22."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import aiosqlite

from engine.errors import StoreError
from engine.store.errors import REFUSED, explain
from engine.store.sqlite.place import Place

Result = TypeVar("Result")


class Connection:
    """An SQLite connection on its own thread, which runs whole jobs.

    A job is a function that gets the connection, so a transaction costs one hop instead of one per statement, and nothing that
    happens on the event loop (a cancelled task, a closed loop) can leave a transaction half done.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._place: Place | None = None

        def connect_and_mark() -> sqlite3.Connection:
            db = connect()
            self._place = Place(path)
            return db

        self._db = aiosqlite.Connection(connect_and_mark, iter_chunk_size=64)
        # aiosqlite's thread is not a daemon: a connection that nobody could close would keep the process from ending.
        self._db._thread.daemon = True

    @classmethod
    async def open(cls, path: Path, connect: Callable[[], sqlite3.Connection]) -> Connection:
        """Start the thread and call `connect` on it. Raises StoreError when the file can't be used."""
        connection = cls(path, connect)
        try:
            await connection._db
        except BaseException as error:
            # aiosqlite ends its thread without waiting for it, and the thread still wants to tell this loop so.
            await asyncio.to_thread(connection._db._thread.join)
            if isinstance(error, REFUSED):
                raise explain(error, path) from error
            raise
        return connection

    async def run(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do a job on the connection's thread, after those before it. Once begun it is finished, even if the caller is cancelled.

        Raises:
            StoreSwappedError: Another file is at the path now, or none: what the job did went into a file that nobody will read.
            StoreError: SQLite refused.
        """
        assert self._place is not None
        place = self._place

        def checked(db: sqlite3.Connection) -> Result:
            place.check()
            result = job(db)
            place.check()
            return result

        if not self._db._running or self._db._connection is None:
            raise StoreError(f"{self._path} is closed", "", "Restart xchat.")
        try:
            return cast(Result, await self._db._execute(checked, self._db._conn))  # type: ignore[no-untyped-call]
        except REFUSED as error:
            raise explain(error, self._path) from error
        except OverflowError as error:
            raise StoreError(f"A number is too large for {self._path}", str(error)) from error
        except UnicodeEncodeError as error:
            raise StoreError(f"A text can't be saved in {self._path}", str(error)) from error

    @property
    def marked(self) -> bool:
        """Whether it is noticed when another program overwrites the file."""
        return self._place is not None and self._place.marked

    async def close(self) -> None:
        """Finish the jobs under way and close the file; safe to call twice."""
        try:
            db = self._db._connection
            if db is not None and self._place is not None and await self._db._execute(self._place.abandon, db):  # type: ignore[no-untyped-call]
                self._db._connection = None
                self._db.stop()
            else:
                await self._db.close()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
