"""The figures above the prompt, where the panel has no room or is hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.metrics.snapshot import EMPTY, Alert, Phase, Snapshot
from tests.engine.metrics.scripted import moments
from tests.tui.program import program
from tui.drawing.braille import Glyphs
from tui.drawing.rows import Role, text_of
from tui.panel.strip import PanelStrip, strip_row
from tui.panel.values import shown


def moment(phase: Phase) -> Snapshot:
    return next(now for now in reversed(moments(120)) if now.phase is phase and now.waterfall is not None)


def test_at_80_columns_it_has_speed_curve_time_to_first_token_memory_processor_and_context() -> None:
    row = text_of(strip_row(moment(Phase.DECODE), 80, Glyphs.BRAILLE))
    assert len(row) == 80
    for word in ("t/s", "TTFT", "RAM", "CPU", "ctx"):
        assert word in row
    assert any(character in "▁▂▃▄▅▆▇█" for character in row.split("TTFT")[0]), "the curve of the speed"


def test_at_80_columns_an_alert_and_busy_neighbours_take_no_figure_away() -> None:
    now = moment(Phase.IDLE)
    assert now.host is not None
    cpu = replace(now.host.cpu, others_pct=98.0, machine_pct=99.0)
    busy = replace(now, host=replace(now.host, cpu=cpu), alerts=(Alert("memory_pct", "Memory is full", "Take less."),))
    row = text_of(strip_row(busy, 80, Glyphs.BRAILLE))
    for word in ("last ", "t/s", "TTFT", "RAM 44 %", "CPU 99 %", "ctx", "1 alert"):
        assert word in row


@pytest.mark.parametrize("width", range(1, 200, 7))
def test_it_fits_every_width_and_never_shows_a_dash_for_what_is_not_known(width: int) -> None:
    for now in (EMPTY, moment(Phase.DECODE), moment(Phase.IDLE), replace(EMPTY, phase=Phase.LOADING, loading=0.5)):
        row = text_of(strip_row(now, width, Glyphs.BRAILLE))
        assert len(row) == width
        assert "–" not in row


def test_colours_mean_something() -> None:
    now = moment(Phase.DECODE)
    full = replace(now, context=replace(now.context, used=8000, n_ctx=8192))
    roles = {text.strip(): role for text, role in strip_row(full, 120, Glyphs.BRAILLE)}
    assert roles["98 %"] is Role.BAD
    assert any(role is Role.GOOD for text, role in roles.items() if "t/s" in text)
    busy = shown(now, "cpu_machine_pct")
    assert next(role for text, role in strip_row(now, 120, Glyphs.BRAILLE) if text.strip() == busy) is Role.VALUE


@pytest.mark.slow
async def test_it_is_there_at_80x24_and_gives_way_to_the_panel() -> None:
    async with program(size=(80, 24)) as run:
        await run.until("CPU")
        strip = run.chat.query_one(PanelStrip)
        assert strip.is_on_screen
        assert strip.region.bottom == run.chat.prompt.region.y
        await run.pilot.press("ctrl+g")
        await run.until("1 Speed")
        assert not strip.is_on_screen
    async with program(size=(120, 36)) as run:
        await run.until("1 Speed")
        assert not run.chat.query_one(PanelStrip).is_on_screen
        await run.pilot.press("ctrl+g")
        await run.until("CPU")
        assert run.chat.query_one(PanelStrip).is_on_screen
