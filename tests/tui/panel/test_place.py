"""Where the panel stands in the program, how a person gets to it, and what it takes over from the session."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from textual.css.query import NoMatches

from engine.backend import ThreadsNow
from engine.clock import NS_PER_S, now_ns
from engine.host import bandwidth
from engine.host.bandwidth import HostLimits
from engine.host.sampler import HostSample
from engine.metrics.snapshot import Alert
from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.panel_feed import host_sample
from tests.tui.program import Running, program
from tui import metering as metering_module
from tui.metering import Metering
from tui.panel.panel import Panel


async def panel_of(run: Running) -> Panel:
    """The panel, once it is furnished and shows figures."""

    def there() -> bool:
        try:
            return run.chat.query_one(Panel).drawn_ms is not None or not run.chat.query_one(Panel).is_on_screen
        except NoMatches:
            return False

    await wait_until(run.pilot, there, "the panel is furnished")
    return run.chat.query_one(Panel)


def metering_of(run: Running) -> Metering:
    assert run.chat.panel._metering is not None
    return run.chat.panel._metering


@pytest.mark.parametrize("keys", [("shift+tab",), ("tab", "tab")])
async def test_tab_leads_to_the_panel_whose_keys_then_stand_in_the_last_line(keys: tuple[str, ...]) -> None:
    async with program(size=(120, 36)) as run:
        panel = await panel_of(run)
        assert "Ctrl+R Regenerate" in run.text
        assert "Explain" not in run.text
        await run.pilot.press(*keys)
        assert run.chat.focused is panel
        await run.until("? Explain")
        assert "Enter Expand" in run.text
        assert "F1 Help" in run.text
        assert "Ctrl+R Regenerate" not in run.text
        await run.pilot.press("escape")
        assert run.chat.focused is run.chat.prompt
        await run.until("Ctrl+R Regenerate")


async def test_the_last_line_does_what_it_says_when_it_is_clicked() -> None:
    async with program(size=(120, 36)) as run:
        await panel_of(run)
        await run.pilot.press("shift+tab")
        await run.until("Enter Expand")
        await run.pilot.click("#keys", offset=(run.text.splitlines()[-1].index("Enter Expand") + 1, 0))
        await wait_until(run.pilot, lambda: "2 Context" not in run.text and "1 Speed" in run.text, "one pane fills the panel")


async def test_help_tells_how_to_get_to_the_panel_and_back() -> None:
    async with program(size=(120, 36)) as run:
        await panel_of(run)
        await run.pilot.press("f1")
        await run.until("Shift+Tab goes to the instrument panel")
        await run.pilot.press("escape", "shift+tab", "f1")
        await run.until("Esc or Tab goes back to the message")


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (30, 12)])
async def test_on_a_small_screen_the_panel_takes_the_conversations_place_until_it_goes_again(size: tuple[int, int]) -> None:
    async with program(size=size) as run:
        await run.send("Hi")
        await run.answered()
        await run.until("Hello there.")
        panel = await panel_of(run)
        assert not panel.is_on_screen
        await run.pilot.press("ctrl+g")
        await run.until("1 Speed")
        assert run.chat.focused is panel
        assert "Hello there." not in run.text
        await run.pilot.press("escape")
        assert run.chat.focused is run.chat.prompt
        await run.pilot.press("ctrl+g")
        await run.until("Hello there.")
        assert not panel.is_on_screen
        assert run.chat.focused is run.chat.prompt


async def test_a_larger_window_has_room_for_both_again() -> None:
    async with program(size=(80, 24)) as run:
        await run.send("Hi")
        await run.answered()
        await panel_of(run)
        await run.pilot.press("ctrl+g")
        await run.pilot.resize_terminal(120, 36)
        await wait_until(run.pilot, lambda: "1 Speed" in run.text and "Hello there." in run.text, "both are shown")


async def test_a_wide_window_shows_every_pane_in_two_columns() -> None:
    async with program(size=(200, 50)) as run:
        await panel_of(run)
        await run.until("9 Events")
        assert any(
            "1 Speed" in line and any(f"{number} " in line.split("1 Speed")[1] for number in range(2, 10)) for line in run.text.splitlines()
        )
        assert " more " not in run.text


async def test_the_limits_are_those_of_the_threads_that_compute_now(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {2: HostLimits(2, 30.0, 90.0), 1: HostLimits(1, 17.0, 45.0)}
    monkeypatch.setattr(metering_module, "remembered", known.get)
    backend = FakeBackend()
    async with program(backend) as run:
        await panel_of(run)
        metering = metering_of(run)
        for threads in (1, 2, 1, 3):
            backend.threads_now = ThreadsNow(threads, threads, "a busy neighbour", "")
            await metering.tick()
            assert metering.meter.limits == known.get(threads)
            assert metering._newest is not None
            assert metering._newest.engine is not None
            assert metering._newest.engine.threads == threads


async def test_a_measurement_counts_at_once() -> None:
    assert bandwidth.remembered(64) is None
    async with program() as run:
        panel = await panel_of(run)
        panel.post_message(Panel.HostMeasured(HostLimits(64, 50.0)))
        await wait_until(run.pilot, lambda: metering_of(run).meter.limits == HostLimits(64, 50.0), "the limits are taken over")


async def test_the_batch_in_force_is_shown_before_anything_was_painted() -> None:
    async with program() as run:
        await panel_of(run)
        metering = metering_of(run)
        await metering.tick()
        assert metering._newest is not None
        assert metering._newest.stream_batch == run.session.stream_batch > 0


class BusyNeighbour:
    """A machine on which others take 80 % of the cores."""

    def __init__(self) -> None:
        self._before_ns = now_ns()

    def watch_model(self, path: Path | None) -> None:
        """Not looked at."""

    def sample(self) -> HostSample:
        at_ns, before_ns = now_ns(), self._before_ns
        self._before_ns = at_ns
        return host_sample(at_ns, (at_ns - before_ns) / NS_PER_S, others=80.0)

    def close(self) -> None:
        """Nothing is held."""


async def test_a_turn_shorter_than_a_tick_is_held_against_the_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering_module, "TICK_S", 3_600.0)
    async with program(FakeBackend(gated=True)) as run:
        await panel_of(run)
        metering = metering_of(run)
        metering._sampler = BusyNeighbour()
        await run.send("go")
        await wait_until(run.pilot, lambda: metering.meter.noise.judged, "the machine is looked at during the turn")
        turn = run.session._turn
        assert turn is not None
        assert turn.noisy == "Other processes used 80 % of the cores"
        run.backend.release(1_000)
        await run.answered()


class SlowMachine(BusyNeighbour):
    """A machine that takes its time to be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looking, self.go_on = threading.Event(), threading.Event()
        self.seen: list[str] = []

    def sample(self) -> HostSample:
        self.looking.set()
        self.go_on.wait(5)
        self.seen.append("looked")
        return super().sample()

    def close(self) -> None:
        self.seen.append("closed")


async def test_a_look_at_the_machine_ends_before_its_files_are_closed() -> None:
    async with program() as run:
        await panel_of(run)
        metering, machine = metering_of(run), SlowMachine()
        await wait_until(run.pilot, lambda: metering._under_way is None or metering._under_way.done(), "nothing is looked at")
        metering._sampler = machine
        metering._busy_s = time.monotonic()
        tick = asyncio.create_task(metering.tick())
        await asyncio.to_thread(machine.looking.wait, 5)
        tick.cancel()
        stop = asyncio.create_task(metering.stop())
        await run.pilot.pause()
        machine.go_on.set()
        await stop
        assert machine.seen == ["looked", "closed"]


class TestAlerts:
    async def test_each_is_told_once_with_how_to_change_it_and_typing_goes_on(self) -> None:
        async with program() as run:
            await panel_of(run)
            metering = metering_of(run)
            await metering.tick()
            assert metering._newest is not None
            crossed = replace(metering._newest, raised=(Alert("mean_answer_s", "Answers take 7.0 s on average (alert above 5 s)"),))
            for _ in range(3):
                metering._log(crossed)
            await run.until_noticed("Answers take 7.0 s on average")
            await run.until_noticed("mean_answer_s under [alerts] in config.toml")
            assert run.notices.count("Answers take") == 1
            assert run.chat.focused is run.chat.prompt
            await run.pilot.press(*"still here")
            assert run.chat.prompt.text == "still here"

    async def test_it_never_covers_the_message(self) -> None:
        async with program(size=(80, 24)) as run:
            await panel_of(run)
            metering = metering_of(run)
            await metering.tick()
            assert metering._newest is not None
            metering._log(replace(metering._newest, raised=(Alert("memory_pct", "Memory is 91 % full (alert above 80 %)"),)))
            await run.until("Memory is 91 % full")
            await run.pilot.press(*"typed")
            prompt = run.chat.prompt.region
            rows = run.text.splitlines()[prompt.y : prompt.bottom]
            assert any("typed" in row for row in rows)
            assert all("alert" not in row for row in rows)
