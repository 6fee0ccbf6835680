"""Races on the screen: the ropes, and a measurement beside a conversation on the real engine."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.guide import builtin
from engine.lab.live import Outcome
from engine.lab.progress import Progress, Standing
from engine.lab.race import Use
from engine.lab.statistics import Finding, Interval
from engine.llama.backend import LlamaBackend
from engine.model_ref import BuiltInModel
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset
from engine.store.lab_runs import list_runs
from tests import ggufs
from tests.tui.host import Host, screen_text, wait_until
from tests.tui.program import Running, program
from tui.lab.race import RaceScreen, drawn


def state(ratio: Interval | None, finding: Finding | None = None) -> Progress:
    return Progress("", 9, 12.0, 120.0, 0.03, (Standing("current", 2.0, None), Standing("threads=\x1b2", 1.9, ratio, finding)))


def thick(progress: Progress, row: int) -> int:
    return sum(symbol in "━┣┫●" for symbol in drawn(progress, 100).plain.splitlines()[row])


def test_a_rope_closes_with_its_interval_and_nothing_is_drawn_before_there_is_one() -> None:
    wide, narrow = state(Interval(1.05, 0.9, 1.2)), state(Interval(1.05, 1.04, 1.06), Finding.FASTER)
    assert thick(wide, 4) > thick(narrow, 4) > 1
    assert thick(state(Interval(1.05, 0.0, math.inf)), 4) == 1, "the estimate alone"
    assert thick(state(None), 4) == 0
    text = drawn(narrow, 100).plain
    assert "+5.0 % (+4.0 to +6.0)  faster" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("ratio", [Interval(1e-9, 1e-9, 1e-9), Interval(1e300, 1e300, 1e300), Interval(50.0, 0.01, 90.0)])
def test_no_figure_leaves_the_rope(ratio: Interval) -> None:
    assert {len(line) for line in drawn(state(ratio), 60).plain.splitlines()[2::2]} == {60}


async def test_the_faster_settings_are_kept_by_accept_and_only_when_there_are_some() -> None:
    app, kept = Host(), list[bool | None]()
    async with app.run_test(size=(80, 24)) as pilot:
        for faster in (None, Preset(threads=2)):
            screen = RaceScreen("Race", lambda: None, state(Interval(1.0, 0.99, 1.01), Finding.SAME))
            await app.push_screen(screen, kept.append)
            screen.finish(Outcome("PASS: both are alike.", ("  current  1.0",), faster, 7))
            await wait_until(pilot, lambda: "PASS: both are alike." in screen_text(app), "the verdict")
            assert "Saved as run 7" in screen_text(app)
            await pilot.press("enter", "escape")
    assert kept == [None, True]


@asynccontextmanager
async def measuring(tmp_path: Path) -> AsyncIterator[Running]:
    backend: Any = LlamaBackend(file_of=builtin.file_of, trusted=builtin.is_ours)
    async with program(backend, model=BuiltInModel("Q8_0"), database=tmp_path / "xchat.db") as run:
        yield run


@pytest.mark.slow
async def test_a_race_runs_beside_the_conversation_without_a_second_copy_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.lab.live.database_path", lambda: tmp_path / "xchat.db")
    async with measuring(tmp_path) as run:
        await run.send("/race threads=1 n-threads=1")  # the same twice: it is decided by nothing but its end
        await run.until("units")
        workbench = run.backend._compute._workbench  # type: ignore[attr-defined]
        assert workbench._benches
        assert not workbench._models
        await run.pilot.press("escape")
        await run.send("What is xchat?")
        await run.answered()
        assert run.session.branch[-1].text
        await run.send("/race")
        await run.until("n-threads=1")
        await run.pilot.press("s")
        await run.until("Interrupted: judged by the results so far")
        assert not workbench._benches
    (kept,) = list_runs(tmp_path / "xchat.db")
    assert kept.kind == "race"


@pytest.mark.slow
async def test_a_proven_gain_is_kept_as_a_preset_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def proven(_run: object, use: Use, _minutes: float = 3.0) -> Outcome:
        return Outcome(f"Use n_ubatch=64 for {use}.", (), Preset(name="tuned", n_ubatch=64), None)

    monkeypatch.setattr("engine.lab.live.LiveRun.tune", proven)
    async with measuring(tmp_path) as run:
        await run.send("/tune prefill")
        await run.until("Use n_ubatch=64 for prefill.")
        await run.pilot.press("enter")
        await run.until("Save as a preset")
        await run.pilot.press("2", "enter")
        await wait_until(run.pilot, lambda: run.session.preset.name == "tuned2", "the preset is in use")
        assert PresetFolder().load().get("tuned2").n_ubatch == 64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "named"), [("/race threads=x y", "threads"), ("/tune sleeping", "sleeping"), ('/race "a', "can't be read")]
)
async def test_what_can_not_be_measured_is_refused_in_words(command: str, named: str, tmp_path: Path) -> None:
    async with measuring(tmp_path) as run:
        await run.send(command)
        await run.until_noticed(named)
        assert not isinstance(run.app.screen, RaceScreen)


@pytest.mark.slow
async def test_an_engine_elsewhere_is_not_measured() -> None:
    async with program() as run:
        await run.send("/race threads=1 threads=2")
        await run.until_noticed("This engine can't be measured")


@pytest.mark.slow
async def test_another_model_ends_the_measurement_and_nothing_of_the_old_one_is_loaded_again(tmp_path: Path) -> None:
    async with measuring(tmp_path) as run:
        await run.send("/race threads=1 n-threads=1")  # the same twice: it is decided by nothing but its end
        await run.until("units")
        await run.pilot.press("escape")
        await run.session.load(ggufs.MAKERS["dense"](tmp_path / "tiny.gguf"))
        await run.until_noticed("Measured")
        workbench = run.backend._compute._workbench  # type: ignore[attr-defined]
        assert not workbench._models
        assert not workbench._benches
