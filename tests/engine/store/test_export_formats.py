"""Whatever a text holds, each format keeps it in its place: one cell, one string, one block, and no formula."""

from __future__ import annotations

import csv
import io
import json
import sqlite3

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from engine.store.export.escaping import fenced, markdown_cell
from engine.store.export.llama_bench import FIELDS, Dialect, write_llama_bench
from engine.store.export.rowformats import write_csv, write_json, write_jsonl, write_markdown_table
from engine.text import storable
from tests.hostile import HOSTILE, texts

STARTS = tuple("=+-@＝＋－＠\t\r\n")
cells = st.one_of(texts, st.sampled_from(HOSTILE)).map(storable)


def spreadsheet(text: str) -> list[list[str]]:
    """Cells as a spreadsheet takes them: rows end at a carriage return too."""
    return [*csv.reader(io.StringIO(text, newline=""))]


@given(cells, cells)
def test_a_text_is_one_cell_of_csv_and_no_formula(one: str, other: str) -> None:
    out = io.StringIO()
    write_csv(out, ("id", "text", "more", "none"), [(1, one, other, None)])
    heading, *rows = spreadsheet(out.getvalue())
    assert len(rows) == 1
    assert [len(heading), len(rows[0])] == [4, 4]
    for cell, text in zip(rows[0][1:3], (one, other), strict=True):
        assert cell in {text, f"'{text}"}
        assert not cell.lstrip(" ").startswith(STARTS)


def test_a_carriage_return_starts_no_row() -> None:
    out = io.StringIO()
    write_csv(out, ("id", "text"), [(1, "hello\r=cmd|' /C calc'!A0")])
    assert spreadsheet(out.getvalue()) == [["id", "text"], ["1", "hello\r=cmd|' /C calc'!A0"]]


@given(cells)
def test_a_text_comes_out_of_json_as_it_went_in(text: str) -> None:
    for write in (write_json, write_jsonl):
        out = io.StringIO()
        write(out, ("text",), [(text,)])
        value = json.loads(out.getvalue())
        assert (value[0] if isinstance(value, list) else value) == {"text": text}
        assert write is write_json or out.getvalue().count("\n") == 1


@given(cells)
def test_a_text_is_one_row_of_a_markdown_table_without_markup(text: str) -> None:
    out = io.StringIO()
    write_markdown_table(out, ("text", "end"), [(text, 1)])
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(out.getvalue())
    assert sum(token.type == "td_open" for token in tokens) == 2
    inline = [child.type for token in tokens if token.type == "inline" for child in token.children or ()]
    assert set(inline) <= {"text", "text_special"}
    assert "\n" not in markdown_cell(text)


@given(cells)
def test_a_text_stays_inside_its_fence(text: str) -> None:
    tokens = MarkdownIt("commonmark", {"html": True}).parse(f"before\n\n{fenced(text)}\nafter")
    assert [token.type for token in tokens if token.level == 0 and token.nesting >= 0] == ["paragraph_open", "fence", "paragraph_open"]


@given(cells)
def test_llama_bench_rows_hold_a_text_in_its_field(text: str) -> None:
    out = io.StringIO()
    write_llama_bench(out, Dialect.CSV, [{"model_type": text}])
    heading, row = spreadsheet(out.getvalue())
    assert heading == list(FIELDS)
    assert row[FIELDS.index("model_type")] in {text, f"'{text}"}
    sql = io.StringIO()
    write_llama_bench(sql, Dialect.SQL, [{"model_type": text}])

    with sqlite3.connect(":memory:") as database:
        database.executescript(sql.getvalue())
        assert database.execute("SELECT model_type FROM llama_bench").fetchall() == [(text.replace("\0", ""),)]
