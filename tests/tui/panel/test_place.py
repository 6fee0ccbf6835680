"""Where the panel stands in the program, how a person gets to it, and what it takes over from the session."""

from __future__ import annotations

import re

import pytest
from textual.css.query import NoMatches

from engine.host import bandwidth
from engine.host.bandwidth import HostLimits
from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.panel.panel import Panel

pytestmark = pytest.mark.slow


async def panel_of(run: Running) -> Panel:
    """The panel, once it is furnished and shows figures."""

    def there() -> bool:
        try:
            return run.chat.query_one(Panel).drawn_ms is not None or not run.chat.query_one(Panel).is_on_screen
        except NoMatches:
            return False

    await wait_until(run.pilot, there, "the panel is furnished")
    return run.chat.query_one(Panel)


@pytest.mark.parametrize("keys", [("shift+tab",), ("tab", "tab")])
async def test_tab_leads_to_the_panel_whose_keys_then_stand_in_the_last_line(keys: tuple[str, ...]) -> None:
    async with program(size=(120, 36)) as run:
        panel = await panel_of(run)
        assert "F3 Models" in run.text
        assert "? Explain" not in run.text
        await run.pilot.press(*keys)
        assert run.chat.focused is panel
        await run.until("? Explain")
        assert "Enter Expand" in run.text
        assert "F1 Help" in run.text
        assert "F3 Models" not in run.text
        await run.pilot.press("escape")
        assert run.chat.focused is run.chat.prompt
        await run.until("F3 Models")


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
        beside = re.compile(r"\d [A-Z]\w+ ─+ .*\d [A-Z]\w+ ─+")
        await wait_until(run.pilot, lambda: any(beside.search(line) for line in run.text.splitlines()), "two panes are beside each other")
        assert " more " not in run.text


async def test_a_measurement_counts_at_once() -> None:
    assert bandwidth.remembered(64) is None
    async with program() as run:
        panel = await panel_of(run)
        panel.post_message(Panel.HostMeasured(HostLimits(64, 50.0)))
        await wait_until(run.pilot, lambda: run.session.instruments.meter.limits == HostLimits(64, 50.0), "the limits are taken over")


async def test_the_batch_in_force_is_shown_before_anything_was_painted() -> None:
    async with program() as run:
        await panel_of(run)
        await run.session.instruments.tick()
        now = run.session.instruments.newest
        assert now is not None
        assert now.stream_batch == run.session.slot.stream_batch > 0


async def test_the_screen_adds_what_painting_and_its_terminal_cost() -> None:
    async with program(FakeBackend(gated=True)) as run:
        await panel_of(run)
        await run.send("go")
        run.backend.release(1)
        instruments = run.session.instruments
        await wait_until(run.pilot, lambda: instruments.figures().paint_ns > 0, "painting is measured")
        await instruments.tick()
        now = instruments.newest
        assert now is not None
        assert now.price.paint_ms is not None
        assert now.price.tty_blocked_pct is not None or now.price.tty_bytes_per_s is not None
        run.backend.release(1_000)
        await run.answered()


class TestAlerts:
    async def test_it_is_shown_with_how_to_change_it_and_typing_goes_on(self) -> None:
        async with program(alerts={"mean_answer_s": 0.001}) as run:
            await panel_of(run)
            for _ in range(6):
                await run.send("Hi")
                await run.answered()
            await run.until_noticed("on average (alert above 0.001 s)")
            await run.until_noticed("mean_answer_s under [alerts] in config.toml")
            assert run.chat.focused is run.chat.prompt
            await run.pilot.press(*"still here")
            assert run.chat.prompt.text == "still here"

    async def test_it_never_covers_the_message(self) -> None:
        async with program(size=(80, 24), alerts={"memory_pct": 1e-6}) as run:
            await panel_of(run)
            await run.until("% full (alert above")
            await run.pilot.press(*"typed")
            prompt = run.chat.prompt.region
            rows = run.text.splitlines()[prompt.y : prompt.bottom]
            assert any("typed" in row for row in rows)
            assert all("alert" not in row for row in rows)
