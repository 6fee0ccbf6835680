"""Makes the charts of a selection: its turns in order, and the machine over time, with a limited number of points."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.store.export.measured import Measured
from engine.store.export.svg import MOST_LINES, MOST_POINTS
from engine.store.export.tables import Selection, where
from engine.store.series import Chart, Series


def charts_of(
    db: sqlite3.Connection, selection: Selection, settings: Sequence[Measured] = (), figures: Sequence[Figure] = FIGURES
) -> tuple[Chart, ...]:
    """Return the charts that are not empty; those of one figure over turns have a line for each setting."""
    condition, values = where(selection)
    turns = [(figure.turn_chart, figure.id, figure) for figure in figures if figure.turn_chart]
    samples = [(figure.sample_chart, figure.column_name, figure) for figure in figures if figure.sample_chart]
    found = (
        *_charts(
            db, turns, f"SELECT *, row_number() OVER (ORDER BY turn_id) AS n FROM v_turns WHERE {condition}", values, "turn", settings
        ),
        *_charts(db, samples, f"SELECT *, row_number() OVER (ORDER BY id) AS n FROM samples WHERE {condition}", values, "sample"),
    )
    return tuple(chart for chart in found if not chart.empty)


def _charts(
    db: sqlite3.Connection,
    wanted: Sequence[tuple[str, str, Figure]],
    source: str,
    values: Sequence[int],
    label: str,
    settings: Sequence[Measured] = (),
) -> Iterator[Chart]:
    """Yield the charts, from title, column and figure of each line; columns that an older database lacks are left out."""
    present = {name for name, *_ in db.execute(f"SELECT * FROM ({source}) LIMIT 0", values).description}
    wanted = [line for line in wanted if line[1] in present]
    (count,) = db.execute(f"SELECT count(*) FROM ({source})", values).fetchone()
    bucket = max(1, -(-count // MOST_POINTS))
    for title in dict.fromkeys(title for title, *_ in wanted):
        drawn = [(column, figure) for of, column, figure in wanted if of == title]
        unit, _ = drawn[0][1].chart_unit
        if len(drawn) == 1 and 1 < len(settings) <= MOST_LINES:
            column, figure = drawn[0]
            mine = "CASE WHEN turn_id IN (SELECT value FROM json_each(?)) THEN {} END"
            lines = [(setting.label, _folded(figure, mine.format(column))) for setting in settings]
            ids = tuple(json.dumps(setting.card.turn_ids) for setting in settings)
        else:
            lines, ids = [(figure.short if len(drawn) > 1 else unit, _folded(figure, column)) for column, figure in drawn], ()
        columns = ", ".join(folded for _, folded in lines)
        points = db.execute(f"SELECT {columns} FROM ({source}) GROUP BY (n - 1) / {bucket} ORDER BY min(n)", (*ids, *values)).fetchall()
        series = (Series(name, tuple(point[place] for point in points)) for place, (name, _) in enumerate(lines))
        yield Chart(title, unit, f"{label} 1", f"{label} {count}", tuple(series))


def _folded(figure: Figure, value: str) -> str:
    """Return SQL that combines several values to a point, in the unit of charts."""
    return f"{'max' if figure.fold == 'max' else 'avg'}({value}) / {figure.chart_unit[1]:.1f}"
