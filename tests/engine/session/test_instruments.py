"""What is measured of a session, with no screen anywhere."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.backend import ThreadsNow
from engine.clock import NS_PER_S, now_ns
from engine.config import Config
from engine.errors import UsageError
from engine.events import Event, Notice, Painted, TurnFinished
from engine.host.bandwidth import HostLimits
from engine.host.sampler import HostSample
from engine.metrics.live_socket import running
from engine.metrics.snapshot import Snapshot
from engine.paths import database_path
from engine.presets.preset import Preset
from engine.session import instruments as instruments_module
from engine.session.open import open_session
from engine.store.queries.speeds import speeds_by_file
from tests.engine.metrics.scripted import host_sample
from tests.fake_backend import FakeBackend

MODEL = Path("/models/fake-Q4_K_M.gguf")


class Machine:
    """A machine on which others take a share of the cores."""

    def __init__(self, others: float = 3.0) -> None:
        self.others = others
        self.model: Path | None = None
        self.seen: list[str] = []
        self._before_ns = now_ns()

    def watch_model(self, path: Path | None) -> None:
        self.model = path

    def sample(self) -> HostSample:
        at_ns, before_ns = now_ns(), self._before_ns
        self._before_ns = at_ns
        self.seen.append("sampled")
        return replace(host_sample(at_ns, (at_ns - before_ns) / NS_PER_S, others=self.others), threads=())

    def close(self) -> None:
        self.seen.append("closed")


class Watched:
    """A session, its machine, and the events so far."""

    def __init__(self, backend: FakeBackend, machine: Machine) -> None:
        self.backend, self.machine = backend, machine
        self.events: list[Event] = []
        self._news = asyncio.Event()

    async def open(self, **config: Any) -> Watched:
        self.session = await open_session(Preset(), Config(**config), backend=self.backend, sampler=self.machine)
        self.session.subscribe(self._take)
        await self.session.load(MODEL)
        return self

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def judged(self) -> None:
        """Wait until the turn under way has been judged."""
        seen = asyncio.Event()
        end = self.session.instruments.subscribe(lambda now: seen.set() if now.judged else None)
        await asyncio.wait_for(seen.wait(), 10)
        end()

    async def turn(self, text: str = "go", *, long: bool = True) -> TurnFinished:
        """One turn; a long one is judged before it ends."""
        answer_id = self.session.send(text)
        if long:
            await self.judged()
        self.backend.release(len(self.backend.script))
        return await self.end_of(answer_id)

    async def end_of(self, answer_id: int) -> TurnFinished:
        """Wait for the end of a turn."""
        while True:
            for event in self.events:
                if isinstance(event, TurnFinished) and event.answer.id == answer_id:
                    return event
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)

    async def tick(self) -> Snapshot:
        """The snapshot of a tick of our own, or of the one that was under way."""
        instruments = self.session.instruments
        before = instruments.newest
        while (now := instruments.newest) is None or now is before:
            await instruments.tick()
            await asyncio.sleep(0)
        return now


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    """The machine is sampled when a turn begins and shortly after, and at no other time unless the test asks for it."""
    monkeypatch.setattr(instruments_module, "TICK_S", 3_600.0)
    one = await Watched(FakeBackend(gated=True), Machine()).open()
    yield one
    await one.session.close()


async def test_a_turn_on_a_quiet_machine_is_clean(watched: Watched) -> None:
    end = await watched.turn()
    assert (end.turn.judged, end.turn.noisy, end.turn.clean) == (True, None, True)
    assert end.turn.rss_peak_bytes == 700_000_000
    assert watched.machine.model == MODEL


async def test_a_turn_beside_a_busy_neighbour_is_not_clean_and_says_why(watched: Watched) -> None:
    watched.machine.others = 80.0
    end = await watched.turn()
    assert (end.turn.judged, end.turn.noisy) == (True, "Other processes used 80 % of the cores")
    assert not end.turn.clean


async def test_a_turn_that_is_over_before_the_machine_was_watched_is_not_judged(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments_module, "EARLY_S", 3_600.0)
    watched.machine.others = 80.0
    end = await watched.turn(long=False)
    assert (end.turn.judged, end.turn.noisy, end.turn.clean) == (False, None, False)


async def test_a_capture_keeps_a_turn_out_of_comparisons_however_short(watched: Watched) -> None:
    watched.session.instruments.meter.capture(True)
    end = await watched.turn(long=False)
    assert (end.turn.judged, end.turn.noisy, end.turn.clean) == (True, "A capture ran", False)


async def test_a_turn_that_is_not_clean_tells_how_fast_a_model_prefills_only_as_long_as_nothing_is_known(watched: Watched) -> None:
    def known() -> float | None:
        return watched.session.switching.prefill_speed(MODEL)

    watched.machine.others = 80.0
    await watched.turn("word " * 40)
    first = known()
    assert first is not None
    await watched.turn("word " * 40)
    await watched.turn("word " * 40, long=False)
    assert known() == first
    watched.machine.others = 0.0
    await watched.turn("word " * 40)
    assert known() != first


async def test_speeds_are_those_of_quiet_turns_and_of_disturbed_ones_only_until_there_are_any(watched: Watched) -> None:
    watched.backend.script = ("token ",) * 20
    watched.machine.others = 80.0
    await watched.turn()
    await watched.session.library.logged()
    with sqlite3.connect(database_path()) as db:
        assert [speed.disturbed for speed in speeds_by_file(db, socket.gethostname()).values()] == [True]
    watched.machine.others = 0.0
    await watched.turn()
    await watched.session.library.logged()
    with sqlite3.connect(database_path()) as db:
        assert [(speed.turns, speed.disturbed) for speed in speeds_by_file(db, socket.gethostname()).values()] == [(1, False)]


async def test_samples_are_logged_without_a_screen(watched: Watched) -> None:
    end = await watched.turn()
    await watched.session.close()
    with sqlite3.connect(database_path()) as db:
        assert db.execute("SELECT count(*) FROM samples WHERE turn_id = ?", (end.turn.id,)).fetchone()[0] >= 2
        assert db.execute("SELECT judged, clean FROM v_turns").fetchall() == [(1, 1)]


async def test_what_was_painted_counts_for_the_answer_it_belongs_to(watched: Watched) -> None:
    instruments = watched.session.instruments
    answer_id = watched.session.send("go")
    at_ns = now_ns()
    instruments.painted(Painted(answer_id - 1, at_ns, 5_000_000))
    instruments.painted(Painted(answer_id, at_ns, 2_000_000))
    instruments.painted(Painted(answer_id, at_ns + 1_000_000, 1_000_000))
    watched.backend.release(1_000)
    end = await watched.end_of(answer_id)
    assert end.turn.paint_ms == 3.0
    assert end.turn.first_paint_ms is not None


async def test_the_limits_are_those_of_the_threads_that_compute_now(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {2: HostLimits(2, 30.0, 90.0), 1: HostLimits(1, 17.0, 45.0)}
    monkeypatch.setattr(instruments_module, "remembered", known.get)
    instruments = watched.session.instruments
    for threads in (1, 2, 1, 3):
        watched.backend.threads_now = ThreadsNow(threads, threads, "a busy neighbour", "")
        await watched.tick()
        assert instruments.meter.limits == known.get(threads)
        assert instruments.newest is not None
        assert instruments.newest.engine is not None
        assert instruments.newest.engine.threads == threads


class SlowMachine(Machine):
    """A machine that takes its time to be sampled."""

    def __init__(self) -> None:
        super().__init__()
        self.looking, self.go_on = threading.Event(), threading.Event()

    def sample(self) -> HostSample:
        self.looking.set()
        self.go_on.wait(5)
        return super().sample()


async def test_a_sampling_ends_before_its_files_are_closed() -> None:
    machine = SlowMachine()
    session = await open_session(Preset(), Config(), backend=FakeBackend(), sampler=machine)
    await asyncio.to_thread(machine.looking.wait, 5)
    closing = asyncio.create_task(session.close())
    asyncio.get_running_loop().call_later(0.01, machine.go_on.set)
    await closing
    assert machine.seen == ["sampled", "closed"]


async def test_other_programs_can_read_the_figures_only_when_that_is_asked_for(watched: Watched) -> None:
    await watched.turn()
    await watched.tick()
    assert await asyncio.to_thread(running) == []
    await watched.session.instruments.publish()
    (report,) = await asyncio.to_thread(running)
    assert report["totals"]["turns"] == 1
    await watched.session.close()
    assert await asyncio.to_thread(running) == []


class TestAlerts:
    async def test_each_is_told_once_and_only_to_those_who_watch_the_figures(self) -> None:
        one = await Watched(FakeBackend(), Machine()).open(alerts={"memory_pct": 1.0})
        assert (await one.tick()).alerts
        assert [event for event in one.events if isinstance(event, Notice)] == []
        one.session.instruments.subscribe(lambda _: None)
        for _ in range(3):
            await one.tick()
        (notice,) = (event for event in one.events if isinstance(event, Notice))
        assert notice.title == "Memory is 44 % full (alert above 1 %)"
        await one.session.close()

    async def test_an_alert_that_does_not_exist_is_refused_by_name(self) -> None:
        with pytest.raises(UsageError, match="loudness"):
            await open_session(Preset(), Config(alerts={"loudness": 1.0}), backend=FakeBackend(), log=False)
