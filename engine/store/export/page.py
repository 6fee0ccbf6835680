"""One self-contained HTML page, and the same as Markdown: run cards, charts, a table, the conversation if it was asked for.

Nothing in a page runs or is fetched: there is no script in it, its policy forbids everything but its own style, and whatever people or
models wrote is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Iterator
from html import escape
from typing import TextIO

from engine.store.export.charts import charts_of
from engine.store.export.escaping import fenced, markdown_cell
from engine.store.export.rowformats import write_markdown_table
from engine.store.export.run_card import run_cards
from engine.store.export.svg import svg
from engine.store.export.tables import Selection, Table, where
from engine.text import visible

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #8886; --one: #1f6feb; --two: #c2410c }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #161616; --one: #6ea8fe; --two: #f4a261 } }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 84rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem } dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1rem }
.chart { width: 100%; height: auto } .chart text { fill: var(--ink); font-size: 11px } .chart .heading { font-size: 13px }
.figure, .end { text-anchor: end } .grid { stroke: var(--faint) }
.line { fill: none; stroke: var(--one); stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round } .line1 { stroke: var(--two) }
.dot { fill: var(--one) } .dot.line1 { fill: var(--two) } .dot.limit { fill: none } .line.limit { stroke-dasharray: 4 4; opacity: .6 }
.chart .key { fill: var(--one); stroke: none } .chart .key.line1 { fill: var(--two) }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .15rem .6rem; border-bottom: 1px solid var(--faint); text-align: right } th, td.text { text-align: left }
article { border-left: 3px solid var(--faint); margin: 1rem 0; padding: 0 1rem } article.user { border-color: var(--one) }
article pre { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; unicode-bidi: plaintext }
summary { opacity: .7 }
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
"""Nothing is loaded, no script runs, and only the style above applies."""

ON_CARDS = frozenset(
    {"cpu", "kernel", "xchat_version", "llama_cpp_version", "model_path", "model_fingerprint", "preset_json", "started_ms"}
)
"""Columns that a page's table is spared: its run cards say the same once."""

Message = tuple[str, str, str, str]


def page_head(heading: str) -> str:
    """A page's beginning: policy, style, title and heading; the body is open."""
    title = escape(visible(heading))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    )


def write_html(out: TextIO, db: sqlite3.Connection, table: Table, selection: Selection, heading: str) -> None:
    """The page."""
    table = table.without(ON_CARDS)
    out.write(page_head(heading))
    for card in run_cards(db, selection):
        out.write('<section class="card">\n<h2>Run card</h2>\n<dl>\n')
        for name, value in card.lines():
            out.write(f"<dt>{escape(name)}</dt><dd>{escape(visible(value))}</dd>\n")
        out.write("</dl>\n</section>\n")
    charts = charts_of(db, selection)
    if charts:
        out.write('<section>\n<h2>Charts</h2>\n<div class="charts">\n')
        out.writelines(svg(chart) for chart in charts)
        out.write("</div>\n</section>\n")
    out.write('<section>\n<h2>Table</h2>\n<div class="scroll">\n<table>\n<thead><tr>')
    out.writelines(f"<th>{escape(column)}</th>" for column in table.columns)
    out.write("</tr></thead>\n<tbody>\n")
    for row in table.rows:
        out.write(f"<tr>{''.join(cell(value) for value in row)}</tr>\n")
    out.write("</tbody>\n</table>\n</div>\n</section>\n")
    if selection.texts:
        out.write("<section>\n<h2>Conversation</h2>\n")
        for role, created, thinking, text in _conversation(db, selection):
            out.write(f'<article class="{escape(role)}">\n<h3>{escape(role.capitalize())} <small>{created}</small></h3>\n')
            if thinking:
                out.write(f"<details><summary>Thinking</summary><pre>{escape(visible(thinking))}</pre></details>\n")
            out.write(f"<pre>{escape(visible(text))}</pre>\n</article>\n")
        out.write("</section>\n")
    out.write("</body>\n</html>\n")


def write_markdown(out: TextIO, db: sqlite3.Connection, table: Table, selection: Selection, heading: str) -> None:
    """The same as text; charts are left to the table."""
    table = table.without(ON_CARDS)
    out.write(f"# {markdown_cell(heading)}\n")
    for card in run_cards(db, selection):
        out.write("\n## Run card\n\n")
        write_markdown_table(out, ("", ""), card.lines())
    out.write("\n## Table\n\n")
    write_markdown_table(out, table.columns, table.rows)
    if selection.texts:
        out.write("\n## Conversation\n")
        for role, created, thinking, text in _conversation(db, selection):
            out.write(f"\n### {role.capitalize()}, {created}\n\n")
            if thinking:
                out.write(f"Thinking:\n\n{fenced(thinking)}\n")
            out.write(fenced(text))


def _conversation(db: sqlite3.Connection, selection: Selection) -> Iterator[Message]:
    condition, values = where(selection)
    yield from db.execute(
        "SELECT role, strftime('%Y-%m-%d %H:%M', created_ms / 1000, 'unixepoch'), thinking, text FROM messages "
        f"WHERE {condition} ORDER BY session_id, id",
        values,
    )


def cell(value: object) -> str:
    """A value as a table's cell."""
    if value is None:
        return "<td></td>"
    if isinstance(value, float):
        return f"<td>{value:.3f}</td>"
    return f"<td>{value}</td>" if isinstance(value, int) else f'<td class="text">{escape(visible(str(value)))}</td>'
