"""The registry of figures: each entry is whole, and one entry is enough for a figure to be found everywhere."""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from engine.backend import PoolNow
from engine.host.value import Unavailable
from engine.metrics.figures import BY_ID, FIGURES
from engine.metrics.figures.figure import Column, Figure, History, Metric, logged_figures
from engine.metrics.figures.reference import columns, reference
from engine.metrics.history import Window
from engine.metrics.history_feed import Tracks
from engine.metrics.prometheus import metrics_of
from engine.metrics.report import report, sample_of
from engine.metrics.side_by_side import Side, side_by_side
from engine.metrics.snapshot import EMPTY, Snapshot
from engine.store.export.charts import charts_of
from engine.store.export.rowformats import write_csv
from engine.store.export.tables import Selection, What, open_table
from engine.store.rows import SAMPLE_COLUMNS, insert, sample_row
from engine.store.schema.migrations import add_figures, migrate
from tests.engine.metrics.scripted import ScriptedSession
from tests.factories import turn_record
from tui.drawing.rows import text_of
from tui.panel.explain import explained
from tui.panel.panel import PANES
from tui.panel.values import own_rows

HUMIDITY = Figure(
    "humidity_pct",
    "Humidity",
    label="air",
    unit="% of saturation",
    read=lambda now: Unavailable("no hygrometer") if now.host is None else 41.5,
    panes=("cpu",),
    row=True,
    group="host",
    fold="max",
    history=History(),
    column=Column("REAL"),
    sample_chart="Air",
    metric=Metric("xchat_humidity_ratio"),
    formula="Water in the air / water that the air could carry.",
    source="A hygrometer.",
    levers="a plant.",
)
MORE = (*FIGURES, HUMIDITY)


@pytest.fixture(scope="module")
def busy() -> Snapshot:
    return ScriptedSession().step()


@pytest.fixture
def db() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, Path("test.db"))
    return db


def test_no_two_figures_share_an_id_a_column_or_a_place_in_the_report() -> None:
    for names in (
        [figure.id for figure in FIGURES],
        [figure.column_name for figure in logged_figures(FIGURES)],
        [(figure.group, figure.key or figure.id) for figure in FIGURES if figure.key != ""],
        [(figure.metric.name, *figure.metric.labels.values()) for figure in FIGURES if figure.metric],
    ):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("figure", [figure for figure in FIGURES if figure.panes], ids=lambda figure: figure.id)
def test_what_a_pane_explains_is_explained_whole(figure: Figure) -> None:
    assert all((figure.name, figure.formula, figure.source, figure.levers))
    assert set(figure.panes) <= {pane.id for pane in PANES}


def test_every_pane_explains_something_and_every_line_of_its_chart_has_a_history() -> None:
    for pane in PANES:
        assert explained(pane.id)
        assert all(BY_ID[name].history for name in (pane.chart.traces if pane.chart else ()))


def test_the_migrated_schema_has_the_columns_of_the_registry_and_no_other(db: sqlite3.Connection) -> None:
    logged = {figure.column_name: figure.column.type for figure in FIGURES if figure.column}
    table = {name: kind for _, name, kind, *_ in db.execute("PRAGMA table_info (samples)")}
    view = {name for _, name, *_ in db.execute("PRAGMA table_info (v_samples)")}
    assert {name: kind for name, kind in table.items() if name not in ("id", "wall_ms", "session_id", "turn_id")} == logged
    assert view == {*SAMPLE_COLUMNS, "sample_id", "at", "model", "quant", "preset"}


def test_the_documents_say_what_the_registry_says() -> None:
    document = Path(__file__).parents[3] / "docs" / "figures.md"
    assert document.read_text("utf-8") == reference(), "python -m engine.metrics.figures.reference > docs/figures.md"
    assert columns() in files("engine.store").joinpath("VIEWS.md").read_text("utf-8"), columns()


def test_the_curve_of_steps_names_powers_of_two_and_the_largest_number_of_answers() -> None:
    read = BY_ID["step_curve"].read
    assert read(replace(EMPTY, pool=PoolNow(8, curve=((1, 13.0), (2, 20.04), (3, 30.0), (5, 44.0))))) == "1: 13.0, 2: 20.0, 5: 44.0"
    assert read(replace(EMPTY, pool=PoolNow(8))) is None
    assert isinstance(read(EMPTY), Unavailable)


class TestOneMoreFigure:
    """A figure that is only an entry in a copy of the registry."""

    def test_is_in_the_report_with_its_reason_while_it_is_unavailable(self, busy: Snapshot) -> None:
        assert report(busy, MORE)["host"]["humidity_pct"] == 41.5
        assert report(EMPTY, MORE)["host"]["humidity_pct"] == {"unavailable": "no hygrometer"}

    def test_is_compared_over_turns(self) -> None:
        sides = (Side("left", (turn_record(),)), Side("right", (turn_record(),)))
        found = {pair.figure.id: pair for pair in side_by_side(*sides, (replace(HUMIDITY, of_turn=lambda _: 40.0),))}
        assert found["humidity_pct"].change == 0.0

    def test_has_a_history(self, busy: Snapshot) -> None:
        tracks = Tracks(MORE)
        tracks.push(busy, 1)
        assert tracks.freeze()[Window.MINUTE]["humidity_pct"].latest == 41.5

    def test_is_served_to_prometheus_in_base_units(self, busy: Snapshot) -> None:
        samples = {sample.name: sample.value for family in metrics_of(busy, MORE) for sample in family.samples}
        assert samples["xchat_humidity_ratio"] == pytest.approx(0.415)

    def test_is_logged_exported_and_charted_from_a_database_that_never_had_it(self, db: sqlite3.Connection, busy: Snapshot) -> None:
        before = sample_of(busy, session_id=None, turn_id=None)
        db.execute(insert("samples", SAMPLE_COLUMNS), sample_row(before))
        for _ in range(2):
            add_figures(db, MORE)
        wider = (*SAMPLE_COLUMNS, "humidity_pct")
        for _ in range(2):
            sample = sample_of(busy, session_id=None, turn_id=None, figures=MORE)
            db.execute(insert("samples", wider), sample_row(sample, wider))
        out, table = io.StringIO(), open_table(db, What.SAMPLES, Selection(None))
        write_csv(out, table.columns, table.rows)
        assert [row["humidity_pct"] for row in csv.DictReader(io.StringIO(out.getvalue()))] == ["", "41.5", "41.5"]
        assert table.columns[-1] == "humidity_pct"
        chart = next(chart for chart in charts_of(db, Selection(None), figures=MORE) if chart.title == "Air")
        assert (chart.unit, chart.lines[0].name, chart.lines[0].values) == ("%", "%", (None, 41.5, 41.5))

    def test_no_chart_fails_on_a_database_without_its_column(self, db: sqlite3.Connection, busy: Snapshot) -> None:
        db.execute(insert("samples", SAMPLE_COLUMNS), sample_row(sample_of(busy, session_id=None, turn_id=None)))
        with closing(db):
            assert {chart.title for chart in charts_of(db, Selection(None), figures=MORE)} == {
                chart.title for chart in charts_of(db, Selection(None))
            }

    def test_is_explained_in_its_pane_with_the_reason_why_it_is_unavailable(self) -> None:
        assert explained("cpu", MORE)[-1] is HUMIDITY
        assert HUMIDITY.unavailable(EMPTY) == "no hygrometer"

    def test_has_a_row_in_its_pane_with_its_value_or_the_reason(self, busy: Snapshot) -> None:
        assert text_of(own_rows(busy, 60, "cpu", MORE)[-1]) == "air 42 %"
        assert text_of(own_rows(EMPTY, 60, "cpu", MORE)[-1]) == "air unavailable: no hygrometer"

    def test_is_in_the_documents(self) -> None:
        assert "## Humidity (% of saturation)" in reference(MORE)
        assert "| `humidity_pct` | Humidity (% of saturation): Water in the air" in columns(MORE)
