"""`xchat quality` with the built-in model: the table, the JSON, and what is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from engine.lab.quality.run import Outcome
from engine.messages import Role
from engine.paths import database_path
from engine.records import Message
from engine.store.lab_runs import list_runs
from engine.store.writer import Store
from tests.tui.cli.conftest import Run

SMALL = ("quality", "-m", "builtin", "--window", "64", "--windows", "2", "--threads", "1", "--threads-batch", "1")


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `xchat`: the command redirects the output of the whole process."""
    return subprocess.run(
        [sys.executable, "-m", "tui.cli.main", *arguments], capture_output=True, text=True, env=dict(os.environ), check=False
    )


@pytest.mark.slow
def test_kv_types_are_compared_in_json() -> None:
    ran = in_a_process(*SMALL, "--kv", "q4_0", "--json")
    assert ran.returncode == 0, ran.stderr
    outcome = msgspec.json.decode(ran.stdout, type=Outcome)
    base, other = outcome.results
    assert (base.label, base.against, other.label, outcome.windows) == ("f16/f16", None, "q4_0/q4_0", 2)
    assert other.against is not None
    assert other.against.kld.value > 0


@pytest.mark.slow
def test_a_short_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    ran = in_a_process("quality", "-m", "builtin", "-f", str(tmp_path / "short"))
    assert ran.returncode == 2
    assert "shorter than one window" in ran.stderr


@pytest.mark.parametrize("arguments", [("--window", "3"), ("--windows", "0"), ("--kv", "nonsense"), ("--threads", "x")])
def test_what_can_not_be_meant_is_refused(xchat: Run, arguments: tuple[str, ...]) -> None:
    assert xchat("quality", "-m", "builtin", *arguments).code == 2


@pytest.mark.slow
def test_quants_are_compared_on_the_own_conversations_of_which_nothing_is_kept() -> None:
    asyncio.run(conversation("My very own secret text, again and again. " * 40))
    ran = in_a_process(*SMALL, "--own", "--kv", "q8_0")
    assert ran.returncode == 0, ran.stderr
    assert "same top" in ran.stdout
    assert not list_runs(database_path())
    assert in_a_process(*SMALL, "--kv", "q8_0").returncode == 0
    (kept,) = list_runs(database_path())
    assert "KLD" in kept.verdict


async def conversation(text: str) -> None:
    store = await Store.open(database_path())
    session = await store.create_session("Own", 1_000)
    await store.save_message(session, Message(1, None, Role.USER, text))
    await store.close()
