"""Figures of the registry as the panel shows them: label and value, and rows of their own."""

from __future__ import annotations

from collections.abc import Iterable

from engine.host.value import Unavailable
from engine.metrics.figures import BY_ID, FIGURES
from engine.metrics.figures.figure import Figure
from engine.metrics.snapshot import Snapshot
from tui.drawing.rows import Cell, Role, Row, cells, reading, written


def shown(now: Snapshot, name: str) -> str:
    """The value of a figure with its unit."""
    figure = BY_ID[name]
    return written(figure.read(now), figure.unit)


def pair(now: Snapshot, name: str, sign: str = "", role: Role = Role.LABEL) -> Cell:
    """Label and value of a figure; `sign` stands before the label, as the chart draws its line."""
    return (f"{sign} {BY_ID[name].short}".lstrip(), shown(now, name), role)


def pairs(now: Snapshot, width: int, *names: str) -> Row:
    """Figures side by side."""
    return cells(width, *(pair(now, name) for name in names))


def own_rows(now: Snapshot, width: int, pane_id: str, figures: Iterable[Figure] = FIGURES) -> list[Row]:
    """The figures of a pane that have a row each, with the reason where one is unavailable."""
    rows = []
    for figure in figures:
        if figure.row and pane_id in figure.panes:
            value = figure.read(now)
            detail = figure.detail(now) if figure.detail else ""
            rows.append(reading(width, figure.short, value if isinstance(value, Unavailable) else written(value, figure.unit) + detail))
    return rows
