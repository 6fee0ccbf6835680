"""A theme that is switched while the program runs colours every cell as a program that was started with it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, permutations
from typing import Any

import pytest
from rich.color import ColorSystem
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

from engine.metrics.history import Window
from engine.metrics.snapshot import Snapshot
from tests.engine.metrics.scripted import moments
from tests.engine.profiling.captures import record
from tests.snapshots.picture import CLOCK, named
from tests.snapshots.test_screens import conversation
from tests.tui.host import Host
from tui.chat.status import Status, StatusLine
from tui.drawing.braille import Glyphs
from tui.flame.screen import FlameScreen
from tui.flame.subject import CaptureSubject
from tui.panel.chart_screen import ChartScreen
from tui.panel.explain import ExplainScreen
from tui.panel.panel import PANES, Panel
from tui.theming import load_themes
from tui.transcript.transcript import Transcript

pytestmark = pytest.mark.slow

THEMES = tuple(load_themes().themes)
SOME = ("dark", "light", "contrast", "solarized-light")
"""Light and dark ones."""


def a_tour() -> list[str]:
    """Themes in an order in which each one follows each other one once."""
    left = set(permutations(THEMES, 2))
    tour = [THEMES[0]]
    while left:
        reachable = [(one, other) for one, other in left if one == tour[-1]]
        step = max(reachable, key=lambda pair: sum(one == pair[1] for one, _ in left)) if reachable else next(iter(left))
        tour += [step[1]] if reachable else [step[0], step[1]]
        left -= set(pairwise(tour))
    return tour


def snapshot() -> Snapshot:
    return moments(60)[-1]


def transcript() -> Transcript:
    shown = Transcript()
    shown.call_after_refresh(lambda: shown.show(conversation(), {}))
    return shown


def panel() -> Panel:
    shown, measured = Panel(), snapshot()
    shown.call_after_refresh(lambda: shown.show(measured))
    return shown


def status() -> StatusLine:
    line = StatusLine()
    line.show(Status(model="tiny", quant="Q8_0", logged=False, unseen=True))
    return line


def functions() -> FlameScreen:
    screen = FlameScreen(CaptureSubject(record(model="tiny", tokens=120)))
    screen.call_after_refresh(lambda: screen.action_view("functions"))
    return screen


def chart() -> ChartScreen:
    pane = PANES[0]
    assert pane.chart is not None
    return ChartScreen(pane.title, pane.chart, snapshot, window=Window.MINUTE, glyphs=Glyphs.BRAILLE)


WIDGETS: dict[str, Callable[[], Widget]] = {"transcript": transcript, "panel": panel, "status": status}
SCREENS: dict[str, Callable[[], Screen[Any]]] = {
    "flame": lambda: FlameScreen(CaptureSubject(record(model="tiny", tokens=120))),
    "functions": functions,
    "explain": lambda: ExplainScreen(PANES[0], snapshot()),
    "chart": chart,
}


def cells(app: App[Any]) -> list[list[tuple[str, str]]]:
    """Each row as the texts and styles that the terminal gets."""
    rows = []
    for strip in app.screen._compositor.render_strips():
        styles = [named(segment.style, ColorSystem.TRUECOLOR) for segment in strip for _ in segment.text]
        rows.append(list(zip(CLOCK.sub("hh:mm:ss", strip.text), styles, strict=True)))
    return rows


async def opened(host: Host, name: str, pilot: Pilot[Any]) -> None:
    if name in SCREENS:
        await host.push_screen(SCREENS[name]())
    await pilot.pause()
    await pilot.pause()


@pytest.mark.parametrize("name", [*WIDGETS, *SCREENS])
async def test_every_theme_follows_every_other_without_a_trace_of_it(name: str) -> None:
    # Transcripts cache the most: only they are taken through all pairs.
    tour = a_tour() if name == "transcript" else [*SOME, SOME[0]]
    fresh = {}
    for theme in dict.fromkeys(tour):
        host = Host(*([WIDGETS[name]()] if name in WIDGETS else []), theme=theme)
        async with host.run_test(size=(90, 40)) as pilot:
            await opened(host, name, pilot)
            fresh[theme] = cells(host)
    host = Host(*([WIDGETS[name]()] if name in WIDGETS else []), theme=tour[0])
    async with host.run_test(size=(90, 40)) as pilot:
        await opened(host, name, pilot)
        for before, after in pairwise(tour):
            host.theme = after
            await pilot.pause()
            await pilot.pause()
            for row, (seen, wanted) in enumerate(zip(cells(host), fresh[after], strict=True)):
                assert seen == wanted, f"row {row} after {before} and then {after}"
