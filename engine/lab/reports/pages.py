"""Writes a report as Markdown, or as one HTML page without scripts and external resources."""

from __future__ import annotations

from html import escape
from typing import TextIO

from engine.lab.reports.charts import svg_of
from engine.lab.reports.report import Report
from engine.store.export.escaping import fenced, markdown_cell
from engine.store.export.page import html_page, write_table
from engine.store.export.rowformats import write_markdown_table
from engine.text import visible


def write_markdown(out: TextIO, report: Report) -> None:
    """Write the report as Markdown, without charts."""
    out.write(f"# {markdown_cell(report.title)}\n\n**{markdown_cell(report.verdict)}**\n")
    for sheet in report.sheets:
        out.write(f"\n## {markdown_cell(sheet.heading)}\n\n")
        write_markdown_table(out, sheet.columns, sheet.rows)
    out.write("\n## How it was measured\n\n")
    write_markdown_table(out, ("", ""), report.measured)
    out.write("\n## Disturbances\n\n")
    out.writelines(f"* {markdown_cell(line)}\n" for line in report.disturbed)
    out.write(f"\n## Repeat it\n\n{fenced(chr(10).join(report.repeat))}")


def write_html(out: TextIO, report: Report) -> None:
    """Write the report as an HTML page."""
    with html_page(out, report.title):
        out.write(f'<h1>{_text(report.title)}</h1>\n<p class="result">{_text(report.verdict)}</p>\n')
        for sheet in report.sheets:
            out.write(f"<section>\n<h2>{_text(sheet.heading)}</h2>\n")
            write_table(out, sheet.columns, sheet.rows)
            out.write("</section>\n")
        if report.charts:
            out.write('<section>\n<h2>Charts</h2>\n<div class="charts">\n')
            out.writelines(map(svg_of, report.charts))
            out.write("</div>\n</section>\n")
        out.write("<section>\n<h2>How it was measured</h2>\n<dl>\n")
        out.writelines(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n" for name, value in report.measured)
        out.write("</dl>\n</section>\n<section>\n<h2>Disturbances</h2>\n<ul>\n")
        out.writelines(f"<li>{_text(line)}</li>\n" for line in report.disturbed)
        commands = "\n".join(map(_text, report.repeat))
        out.write(f"</ul>\n</section>\n<section>\n<h2>Repeat it</h2>\n<pre>{commands}</pre>\n</section>\n")


def _text(value: str) -> str:
    return escape(visible(value))
