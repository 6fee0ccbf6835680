"""Formats figures of the registry as cells and rows of the panel."""

from __future__ import annotations

from collections.abc import Iterable

from engine.host.value import Unavailable
from engine.metrics.figures import BY_ID, FIGURES
from engine.metrics.figures.figure import Figure
from engine.metrics.snapshot import Phase, Snapshot
from tui.drawing.rows import Cell, Role, Row, cells, reading, written


def shown(now: Snapshot, name: str) -> str:
    """Format a figure with its unit."""
    figure = BY_ID[name]
    return written(figure.read(now), figure.unit)


def speed(now: Snapshot) -> tuple[str, str]:
    """Return the current speed and its label: of the last second, of the prefill, or of the last turn."""
    if now.phase is Phase.PREFILL:
        return "prefill", shown(now, "prompt_per_second")
    if now.phase.in_turn:
        return "", shown(now, "tokens_per_second")
    return "last turn" if now.speed.mean is not None else "", shown(now, "predicted_per_second")


def pair(now: Snapshot, name: str, sign: str = "", role: Role = Role.LABEL) -> Cell:
    """Make label and value of a figure; `sign` precedes the label and matches its series in the chart."""
    return (f"{sign} {BY_ID[name].short}".lstrip(), shown(now, name), role)


def pairs(now: Snapshot, width: int, *names: str) -> Row:
    """Make a row of figures."""
    return cells(width, *(pair(now, name) for name in names))


def own_rows(now: Snapshot, width: int, pane_id: str, figures: Iterable[Figure] = FIGURES) -> list[Row]:
    """Make one row for each figure of a pane with its own row, with the reason where it is unavailable."""
    rows = []
    for figure in figures:
        if figure.row and pane_id in figure.panes:
            value = figure.read(now)
            detail = figure.detail(now) if figure.detail else ""
            rows.append(reading(width, figure.short, value if isinstance(value, Unavailable) else written(value, figure.unit) + detail))
    return rows
