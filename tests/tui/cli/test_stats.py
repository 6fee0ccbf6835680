"""`xchat stats` prints the running program's numbers, and those of the last session when none runs."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import date, datetime, timedelta

import pytest

from engine.errors import UsageError
from engine.messages import Role
from engine.metrics.live_socket import SnapshotServer
from engine.paths import database_path
from engine.records import Message
from engine.store.writer import Store
from engine.timings import compute_timings
from tests.engine.metrics.scripted import moments
from tests.factories import turn_record
from tests.tui.cli.test_terminal_output import Terminal
from tui.cli import stats
from tui.cli.output import guarded

MS = 1_000_000


def options(**flags: bool | int | date) -> argparse.Namespace:
    return argparse.Namespace(url=None, **({"json": False, "watch": False, "measure": None, "slowest": None} | flags))


async def served(printed: argparse.Namespace, capsys: pytest.CaptureFixture[str]) -> str:
    server = SnapshotServer(lambda: moments(30)[-1])
    await server.start()
    try:
        assert await asyncio.to_thread(stats.run, printed) == 0
    finally:
        await server.close()
    return capsys.readouterr().out


async def test_the_running_program_is_described_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    shown = await served(options(), capsys)
    assert "decoding, tiny Q4_K_M, preset daily" in shown
    assert "435.0 tokens/s" in shown
    assert "700 MB resident" in shown
    assert "xchat 75 %, others 3 % of all cores" in shown, "one measure for both, as in the panel"
    assert "61 °C" in shown


async def test_the_running_program_as_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(await served(options(json=True), capsys))["phase"] == "decoding"


async def test_watching_prints_lines_until_the_program_ends(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(await served(options(json=True), capsys))
    answers = [[found], [found], [found], []]
    monkeypatch.setattr(stats, "running", lambda: answers.pop(0))
    monkeypatch.setattr(stats, "WATCH_S", 0.0)
    stats.run(options(watch=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["phase", "engine"]
    assert len(lines) == 4
    assert {len(line) for line in lines} == {len(lines[0])}


def test_watching_as_json_on_a_terminal_writes_hidden_characters_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = "a\u202eb\x9b2J"
    answers = [[{"model": model}], [{"model": model}], []]
    monkeypatch.setattr(stats, "running", lambda: answers.pop(0))
    monkeypatch.setattr(stats, "WATCH_S", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", guarded(terminal))
    stats.run(options(json=True, watch=True))
    assert json.loads(terminal.getvalue()) == {"model": model}


def test_nothing_to_watch_is_said() -> None:
    with pytest.raises(UsageError, match="No xchat is running"):
        stats.run(options(watch=True))


def test_nothing_at_all_is_said() -> None:
    with pytest.raises(UsageError, match="no session is saved"):
        stats.run(options())


def test_more_threads_than_there_are_cores_are_not_measured() -> None:
    with pytest.raises(UsageError, match="100000 threads"):
        stats.run(options(measure=100_000))


async def saved_session() -> None:
    store = await Store.open(database_path())
    session = await store.create_session("Fast or slow", 1_000)
    for number, (gap_ms, noisy) in enumerate(((20, None), (10, None), (100, "A capture ran"))):
        user, answer = Message(number * 2 + 1, None, Role.USER, "q"), Message(number * 2 + 2, number * 2 + 1, Role.ASSISTANT, "a")
        times = [1_000 * MS + at * gap_ms * MS for at in range(1, 51)]
        timings = compute_timings(cache_n=10, prompt_n=100, submitted_ns=0, prefill_start_ns=0, prefill_end_ns=1_000 * MS, token_ns=times)
        await store.save_message(session, user)
        record = turn_record(id=answer.id, session_id=session, user_message_id=user.id, timings=timings, token_ns=tuple(times), noisy=noisy)
        await store.save_turn(record, answer)
    await store.close()


def test_the_last_session_is_summed_up_without_its_noisy_turns(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(saved_session())
    assert stats.run(options(json=True)) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["turns"], found["noisy_turns"], found["predicted_n"]) == (3, 1, 150)
    assert found["predicted_per_second"] == pytest.approx(75)
    assert found["itl_p50_ms"] == pytest.approx(15)
    stats.run(options())
    shown = capsys.readouterr().out
    assert "3, 1 noisy; medians over the 2 clean ones follow" in shown
    assert "75.0 tokens/s" in shown


def test_the_slowest_turns_of_a_day_are_listed_with_what_took_their_time(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(saved_session())
    day = datetime.fromtimestamp(0).astimezone().date()
    assert stats.run(options(slowest=day)) == 0
    first, cause, *_ = capsys.readouterr().out.splitlines()
    assert "6.1 s  session 1, turn 6: fake Q4_K_M · daily · 2 threads" in first
    assert "Decoding took 82% of the turn, 10.0 tokens/s" in cause
    assert stats.run(options(slowest=day, json=True)) == 0
    assert [one["turn"] for one in json.loads(capsys.readouterr().out)] == [6, 2, 4]
    stats.run(options(slowest=day + timedelta(days=1)))
    assert "No turn began on 1970-01-02" in capsys.readouterr().out
