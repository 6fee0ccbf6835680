"""The charts of a selection: its turns in order, and the machine over time, reduced to a visible number of points."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.store.export.svg import MOST_POINTS
from engine.store.export.tables import Selection, where
from engine.store.series import Chart, Series


def charts_of(db: sqlite3.Connection, selection: Selection, figures: Sequence[Figure] = FIGURES) -> tuple[Chart, ...]:
    """The charts that are not empty."""
    condition, values = where(selection)
    turns = [(figure.turn_chart, figure.id, figure) for figure in figures if figure.turn_chart]
    samples = [(figure.sample_chart, figure.column_name, figure) for figure in figures if figure.sample_chart]
    found = (
        *_charts(db, turns, f"SELECT *, row_number() OVER (ORDER BY turn_id) AS n FROM v_turns WHERE {condition}", values, "turn"),
        *_charts(db, samples, f"SELECT *, row_number() OVER (ORDER BY id) AS n FROM samples WHERE {condition}", values, "sample"),
    )
    return tuple(chart for chart in found if not chart.empty)


def _charts(
    db: sqlite3.Connection, wanted: Sequence[tuple[str, str, Figure]], source: str, values: Sequence[int], label: str
) -> Iterator[Chart]:
    """The charts by title, from title, column and figure of each line; columns that an older database lacks are left out."""
    present = {name for name, *_ in db.execute(f"SELECT * FROM ({source}) LIMIT 0", values).description}
    wanted = [line for line in wanted if line[1] in present]
    (count,) = db.execute(f"SELECT count(*) FROM ({source})", values).fetchone()
    bucket = max(1, -(-count // MOST_POINTS))
    folded = ", ".join(f"{'max' if figure.fold == 'max' else 'avg'}({column}) / {figure.chart_unit[1]:.1f}" for _, column, figure in wanted)
    points = db.execute(f"SELECT {folded} FROM ({source}) GROUP BY (n - 1) / {bucket} ORDER BY min(n)", values).fetchall()
    for title in dict.fromkeys(title for title, *_ in wanted):
        lines = [(place, figure) for place, (of, _, figure) in enumerate(wanted) if of == title]
        unit, _ = lines[0][1].chart_unit
        series = [Series(figure.short if len(lines) > 1 else unit, tuple(point[place] for point in points)) for place, figure in lines]
        yield Chart(title, unit, f"{label} 1", f"{label} {count}", tuple(series))
