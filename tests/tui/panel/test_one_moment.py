"""The first row, the panes and the answer's own line show one figure for one thing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.host.threads import ThreadGroup
from engine.metrics.history import Window
from engine.metrics.snapshot import Phase, Snapshot
from tests.engine.metrics.scripted import moments
from tui.drawing.braille import Glyphs
from tui.drawing.chart import Chart
from tui.drawing.rows import Role, text_of
from tui.panel.head import head
from tui.panel.machine import CPU, THREADS
from tui.panel.pane import ChartLook, Density, chart_rows
from tui.panel.speed import SPEED
from tui.panel.values import speed


def first_row(now: Snapshot) -> str:
    return text_of(head(now, 100, window=Window.MINUTE, notes=(), glyphs=Glyphs.BRAILLE))


def test_the_first_row_and_the_pane_of_the_speed_show_the_same_figure() -> None:
    seen = moments(120)
    assert {Phase.DECODE, Phase.IDLE} <= {now.phase for now in seen}
    for now in seen:
        _, value = speed(now)
        assert value in first_row(now)
        assert SPEED.headline(now).endswith(value)


def test_the_value_at_the_scale_of_the_chart_is_that_of_the_title() -> None:
    now = next(now for now in reversed(moments(120)) if now.phase is Phase.DECODE and now.host is not None)
    traces = now.traces[Window.MINUTE]
    behind = replace(traces["on_screen_per_second"], values=tuple(value and value / 2 for value in traces["on_screen_per_second"].values))
    now = replace(now, traces={**now.traces, Window.MINUTE: {**traces, "on_screen_per_second": behind}})
    for pane in (SPEED, CPU):
        assert pane.chart is not None
        drawn = chart_rows(pane.chart, Chart(fixed_top=pane.chart.top), now, 60, 8, ChartLook())
        (written,) = (text for row in drawn for text, role in row if role is Role.VALUE)
        said = float(pane.headline(now).split()[0])
        assert float(written) == pytest.approx(said, abs=0.5)


def test_the_speed_of_the_last_turn_is_called_so() -> None:
    idle = next(now for now in reversed(moments(120)) if now.phase is Phase.IDLE and now.speed.mean is not None)
    assert "last turn" in first_row(idle)
    assert SPEED.headline(idle).startswith("last turn")
    assert any("last turn" in text_of(row) for row in SPEED.rows(idle, 60, Density.NORMAL))
    decoding = next(now for now in moments(120) if now.phase is Phase.DECODE)
    assert "last turn" not in first_row(decoding)


def test_a_share_of_all_cores_is_named_and_threads_are_counted_in_cores() -> None:
    now = next(now for now in moments(120) if now.host is not None)
    assert CPU.headline(now).endswith("of all cores")
    assert now.host is not None
    compute = sum(share.running_pct for share in now.host.threads if share.group is ThreadGroup.COMPUTE)
    sums = text_of(THREADS.rows(now, 60, Density.NORMAL)[0]).rstrip()
    assert sums.startswith(f"compute {compute / 100:.2f} ")
    assert sums.endswith(" cores")
