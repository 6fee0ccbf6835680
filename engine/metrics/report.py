"""Converts snapshots to plain data: for `xchat stats --json` and the live socket (names follow llama-server), and for the log."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from engine.host.value import Unavailable
from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure, Value, logged_figures
from engine.metrics.snapshot import Snapshot
from engine.records import Sample

VERSION = 1
"""Version of the names: raised when a name changes its meaning, not for new names."""

Report = dict[str, Any]


def report(now: Snapshot, figures: Iterable[Figure] = FIGURES) -> Report:
    """Return the state of the program, and every figure without its history."""
    engine = now.engine
    found: Report = {
        "version": VERSION,
        "pid": os.getpid(),
        "wall_ms": now.wall_ms,
        "uptime_s": round(now.uptime_s, 3),
        "phase": now.phase.value,
        "model": None if engine is None else engine.model,
        "quant": None if engine is None else engine.quant,
        "preset": now.preset,
        "stream_batch_auto": now.stream_batch_auto,
        "memory_by_purpose": dict(engine.memory) if engine else {},
    }
    for figure in figures:
        if figure.key != "":
            place = found.setdefault(figure.group, {}) if figure.group else found
            place[figure.key or figure.id] = _plain(figure.read(now))
    return found


def sample_of(now: Snapshot, *, session_id: int | None, turn_id: int | None, figures: Iterable[Figure] = FIGURES) -> Sample:
    """Return the figures that are logged twice a second."""
    return Sample(now.wall_ms, session_id, turn_id, {figure.column_name: figure.logged(now) for figure in logged_figures(figures)})


def value_in(found: Report, figure: Figure) -> object:
    """Return the value of a figure in a report; None where it has none."""
    return ((found.get(figure.group) if figure.group else found) or {}).get(figure.key or figure.id)


def _plain(value: Value) -> object:
    """Return a figure, or an object with the reason why there is none."""
    return {"unavailable": value.reason} if isinstance(value, Unavailable) else value
