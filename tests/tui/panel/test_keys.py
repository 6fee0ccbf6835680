"""What a person can do in the panel with keys and mouse."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from engine.backend import PoolNow
from engine.host import bandwidth
from engine.host.bandwidth import HostLimits
from engine.metrics.history import Window
from engine.metrics.snapshot import Phase
from tests.engine.metrics.scripted import ScriptedSession
from tests.tui.host import Host
from tests.tui.panel.test_panel import screen_text
from tui.actions.registry import ACTIONS, Scope
from tui.actions.registry import BY_ID as BY_ACTION
from tui.drawing.braille import Glyphs
from tui.panel import panel as panel_module
from tui.panel.arrangements import Arrangements
from tui.panel.chart_screen import ChartScreen
from tui.panel.explain import ExplainScreen
from tui.panel.machine import CPU
from tui.panel.panel import PANES, Panel


class PanelApp(Host):
    def __init__(self, memory: Path | None = None, **options: Any) -> None:
        self.session = ScriptedSession()
        self.panel = Panel(arrangements=Arrangements(memory), **options)
        super().__init__(self.panel)

    def on_mount(self) -> None:
        self.panel.focus()
        self.step(40)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.panel.show(self.session.step())


async def text(pilot: Pilot[None]) -> str:
    await pilot.pause()
    return screen_text(pilot.app)


def test_every_panel_action_of_the_registry_is_an_action_of_the_panel() -> None:
    for action in ACTIONS:
        if action.scope is Scope.PANEL:
            assert callable(getattr(Panel, f"action_{action.method.partition('(')[0]}"))


def test_every_pane_has_a_number_key_as_far_as_there_are_digits() -> None:
    assert len(BY_ACTION["toggle_pane"].keys) >= min(10, len(PANES))


@pytest.mark.parametrize(("keys", "title"), [("1234567890", "0 Tenth"), ("123456789", "Tenth")])
async def test_a_tenth_pane_has_the_key_it_is_given_or_none(keys: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_module, "PANES", (*PANES[:9], replace(CPU, id="tenth", title="Tenth")))
    app = PanelApp(pane_keys=tuple(keys))
    async with app.run_test(size=(200, 60)) as pilot:
        assert "Tenth" not in await text(pilot)
        if "0" in keys:
            await pilot.press("0")
        else:
            app.panel.action_toggle_pane("tenth")
        assert f"{title} ─" in await text(pilot)


async def test_enter_lets_a_pane_fill_the_panel_and_puts_it_back() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("down", "enter")
        shown = await text(pilot)
        assert "2 Context" in shown
        assert "1 Speed" not in shown
        await pilot.press("down")
        assert "3 Memory" in await text(pilot)
        await pilot.press("enter")
        assert "1 Speed" in await text(pilot)


async def test_space_holds_the_panes_while_the_first_row_goes_on() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("space")
        before = (await text(pilot)).splitlines()
        app.step(30)
        after = (await text(pilot)).splitlines()
        assert "paused" in after[0]
        assert before[1:] == after[1:]
        assert before[0] != after[0]
        await pilot.press("space")
        assert (await text(pilot)).splitlines()[1:] != before[1:]


async def test_on_a_slow_line_the_panel_is_drawn_every_two_seconds_with_figures_of_one_moment() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 40)) as pilot:
        app.panel.slow = True
        app.step(4)
        pictures = []
        for _ in range(8):
            app.step()
            pictures.append(tuple((await text(pilot)).splitlines()))
        assert len(set(pictures)) in (2, 3)


async def test_a_line_that_falls_behind_makes_the_panel_calm_for_a_while() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 40)) as pilot:
        now = app.session.step()
        app.panel.show(replace(now, price=replace(now.price, link_busy=True)))
        before = (await text(pilot)).splitlines()[1:]
        app.step(2)
        assert (await text(pilot)).splitlines()[1:] == before
        app.step(2)
        assert (await text(pilot)).splitlines()[1:] != before


async def test_measuring_waits_for_the_end_of_the_answer() -> None:
    app = PanelApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        assert any("end of the answer" in notice.message for notice in app._notifications)
        assert not app.workers


async def test_what_was_measured_is_told_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Panel, "on_panel_host_measured", lambda _, event: measured.append(event.limits), raising=False)
    measured: list[HostLimits] = []

    async def quickly(threads: int) -> HostLimits:
        return HostLimits(threads, 12.5, 50.0)

    monkeypatch.setattr(bandwidth, "measure", quickly)
    app = PanelApp()
    async with app.run_test(size=(80, 24)) as pilot:
        while app.session.step().phase is not Phase.IDLE:
            pass
        app.step(0)
        app.panel.show(app.session.meter.tick())
        await pilot.press("m")
        await app.workers.wait_for_complete()
        await pilot.pause()
    assert measured == [HostLimits(2, 12.5, 50.0)]


async def test_w_looks_further_back() -> None:
    app = PanelApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for window in (Window.FIVE_MINUTES, Window.SESSION, Window.MINUTE):
            await pilot.press("w")
            assert (await text(pilot)).splitlines()[0].endswith(window.value)


async def test_d_goes_through_the_densities_and_back_to_what_fits() -> None:
    app = PanelApp()
    async with app.run_test(size=(80, 30)) as pilot:
        automatic = (await text(pilot)).splitlines()
        heads = []
        for _ in range(3):
            await pilot.press("d")
            heads.append((await text(pilot)).splitlines()[0])
        assert [word in head for word, head in zip(("compact", "normal", "full"), heads, strict=True)] == [True] * 3
        await pilot.press("d")
        assert (await text(pilot)).splitlines()[1] == automatic[1]


async def test_number_keys_hide_and_show_panes_but_never_the_last() -> None:
    app = PanelApp()
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.press("3")
        assert "3 Memory" not in await text(pilot)
        await pilot.press("3")
        assert "3 Memory" in await text(pilot)
        await pilot.press(*"123456789")
        assert [pane.id for pane in app.panel.panes] == ["events"]


async def test_arrangements_are_cycled_saved_and_found_again_by_the_next_panel(tmp_path: Path) -> None:
    memory = tmp_path / "panel.json"
    app = PanelApp(memory)
    async with app.run_test(size=(200, 50)) as pilot:
        await pilot.press("a")
        assert "answer" in (await text(pilot)).splitlines()[0]
        await pilot.press("1", "s", "a", "w")
        assert "overview" in (await text(pilot)).splitlines()[0]
        await pilot.press("a", "a", "a", "a", "a")
        assert [pane.id for pane in app.panel.panes] == ["context", "latency", "events"]
    assert stat.S_IMODE(os.stat(memory).st_mode) == 0o600
    again = PanelApp(memory)
    async with again.run_test(size=(200, 50)) as pilot:
        head = (await text(pilot)).splitlines()[0]
        assert "own" in head
        assert "5 min" in head
        assert [pane.id for pane in again.panel.panes] == ["context", "latency", "events"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"current": {"name": "x", "panes": ["gone"], "density": 7}}', b"\xff\xfe"])
async def test_a_broken_memory_of_arrangements_does_no_harm(tmp_path: Path, content: bytes) -> None:
    memory = tmp_path / "panel.json"
    memory.write_bytes(content)
    app = PanelApp(memory)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "1 Speed" in await text(pilot)


async def test_an_arrangement_that_cannot_be_kept_is_said_and_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    app = PanelApp(tmp_path / "file" / "panel.json")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        assert "answer" in (await text(pilot)).splitlines()[0]
        assert any("could not be saved" in notice.message for notice in app._notifications)


async def test_a_question_mark_explains_the_pane_with_its_present_numbers() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, ExplainScreen)
        shown = await text(pilot)
        assert "435 t/s" in shown
        assert "Decode speed, now (tokens/s)" in shown
        assert "Changes with: threads" in shown
        await pilot.press("q")
        assert not isinstance(app.screen, ExplainScreen)


async def test_the_explanation_says_why_a_figure_is_unavailable_here() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 90)) as pilot:
        app.panel._select(CPU)
        await pilot.press("question_mark")
        await pilot.pause()
        lines = [line.strip(" │") for line in (await text(pilot)).splitlines()]
    assert "Unavailable here: no such sensor here" in lines[next(place for place, line in enumerate(lines) if "Governor" in line) + 1]
    assert "How: Hottest sensor" in lines[next(place for place, line in enumerate(lines) if "Temperature (°C)" in line) + 1]


async def test_c_opens_the_chart_large_and_the_cursor_reads_values() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(app.screen, ChartScreen)
        value = app.screen.query_one("#value", Static)
        newest = str(value.content)
        await pilot.press("left", "left")
        assert str(value.content) != newest
        assert "━ engine" in str(value.content)
        assert "tokens/s   • screen" in str(value.content)
        assert "Esc closes" in await text(pilot)
        await pilot.press("home")
        assert "17.8 s ago   ━ engine 60.0 tokens/s" in str(value.content), "the oldest value, not the oldest moment"
        await pilot.press("end")
        assert str(value.content) == newest
        await pilot.press("w")
        assert "5 min" in await text(pilot)
        await pilot.press("q")
        assert not isinstance(app.screen, ChartScreen)


async def test_the_large_chart_of_shares_ends_at_a_hundred_and_its_axes_have_round_numbers() -> None:
    app = PanelApp()
    async with app.run_test(size=(100, 30)) as pilot:
        app.panel._select(CPU)
        await pilot.press("c")
        shown = await text(pilot)
    scale = [line.split("┤")[0].strip() for line in shown.splitlines() if "┤" in line]
    assert scale == ["100", "80", "60", "40", "20", "0"]
    assert [*shown.splitlines()[-2].split()] == ["-60", "s", "-50", "s", "-40", "s", "-30", "s", "-20", "s", "-10", "s", "now"]
    assert "0.0 s ago   ━ xchat" in shown
    assert "-0.0" not in shown


@pytest.mark.parametrize("glyphs", list(Glyphs))
async def test_the_large_chart_is_drawn_with_what_the_terminal_has(glyphs: Glyphs) -> None:
    app = PanelApp(glyphs=glyphs)
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.press("c")
        shown = await text(pilot)
    assert {Glyphs.BRAILLE: "⠒", Glyphs.ASCII: "*", Glyphs.HALVES: "█"}.get(glyphs, "") in shown


async def test_an_empty_chart_says_so_instead_of_drawing_nothing() -> None:
    app = PanelApp()
    async with app.run_test(size=(60, 20)) as pilot:
        app.panel.show(ScriptedSession().meter.tick())
        await pilot.press("c")
        assert "Nothing was measured" in await text(pilot)


async def test_a_click_selects_a_pane_and_a_second_one_makes_it_fill_the_panel() -> None:
    app = PanelApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.click(Panel, offset=(45, 3))
        await pilot.click(Panel, offset=(45, 3))
        shown = await text(pilot)
        assert "2 Context" in shown
        assert "1 Speed" not in shown


async def test_charts_are_drawn_in_ascii_where_there_is_nothing_else() -> None:
    app = PanelApp(glyphs=Glyphs.ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        shown = await text(pilot)
    assert not any(0x2800 <= ord(sign) < 0x2900 for sign in shown)
    assert "|" in shown


async def test_answers_at_once_have_a_pane_while_there_are_several() -> None:
    app = PanelApp()
    async with app.run_test(size=(200, 60)) as pilot:
        assert "Answers" not in await text(pilot)
        app.session.meter.pool = PoolNow(
            8, running=3, waiting=2, cells=8192, cells_used=2048, step_tokens=19.0, per_second=41.0, gain=1.4, curve=((1, 13.0), (3, 40.0))
        )
        app.step()
        shown = await text(pilot)
        assert "0 Answers ─" in shown
        assert "3 of 8" in shown
        assert "2,048 of 8,192" in shown
        assert "41.0" in shown
        app.session.meter.pool = None
        app.step()
        assert "Answers" not in await text(pilot)
