"""What the program says about its database when it starts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.tui.program import Running, program
from tests.tui.saved import save_session

pytestmark = pytest.mark.slow


def end_uncleanly(database: Path) -> None:
    """As if the process that wrote it had been killed."""
    with closing(sqlite3.connect(database)) as db:
        db.execute("UPDATE processes SET ended_ms = NULL, pid = 2147483647")
        db.commit()


def damage(database: Path) -> None:
    """Make a row belong to a session that is not there."""
    with closing(sqlite3.connect(database)) as db:
        db.execute("UPDATE turns SET session_id = 4711")
        db.commit()


async def checked(run: Running) -> None:
    await run.app.workers.wait_for_complete([worker for worker in run.app.workers if worker.group == "care"])


async def test_damage_after_a_crash_is_told_with_the_way_out(tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    await save_session(database, "Hello")
    end_uncleanly(database)
    damage(database)
    async with program(database=database) as run:
        await run.until_noticed("The database is damaged: xchat did not exit cleanly last time")
        assert "xchat db repair" in run.notices


async def test_a_crash_that_did_no_harm_is_not_told(tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    await save_session(database, "Hello")
    end_uncleanly(database)
    async with program(database=database) as run:
        assert run.session.library.unclean_end
        await checked(run)
        assert "damaged" not in run.notices


async def test_without_a_crash_nothing_is_looked_at(tmp_path: Path) -> None:
    database = tmp_path / "chat.db"
    await save_session(database, "Hello")
    damage(database)
    async with program(database=database) as run:
        assert not run.session.library.unclean_end
        await checked(run)
        assert "damaged" not in run.notices
