"""The charts of a selection: its turns in order, and the machine over time, folded to as many points as can be seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from engine.store.export.svg import MOST_POINTS
from engine.store.export.tables import Selection, where
from engine.store.series import Chart, Series

_TURN_CHARTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Decode speed", "tokens/s", (("tokens/s", "avg(predicted_per_second)"),)),
    ("Prefill speed", "tokens/s", (("tokens/s", "avg(prompt_per_second)"),)),
    ("Time to first token", "ms", (("ttft_ms", "max(ttft_ms)"),)),
    ("Inter-token latency", "ms", (("p50", "avg(itl_p50_ms)"), ("p99", "max(itl_p99_ms)"))),
    ("Context used", "tokens", (("tokens", "max(context_used)"),)),
)

_SAMPLE_CHARTS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    ("Tokens per second over time", "tokens/s", (("tokens/s", "avg(tokens_per_second)"),)),
    ("Processor", "%", (("process", "avg(cpu_process_pct)"), ("machine", "avg(cpu_machine_pct)"))),
    ("Memory of the process", "MiB", (("RSS", "max(rss_bytes) / 1048576.0"),)),
    ("Temperature", "°C", (("°C", "max(temperature_c)"),)),
    ("Power", "W", (("W", "avg(power_w)"),)),
)


def charts_of(db: sqlite3.Connection, selection: Selection) -> tuple[Chart, ...]:
    """The charts in which there is something to see."""
    condition, values = where(selection)
    turns = _charts(
        db, _TURN_CHARTS, f"SELECT *, row_number() OVER (ORDER BY turn_id) AS n FROM v_turns WHERE {condition}", values, "turn "
    )
    samples = _charts(
        db, _SAMPLE_CHARTS, f"SELECT *, row_number() OVER (ORDER BY id) AS n FROM samples WHERE {condition}", values, "sample "
    )
    return tuple(chart for chart in (*turns, *samples) if not chart.empty)


def _charts(
    db: sqlite3.Connection,
    wanted: Sequence[tuple[str, str, tuple[tuple[str, str], ...]]],
    source: str,
    values: Sequence[int],
    label: str,
) -> list[Chart]:
    (count,) = db.execute(f"SELECT count(*) FROM ({source})", values).fetchone()
    bucket = max(1, -(-count // MOST_POINTS))
    figures = [figure for _, _, lines in wanted for _, figure in lines]
    columns = list(
        zip(*db.execute(f"SELECT {', '.join(figures)} FROM ({source}) GROUP BY (n - 1) / {bucket} ORDER BY min(n)", values), strict=True)
    )
    if not columns:
        return []
    streams = iter(columns)
    return [
        Chart(title, unit, f"{label}1", f"{label}{count}", tuple(Series(name, next(streams)) for name, _ in lines))
        for title, unit, lines in wanted
    ]
