"""What was measured in a session, and what is told of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import OptionList

from engine.events import TurnFinished
from engine.store.queries.turns import turns_of
from engine.store.series import Chart, Series
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tests.tui.saved import save_session, save_turns
from tui.library.comparison import ComparisonScreen
from tui.library.logged_chart import LoggedChartScreen, plot_of
from tui.library.logged_charts import spread
from tui.library.performance import PerformanceScreen
from tui.text.notices import PastNotices

pytestmark = pytest.mark.slow


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


async def measured(run: Running) -> None:
    await run.pilot.press("alt+m")
    await wait_until(run.pilot, lambda: isinstance(run.app.screen, PerformanceScreen))


async def test_turns_stand_with_their_figures_and_charts(database: Path) -> None:
    session_id, _, _ = await save_session(database, "One", "Two", noisy="a busy neighbour")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0 to Two")
        await measured(run)
        await run.until("Decode speed")
        for shown in (
            "TTFT ms",
            "400",
            "RAM MB",
            "900",
            "2 turns, 2 noisy",
            "a busy neighbour. Compared only where",
        ):
            await run.until(shown)
        await run.pilot.press("c")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, LoggedChartScreen))
        await run.until("Decode speed, tokens/s (1 of")
        await run.pilot.press("left")
        await run.until("1 of 2   tokens/s")
        await run.pilot.press("tab")
        await run.until("Prefill speed, tokens/s (2 of")
        await run.pilot.press("escape", "escape")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)


async def test_a_session_without_turns_says_so(database: Path) -> None:
    async with program(database=database) as run:
        await run.pilot.press("alt+m")
        await run.until_noticed("Nothing has been measured yet")


async def test_a_turn_that_fell_below_the_history_is_marked_and_explained(database: Path) -> None:
    _, _, (usual,) = await save_session(database, "One")
    slow = replace(usual, timings=replace(usual.timings, predicted_ms=usual.timings.predicted_ms * 2))
    session_id = await save_turns(database, "Slow one", [*[usual] * 9, slow])
    async with program(database=database, resume=session_id) as run:
        await run.until("Done")
        await measured(run)
        await run.until("▼")
        await run.until("Decoding was 50% slower than usual here")


async def test_another_session_or_other_settings_stand_beside_this_one(database: Path) -> None:
    _, _, (usual,) = await save_session(database, "One", title="Fast one")
    slow = replace(usual, preset="careful", timings=replace(usual.timings, predicted_ms=usual.timings.predicted_ms * 2))
    session_id = await save_turns(database, "Slow one", [slow] * 2)
    async with program(database=database, resume=session_id) as run:
        await run.until("Done")
        await measured(run)
        await run.until("2 turns")
        await run.pilot.press("o")
        await run.until("Compare with which session?")
        await run.until("Fast one")
        await run.pilot.press(*"fast", "enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, ComparisonScreen))
        await run.until("+100.0%  better")
        await run.pilot.press("c")
        await run.until("Decode speed, tokens/s (1 of")
        await run.pilot.press("escape", "escape", "p")
        await run.until("Q4_K_M · daily")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, ComparisonScreen))
        await run.until("Q4_K_M · careful")


async def test_a_clean_turn_below_the_history_is_told_until_it_is_well_again(database: Path) -> None:
    _, (_, said), (usual,) = await save_session(database, "One")
    slow = replace(usual, timings=replace(usual.timings, predicted_ms=usual.timings.predicted_ms * 2))
    session_id = await save_turns(database, "Slow one", [*[usual] * 9, slow, slow, usual])
    async with program(database=database) as run:

        async def finished(place: int) -> str:
            run.app.past_notices = PastNotices()
            turn = (await run.session.library.reader.read(turns_of, session_id))[place]
            run.chat.library.on_event(TurnFinished(said, turn))
            await run.app.workers.wait_for_complete([worker for worker in run.app.workers if worker.group == "regression"])
            return run.notices

        assert "Slower than usual: Decoding was 50% slower than usual here" in await finished(9)
        assert "Slower" not in await finished(10)
        assert "Slower" not in await finished(11)
        assert "Slower" in await finished(10)


def test_values_are_spread_over_the_whole_width_and_gaps_stay_gaps() -> None:
    assert spread((1.0, None, 3.0), 6) == [1, 1, None, None, 3, 3]
    assert spread((1.0, 2.0, 3.0, 4.0), 2) == [2, 4]
    assert spread((), 2) == [None, None]
    assert spread((float("nan"),), 1) == [None]


def test_a_logged_chart_is_split_where_nothing_was_measured() -> None:
    chart = Chart("Speed", "tokens/s", "turn 1", "turn 4", (Series("a", (1.0, None, 3.0, 4.0)), Series("b", (9.0,))))
    plot = plot_of(chart, 2)
    assert plot.pieces == [(1, [(1.0, 1.0)]), (1, [(3.0, 3.0), (4.0, 4.0)]), (2, [(1.0, 9.0)])]
    assert (plot.start, plot.end, plot.cursor) == (1.0, 4.0, 3.0)
    assert plot.top >= 9.0
    assert Chart("x", "", "", "", ()).top == 1.0


async def test_the_table_is_read_with_the_arrows(database: Path) -> None:
    session_id, _, _ = await save_session(database, "One", "Two")
    async with program(database=database, resume=session_id) as run:
        await run.until("Answer 0 to Two")
        await measured(run)
        await run.until("2 turns")
        listing = run.app.screen.query_one(OptionList)
        assert listing.highlighted == 1
        await run.pilot.press("up")
        assert listing.highlighted == 0
