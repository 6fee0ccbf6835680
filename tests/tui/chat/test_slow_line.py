"""A line that turns out slow gets fewer bytes, with a word about it, and everything again when it is well."""

from __future__ import annotations

import pytest

from engine.metrics.link import Link
from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import program
from tui.chat.pacing import REMOTE_JUMP
from tui.terminal.link import LOCAL_S, REMOTE_S, SLOW_AFTER_S, WELL_AFTER_S

pytestmark = pytest.mark.slow

BEHIND, FREE = Link(backlog=3, stalled_s=0.2), Link(backlog=0, stalled_s=0.0)


async def test_a_slow_line_is_spared_and_a_line_that_is_well_again_is_not() -> None:
    async with program(FakeBackend(script=["one ", "two "], gated=True)) as run:
        await run.send("go")
        await wait_until(run.pilot, lambda: run.session.busy and run.chat.panel.widget is not None, "an answer under way beside the panel")
        chat, pacing, panel = run.chat, run.chat.panel.pacing, run.chat.panel.widget
        assert panel is not None
        assert (chat.transcript.jump, panel.slow, pacing.pacer.usual_s) == (1, False, LOCAL_S)

        for now_s in (0.0, SLOW_AFTER_S):
            pacing.pacer.due(BEHIND, now_s)
            pacing.check_link(now_s)
        assert (chat.transcript.jump, panel.slow, pacing.pacer.usual_s) == (REMOTE_JUMP, True, REMOTE_S)
        assert chat.status_line.status.slow_line
        await run.until_noticed("The connection is slow")

        while pacing.pacer.slowed:
            pacing.pacer.due(FREE, 10.0)
        for now_s in (20.0, 20.0 + WELL_AFTER_S):
            pacing.check_link(now_s)
        assert (chat.transcript.jump, panel.slow, pacing.pacer.usual_s) == (1, False, LOCAL_S)
        assert not chat.status_line.status.slow_line
        await run.until_noticed("Connection recovered")


async def test_nothing_is_learnt_about_the_line_while_nothing_is_painted() -> None:
    async with program() as run:
        pacing = run.chat.panel.pacing
        pacing.pacer.due(BEHIND, 0.0)
        assert pacing.pacer.slowed
        for now_s in (0.0, SLOW_AFTER_S, 10 * SLOW_AFTER_S):
            pacing.check_link(now_s)
        assert not pacing.slow


async def test_the_panel_stands_back_while_the_line_is_busy_with_text() -> None:
    async with program() as run:
        panel = run.chat.panel
        run.app.link = lambda: BEHIND  # type: ignore[method-assign]
        panel._fed_s = 100.0
        assert panel._text_first(101.0)
        assert not panel._text_first(110.0)
        run.app.link = lambda: FREE  # type: ignore[method-assign]
        assert not panel._text_first(101.0)
