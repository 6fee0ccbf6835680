"""The panel's first row: phase and speed of the engine, settings of the panel. It updates also while the panes are paused."""

from __future__ import annotations

from engine.metrics.history import Window
from engine.metrics.snapshot import Phase, Snapshot
from engine.numbers import percent
from tui.drawing.braille import Glyphs, spark
from tui.drawing.rows import Role, Row, Run, cut, text_of
from tui.panel.values import speed

PULSE_POINTS = 10
"""Values in the sparkline: the last five seconds."""


def head(now: Snapshot, width: int, *, window: Window, notes: tuple[str, ...], glyphs: Glyphs) -> Row:
    """Make the row: phase, speed and sparkline on the left; notes, the most important first, and the time span on the right."""
    runs: list[Run] = [(f"{_phase(now):<9}", Role.GOOD if now.phase.in_turn else Role.LABEL)]
    label, value = speed(now)
    label = "" if label == now.phase.value else label
    runs += [(f"{label} ".lstrip(), Role.LABEL), (f"{value:>10} ", Role.VALUE)]
    if width >= 48:
        runs.append((_pulse(now, glyphs), Role.FIRST))
    if now.alerts:
        runs.append((f" {len(now.alerts)} alert{'s' if len(now.alerts) > 1 else ''}", Role.BAD))
    left = tuple(runs)
    room = width - len(text_of(left)) - 1
    choices = ["  ".join((*notes[:kept], window.value)) for kept in range(len(notes), -1, -1)]
    right = cut(next((choice for choice in choices if len(choice) <= room), choices[-1]), room)
    return (*left, (" " * max(0, width - len(text_of(left)) - len(right)), Role.TEXT), (right, Role.LABEL))


def _phase(now: Snapshot) -> str:
    if now.phase is Phase.LOADING:
        return f"load {percent(now.loading)}"
    return now.phase.value


def _pulse(now: Snapshot, glyphs: Glyphs) -> str:
    trace = now.traces.get(Window.MINUTE, {}).get("tokens_per_second")
    values = trace.values[-PULSE_POINTS:] if trace is not None else ()
    highest = max((value for value in values if value is not None), default=0.0)
    return f"{spark(values, high=highest, glyphs=glyphs):<{PULSE_POINTS}}"
