"""The panel shows one snapshot at a time, repaints only what changed, and never jumps."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.geometry import Region

from engine.metrics.snapshot import EMPTY
from tests.engine.metrics.scripted import ScriptedSession, moments
from tui.panel.pane import Density, Pane
from tui.panel.panel import PANES, Panel

SIZES = [(40, 22), (80, 24), (120, 40), (200, 50)]


class PanelApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Panel()


def screen_text(app: App[None]) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


@pytest.mark.parametrize("size", SIZES)
async def test_live_figures_are_on_the_screen_at_any_size(size: tuple[int, int]) -> None:
    app, session = PanelApp(), ScriptedSession()
    async with app.run_test(size=size) as pilot:
        panel = app.query_one(Panel)
        for _ in range(30):
            panel.show(session.step())
        await pilot.pause()
        text = screen_text(app)
    assert "decoding" in text
    assert "t/s" in text
    for figure in ("Speed", "Context", "Memory", "RSS 700 MB", "CPU"):
        assert figure in text


async def test_while_the_prompt_is_read_percent_and_rest_are_shown() -> None:
    app, session = PanelApp(), ScriptedSession()
    async with app.run_test(size=(80, 24)) as pilot:
        session.step()
        app.query_one(Panel).show(session.step())
        await pilot.pause()
        text = screen_text(app)
    assert "prefill" in text
    assert "33 % ETA  1.84 s" in text
    assert "435 t/s" in text


async def test_only_cells_that_changed_are_repainted(monkeypatch: pytest.MonkeyPatch) -> None:
    app, session = PanelApp(), ScriptedSession()
    async with app.run_test(size=(120, 40)) as pilot:
        panel = app.query_one(Panel)
        for _ in range(40):
            now = session.step()
            panel.show(now)
        await pilot.pause()
        repainted: list[object] = []

        def repaint(*regions: Region, **_: object) -> Panel:
            repainted.extend(regions)
            return panel

        monkeypatch.setattr(panel, "refresh", repaint)
        panel.show(now)
        assert repainted == []
        panel.show(session.step())
        area = sum(region.area for region in repainted)  # type: ignore[attr-defined]
    assert 0 < area < 120 * 40 / 4


async def test_a_hidden_panel_draws_nothing_until_it_is_shown_again() -> None:
    app, session = PanelApp(), ScriptedSession()
    async with app.run_test(size=(80, 24)) as pilot:
        panel = app.query_one(Panel)
        panel.display = False
        await pilot.pause()
        panel.drawn_ms = None
        panel.show(session.step())
        assert panel.drawn_ms is None
        panel.display = True
        await pilot.pause()
        assert "waiting" in screen_text(app) or "prefill" in screen_text(app)


@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.id)
@pytest.mark.parametrize("density", list(Density))
def test_a_pane_keeps_its_number_of_rows_whatever_the_numbers(pane: Pane, density: Density) -> None:
    heights = {len(pane.rows(EMPTY, width, density)) for width in (1, 20, 38, 90)}
    heights |= {len(pane.rows(now, 38, density)) for now in moments(60)}
    assert len(heights) == 1


@pytest.mark.parametrize("expanded", [False, True])
async def test_the_panel_survives_any_size(expanded: bool) -> None:
    app, session = PanelApp(), ScriptedSession()
    async with app.run_test(size=(80, 24)) as pilot:
        panel = app.query_one(Panel)
        if expanded:
            panel.action_expand_pane()
        for width, height in [(1, 1), (0, 5), (3, 2), (200, 1), (7, 60), (80, 24)]:
            panel.styles.width, panel.styles.height = width, height
            await pilot.pause()
            panel.show(session.step())
        await pilot.pause()
        assert "Speed" in screen_text(app)
