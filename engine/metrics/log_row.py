"""Converts a snapshot to a row of the log."""

from __future__ import annotations

from collections.abc import Iterable

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure, logged_figures
from engine.metrics.snapshot import Snapshot
from engine.records import Sample


def sample_of(now: Snapshot, *, session_id: int | None, turn_id: int | None, figures: Iterable[Figure] = FIGURES) -> Sample:
    """The figures that are logged twice a second."""
    return Sample(now.wall_ms, session_id, turn_id, {figure.column_name: figure.logged(now) for figure in logged_figures(figures)})
