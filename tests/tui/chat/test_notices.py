"""Notices: one line in a place of its own, gone with Esc, kept in a list."""

from __future__ import annotations

import pytest
from textual.geometry import Region

from engine.events import Notice
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.dialogs.dialog import Dialog
from tui.panel.panel import Panel
from tui.panel.strip import PanelStrip

pytestmark = pytest.mark.slow


def shown(run: Running) -> list[Region]:
    """Where notices are."""
    return [toast.region for toast in run.app.screen.query("Toast") if toast.is_on_screen and toast.region]


async def reported(run: Running, severity: str = "warning") -> Region:
    run.app.show_notice(Notice(severity, "Something happened", "All that is known " * 20, "Do this"))  # type: ignore[arg-type]
    await run.until("Something happened. Do this. All that is known")
    (region,) = shown(run)
    return region


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (72, 40)])
async def test_a_notice_is_one_line_over_nothing_else_and_goes_with_escape(size: tuple[int, int]) -> None:
    async with program(size=size) as run:
        await wait_until(run.pilot, lambda: run.chat.panel.widget is not None, "the panel is mounted")
        region = await reported(run)
        assert region.height == 1
        strip = run.chat.query_one(PanelStrip)
        for other in (run.chat.transcript, run.chat.prompt, run.chat.status_line, run.chat.key_bar, run.chat.query_one(Panel), strip):
            assert not (other.is_on_screen and other.region.overlaps(region)), other
        await run.pilot.press("escape")
        await wait_until(run.pilot, lambda: not shown(run), "it is dismissed")
        await wait_until(run.pilot, lambda: not run.chat.has_class("-notice"), "its row is given back")
        await run.pilot.press("alt+i")
        await run.until("warning: Something happened")


async def test_the_newest_notice_takes_the_place_but_news_do_not_hide_an_error() -> None:
    async with program() as run:
        run.app.show_notice(Notice("information", "First"))
        run.app.show_notice(Notice("error", "Second"))
        await run.until("Second")
        run.app.show_notice(Notice("information", "Third"))
        await run.pilot.pause()
        assert "Third" not in run.text
        assert "First" not in run.text
        assert [notice.title for notice in run.app.past_notices][:3] == ["Third", "Second", "First"]


async def test_a_notice_that_replaces_a_shown_one_is_seen() -> None:
    async with program() as run:
        for severity, title in (("information", "First"), ("error", "Second"), ("error", "Third"), ("warning", "Fourth")):
            run.app.show_notice(Notice(severity, title))  # type: ignore[arg-type]
            await run.until(title)
            assert len(shown(run)) == 1


async def test_a_notice_is_not_over_a_dialog() -> None:
    async with program(size=(80, 24)) as run:
        run.app.do("theme")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Dialog), "the dialog is open")
        region = await reported(run)
        assert not run.app.screen.query_one(".box").region.overlaps(region)
