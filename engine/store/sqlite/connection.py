"""A connection on its own thread, and the two uses of private parts of aiosqlite 0.22."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import aiosqlite

from engine.errors import StoreError
from engine.store.errors import REFUSED, explain, swapped

Result = TypeVar("Result")


class Connection:
    """An SQLite connection on its own thread, which runs whole jobs.

    A job is a function that gets the connection, so a transaction costs one hop instead of one per statement, and nothing that
    happens on the event loop (a cancelled task, a closed loop) can leave a transaction half done.
    """

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None
        self._db = aiosqlite.Connection(connect, iter_chunk_size=64)
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
        connection._identity = _identity(path)
        return connection

    async def run(self, job: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do a job on the connection's thread, after those before it. Once begun it is finished, even if the caller is cancelled.

        Raises:
            StoreSwappedError: Another file is at the path now, or none: what the job did went into a file that nobody will read.
            StoreError: SQLite refused.
        """

        def checked(db: sqlite3.Connection) -> Result:
            self._check_place()
            result = job(db)
            self._check_place()
            return result

        try:
            return cast(Result, await self._db._execute(checked, self._db._conn))  # type: ignore[no-untyped-call]
        except REFUSED as error:
            raise explain(error, self._path) from error
        except OverflowError as error:
            raise StoreError(f"A number is too large for {self._path}", str(error)) from error
        except ValueError as error:
            # aiosqlite's way to say that the connection is closed.
            raise StoreError(f"{self._path} is closed", str(error)) from error

    def _check_place(self) -> None:
        if self._identity is not None and _identity(self._path) != self._identity:
            raise swapped(self._path)

    async def close(self) -> None:
        """Finish the jobs under way and close the file; safe to call twice."""
        try:
            await self._db.close()
        except sqlite3.Error as error:
            raise explain(error, self._path) from error


def _identity(path: Path) -> tuple[int, int] | None:
    """Identifies the file at a path; None without one."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
