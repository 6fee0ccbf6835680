"""A connection on its own thread, with two uses of private parts of aiosqlite 0.22."""

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

    A job is a function of the connection, so a transaction costs one hop instead of one per statement, and events on the loop (a cancelled
    task, a closed loop) can't interrupt a transaction.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._place: Place | None = None

        def connect_and_mark() -> sqlite3.Connection:
            db = connect()
            self._place = Place(path)
            return db

        self._db = aiosqlite.Connection(connect_and_mark, iter_chunk_size=64)
        # aiosqlite's thread is not a daemon, so an unclosed connection would prevent the process from ending.
        self._db._thread.daemon = True

    @classmethod
    async def open(cls, path: Path, connect: Callable[[], sqlite3.Connection]) -> Connection:
        """Start the thread and call `connect` on it. Raises StoreError when the file can't be used."""
        connection = cls(path, connect)
        try:
            await connection._db
        except BaseException as error:
            # aiosqlite does not wait for its thread's end, which the thread still reports to this loop.
            await asyncio.to_thread(connection._db._thread.join)
            if isinstance(error, REFUSED):
                raise explain(error, path) from error
            raise
        return connection

    async def run(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run a job on the connection's thread, after earlier ones. A started job is finished even if the caller is cancelled.

        Raises:
            StoreSwappedError: Another file, or none, is at the path now, so the job's changes are lost.
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
        """Whether overwriting by another program can be detected."""
        return self._place is not None and self._place.marked

    async def close(self) -> None:
        """Finish the queued jobs and close the file; safe to call twice."""
        try:
            db = self._db._connection
            if db is not None and self._place is not None and await self._db._execute(self._place.abandon, db):  # type: ignore[no-untyped-call]
                self._db._connection = None
                self._db.stop()
            else:
                await self._db.close()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error
