"""The pane of parallel answers."""

from __future__ import annotations

from engine.metrics.snapshot import Snapshot
from engine.numbers import UNKNOWN
from tui.drawing.rows import Role, Row, cells, labelled_bar, level
from tui.panel.pane import ChartSpec, Density, Pane
from tui.panel.values import own_rows, pair, pairs


def several(now: Snapshot) -> bool:
    """Whether more than one answer is made at once, or was since the context is there."""
    pool = now.pool
    if pool is None:
        return False
    return pool.running + pool.prefilling + pool.waiting > 1 or any(answers > 1 for answers, _ in pool.curve)


def _rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    pool = now.pool
    rows = [pairs(now, width, "answers_running", "answers_waiting")]
    if density >= Density.NORMAL:
        share = pool.cells_used / pool.cells if pool is not None and pool.cells else None
        used = f"{pool.cells_used:,} of {pool.cells:,}" if pool is not None and pool.cells else UNKNOWN
        rows += [
            cells(width, pair(now, "answers_per_second", "━", Role.FIRST), pair(now, "answers_each_per_second")),
            labelled_bar(width, "KV cache", share, used, level(share, 0.9, 0.98)),
            pairs(now, width, "step_tokens", "batch_gain"),
        ]
    if density >= Density.FULL:
        rows += [
            pairs(now, width, "cells_lent", "saved_bytes"),
            pairs(now, width, "answers_swaps", "answers_wait_ms"),
            pairs(now, width, "answers_prefilling"),
            *own_rows(now, width, "answers"),
        ]
    return rows


def _headline(now: Snapshot) -> str:
    pool = now.pool
    return f"{pool.running + pool.prefilling} of {pool.parallel}" if pool is not None else UNKNOWN


ANSWERS = Pane(
    "answers",
    "Answers",
    _headline,
    _rows,
    ChartSpec(("answers_per_second",), floor=5.0),
    missing=lambda now: "" if now.pool is not None else "one at a time",
)
"""The pane of parallel answers, shown once an engine makes more than one."""
