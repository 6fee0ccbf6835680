"""One key from the chat to the flamegraph, with the real py-spy on the test process."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.errors import CaptureError
from engine.paths import database_path
from engine.profiling import capture as capture_module
from engine.profiling import sampling_cost
from engine.profiling.records import CaptureMode
from engine.profiling.request import CaptureRequest
from engine.profiling.sampling_cost import SHARE
from engine.store.captures import list_captures
from tests.engine.profiling.test_capture import busy_thread, enough_samples
from tests.fake_backend import FakeBackend
from tests.tui.host import Host, screen_text, wait_until
from tests.tui.program import Running, program
from tui.flame.capture import CaptureDialog, CaptureOverlay
from tui.flame.screen import FlameScreen

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="py-spy needs root elsewhere")]


async def recording(run: Running) -> None:
    """Press the key and wait for samples of a busy thread, which is not busy for longer: the pilot waits for idleness."""
    await run.pilot.press("f9")
    await wait_until(run.pilot, lambda: run.chat.profiling.profiler.active is not None)
    assert run.chat.profiling.profiler.active is not None
    with busy_thread("spinner"):
        await enough_samples(run.chat.profiling.profiler.active)


async def test_one_key_records_while_the_answer_goes_on_and_the_same_key_ends_it() -> None:
    backend = FakeBackend(script=["one ", "two ", "three"], gated=True)
    async with program(backend, database=database_path()) as run:
        await run.send("Count")
        backend.release(1)
        await recording(run)
        assert run.chat.query_one(CaptureOverlay).region.y == 0
        assert run.chat.query_one("#desk").region.y == 0
        await run.until("F9 ends it now, Esc cancels")
        backend.release(1)
        await run.until("two")
        await run.pilot.press("f9")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, FlameScreen), "the flamegraph")
        await run.until("spinner")
        assert not run.chat.query(CaptureOverlay)
        (saved,) = list_captures(database_path())
        assert (saved.mode, saved.preset, saved.model) == (CaptureMode.PYTHON, "daily", "fake-Q4_K_M")
        await run.pilot.press("escape")
        backend.release(1)
        await run.answered()
    with sqlite3.connect(database_path()) as db:
        ((noisy,),) = db.execute("SELECT noisy FROM turns").fetchall()
    assert "capture" in noisy


async def test_escape_cancels_the_capture_and_not_the_answer() -> None:
    backend = FakeBackend(script=["one ", "two"], gated=True)
    async with program(backend, database=database_path()) as run:
        await run.send("Count")
        backend.release(1)
        await recording(run)
        await run.pilot.press("escape")
        await run.until_noticed("The capture was cancelled")
        assert run.session.busy
        assert list_captures(database_path()) == ()
        backend.release(1)
        await run.until("two")


async def test_a_program_that_does_not_log_still_shows_its_last_capture() -> None:
    async with program() as run:
        await recording(run)
        await run.pilot.press("f9")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, FlameScreen), "the flamegraph")
        await run.pilot.press("escape", "alt+v")
        await run.until("Captures")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, FlameScreen), "the flamegraph again")
        assert list_captures(database_path()) == ()


async def test_without_captures_the_viewer_says_how_to_make_one() -> None:
    async with program() as run:
        await run.pilot.press("alt+v")
        await run.until_noticed("Record one: F9.")


async def test_the_reason_for_sampling_from_inside_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise CaptureError("py-spy is missing", "", "Install it.")

    monkeypatch.setattr(capture_module.Capture.__init__, "__kwdefaults__", {"tokens": None, "setting": None, "program": missing})
    async with program() as run:
        await recording(run)
        await run.pilot.press("f9")
        await run.until_noticed("since py-spy could not")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, FlameScreen), "the flamegraph")
        await run.until("py-spy is missing")


async def test_leaving_the_program_ends_the_capture() -> None:
    async with program() as run:
        await recording(run)
        active = run.chat.profiling.profiler.active
    assert active is not None
    assert await active.result() is None


@asynccontextmanager
async def dialog() -> AsyncIterator[tuple[Pilot[None], list[CaptureRequest | None]]]:
    """The dialog at 80x24, and what it was left with."""
    chosen: list[CaptureRequest | None] = []
    async with Host().run_test(size=(80, 24)) as pilot:
        await pilot.app.push_screen(CaptureDialog(CaptureRequest()), chosen.append)
        await pilot.pause()
        yield pilot, chosen


async def test_the_dialog_says_what_each_mode_sees_and_remembers_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_cost, "sample_cost_s", lambda: SHARE / 50)
    async with dialog() as (pilot, chosen):
        assert "Record for 10 s, 50 samples a second" in screen_text(pilot.app)
        assert "compute threads do not appear in any mode" in screen_text(pilot.app)
        await pilot.press("down", "right")
        assert "Also the functions inside llama.cpp" in screen_text(pilot.app)
        await pilot.press("enter")
    assert chosen == [CaptureRequest(20, None, CaptureMode.NATIVE)]


async def test_the_dialog_says_why_it_takes_fewer_samples_and_lets_one_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_cost, "sample_cost_s", lambda: SHARE / 20)
    async with dialog() as (pilot, chosen):
        assert "Record for 10 s, 20 samples a second: 50 would cost over 3 % of tokens/s" in screen_text(pilot.app)
        await pilot.press("r", "r")
        assert "Record for 10 s, 50 samples a second, at any cost" in screen_text(pilot.app)
        await pilot.press("enter")
    assert chosen == [CaptureRequest(10, 50)]


async def test_a_capture_tells_the_rate_it_really_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_cost, "sample_cost_s", lambda: SHARE / 20)
    async with program(database=database_path()) as run:
        await recording(run)
        await run.until("20/s")
        await run.pilot.press("f9")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, FlameScreen), "the flamegraph")
        await run.until("at 20/s")
        (saved,) = list_captures(database_path())
        assert saved.rate == 20


async def test_the_answer_goes_on_behind_the_flamegraph_without_painting_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend(script=["one ", "two ", "three"], gated=True)
    async with program(backend, database=database_path()) as run:
        await run.send("Count")
        backend.release(1)
        await recording(run)
        await run.pilot.press("f9")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, FlameScreen), "the flamegraph")
        await run.pilot.pause()
        painted: list[object] = []
        monkeypatch.setattr(type(run.app), "_display", lambda _app, screen, _renderable: painted.append(screen))
        backend.release(2)
        await run.answered()
        await run.pilot.pause()
        monkeypatch.undo()
        assert painted == []
        await run.pilot.resize_terminal(70, 20)
        await run.pilot.press("escape")
        await run.until("one two three")
        assert run.chat.size == (70, 20)


async def test_the_dialog_closes_without_a_capture() -> None:
    async with dialog() as (pilot, chosen):
        await pilot.press("escape")
    assert chosen == [None]
