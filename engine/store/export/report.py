"""Writes the report of a selection: the fastest setting, charts, the run card, and the folded rows.

The same in HTML and in Markdown, which has no charts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TextIO

from engine.metrics.figures import FIGURES
from engine.metrics.ratio import ratio_of
from engine.store.export.charts import charts_of
from engine.store.export.document import parts_of, write_html_parts, write_markdown_parts
from engine.store.export.escaping import markdown_cell
from engine.store.export.measured import Measured, differing, figure, ratio_in_words, result_in_words, settings_measured
from engine.store.export.page import html_page, write_table
from engine.store.export.rowformats import write_markdown_table
from engine.store.export.svg import svg
from engine.store.export.tables import Selection, Table, where
from engine.text import visible

Rows = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The headings of a table, and its rows."""

ON_CARD = frozenset(
    {"host", "cpu", "kernel", "xchat_version", "llama_cpp_version", "model_path", "model_fingerprint", "preset_json", "n_ctx"}
)
"""Columns that are on the run card instead of in every row."""
FOR_PROGRAMS = frozenset({"started_ms", "wall_ms", "created_ms", "message_id", "parent_id", "sample_id", "judged"})
"""Columns for programs only, whose content readers have in words."""
COMPARED = ("Setting", "Turns", "Decode, tokens/s", "Against the fastest", "Prefill, tokens/s", "TTFT, ms")
FOOTNOTES = {
    "~": "~ No turn of this setting was clean: other programs took some of its time.",
    "(": "In brackets: the 95 % confidence interval of the difference.",
}

_HEADINGS = {
    column: f"{known.name}, {known.unit}" if known.unit and known.unit not in known.name.lower() else known.name
    for known in FIGURES
    for column in (known.column_name, known.id)
}


@dataclass(frozen=True, slots=True)
class Report:
    """The part of the report above the rows."""

    heading: str
    result: str
    """A sentence."""
    compared: Rows
    notes: tuple[str, ...]
    settings: tuple[Measured, ...]

    def card(self) -> Rows:
        """Return the circumstances that all settings share."""
        differ = differing(setting.card.facts() for setting in self.settings)
        facts = self.settings[0].card.facts() if self.settings else {}
        return ("", ""), [(name, value) for name, value in facts.items() if name not in differ]

    def differences(self) -> Rows:
        """Return the circumstances that differ, with their measurements; a column for each setting."""
        facts = [setting.card.facts() | dict(setting.card.lines()) for setting in self.settings]
        names = (*differing(setting.card.facts() for setting in self.settings), *(name for name, _ in self.settings[0].card.lines()))
        return ("", *(setting.label for setting in self.settings)), [(name, *(known.get(name, "") for known in facts)) for name in names]


def report_of(db: sqlite3.Connection, selection: Selection, heading: str) -> Report:
    """Read the part of the report above the rows."""
    settings = settings_measured(db, selection)
    rows = tuple(_compared(setting, settings[0]) for setting in settings)
    notes = tuple(note for sign, note in FOOTNOTES.items() if any(sign in cell for row in rows for cell in row[2:4]))
    return Report(heading, result_in_words(settings), (COMPARED, rows), notes, settings)


def _compared(setting: Measured, fastest: Measured) -> tuple[str, ...]:
    mark = "~" if setting.disturbed else ""
    against = ratio_in_words(ratio_of(setting.decode, fastest.decode)) if setting.decode and setting is not fastest else ""
    return (
        setting.label,
        f"{setting.card.turns:,}",
        f"{mark}{figure(setting.decode_speed)}" if setting.decode else "",
        against,
        figure(setting.prefill),
        figure(setting.ttft_ms),
    )


def write_html_report(out: TextIO, db: sqlite3.Connection, table: Table, selection: Selection, heading: str) -> None:
    """Write the report as a page, followed by the chat if texts are selected."""
    report = report_of(db, selection, heading)
    with html_page(out, heading):
        out.write(f'<h1>{escape(visible(heading))}</h1>\n<p class="result">{escape(visible(report.result))}</p>\n')
        if report.settings:
            write_table(out, *report.compared)
        out.writelines(f'<p class="facts">{escape(note)}</p>\n' for note in report.notes)
        charts = charts_of(db, selection, report.settings)
        if charts:
            out.write('<section>\n<h2>Charts</h2>\n<div class="charts">\n')
            out.writelines(svg(chart) for chart in charts)
            out.write("</div>\n</section>\n")
        if report.settings:
            out.write('<section class="card">\n<h2>Run card</h2>\n')
            write_table(out, *report.card())
            out.write("<h3>By setting</h3>\n")
            write_table(out, *report.differences())
            out.write("</section>\n")
        out.write(f"<details><summary>{table.count:,} rows</summary>\n")
        write_table(out, *_for_people(db, table, selection))
        out.write("</details>\n")
        if selection.texts:
            write_html_parts(out, parts_of(db, selection))


def write_markdown_report(out: TextIO, db: sqlite3.Connection, table: Table, selection: Selection, heading: str) -> None:
    """Write the report as Markdown, without charts."""
    report = report_of(db, selection, heading)
    out.write(f"# {markdown_cell(heading)}\n\n{markdown_cell(report.result)}\n\n")
    if report.settings:
        write_markdown_table(out, *report.compared)
        out.writelines(f"\n{markdown_cell(note)}\n" for note in report.notes)
        out.write("\n## Run card\n\n")
        write_markdown_table(out, *report.card())
        out.write("\n### By setting\n\n")
        write_markdown_table(out, *report.differences())
        out.write("\n")
    out.write(f"<details><summary>{table.count:,} rows</summary>\n\n")
    write_markdown_table(out, *_for_people(db, table, selection))
    out.write("\n</details>\n")
    if selection.texts:
        out.write("\n")
        write_markdown_parts(out, parts_of(db, selection))


def _for_people(db: sqlite3.Connection, table: Table, selection: Selection) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Return the rows for readers: names instead of columns, numbers of turns instead of ids, short figures."""
    condition, values = where(selection)
    numbers = dict(db.execute(f"SELECT id, row_number() OVER (PARTITION BY session_id ORDER BY id) FROM turns WHERE {condition}", values))
    table = table.without(ON_CARD | FOR_PROGRAMS)
    turn = table.columns.index("turn_id") if "turn_id" in table.columns else None

    def short(place: int, value: object) -> str:
        if value is None:
            return ""
        if place == turn:
            return str(numbers.get(value, ""))
        return figure(value) if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)

    return [_heading(column) for column in table.columns], ([short(place, value) for place, value in enumerate(row)] for row in table.rows)


def _heading(column: str) -> str:
    return _HEADINGS.get(column) or column.removesuffix("_id").replace("_", " ").capitalize()
