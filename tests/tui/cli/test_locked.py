"""`xchat ask` while another program locks the database."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from engine.presets.preset import Preset
from engine.session import journal
from engine.session.session import Session
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store
from tests.fake_backend import FakeBackend
from tui.cli import ask


@pytest.mark.parametrize("ends", [True, False], ids=["that ends", "that stays"])
async def test_a_lock_past_the_answer_is_waited_for_with_a_word(
    ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(journal, "RETRY_S", 0.02)
    monkeypatch.setattr(journal, "CLOSE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(ask, "LOCK_NOTICE_S", 0.1)
    monkeypatch.setattr(ask, "LOCK_WAIT_S", 10.0 if ends else 0.1)
    path = tmp_path / "x.db"
    store = await Store.open(path, Profile.of("balanced", {"busy_timeout": 20}))
    session = Session(FakeBackend(), preset=Preset(), store=store)
    await session.load(Path("/models/fake-Q4_K_M.gguf"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    session.send("Keep this")
    await session.wait_idle()
    waiting = asyncio.create_task(ask.wait_for_lock(session))
    told = ""
    while "waiting for the database" not in told:
        told += capsys.readouterr().err
        await asyncio.sleep(0)
    if ends:
        other.execute("ROLLBACK")
    await waiting
    assert ("was not saved" in capsys.readouterr().err) is not ends
    if ends:
        assert other.execute("SELECT text FROM messages WHERE role = 'user'").fetchall() == [("Keep this",)]
    other.close()
    await session.close()
