"""The frame of an exported HTML page.

Nothing in a page runs or is fetched: it has no script, its policy forbids everything except its own style, and of messages only Markdown is
rendered.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TextIO

from engine.text import visible

STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --faint: #8886; --shade: #8882; --one: #1f6feb; --two: #c2410c }
:root { --three: #15803d; --four: #9333ea; --five: #be185d; --six: #0e7490 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #161616; --one: #6ea8fe; --two: #f4a261 } }
@media (prefers-color-scheme: dark) { :root { --three: #4ade80; --four: #c084fc; --five: #f472b6; --six: #22d3ee } }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif }
body { margin: 2rem auto; max-width: 84rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem } dt { opacity: .7 } dd { margin: 0; overflow-wrap: anywhere }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(24rem, 1fr)); gap: 1rem }
.chart { width: 100%; height: auto } .chart text { fill: var(--ink); font-size: 11px } .chart .heading { font-size: 13px }
.figure, .end { text-anchor: end } .grid { stroke: var(--faint) }
.line { fill: none; stroke: var(--one); stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round }
.line1 { stroke: var(--two) } .line2 { stroke: var(--three) } .line3 { stroke: var(--four) } .line4 { stroke: var(--five) }
.line5 { stroke: var(--six) }
.dot { fill: var(--one) } .dot.line1 { fill: var(--two) } .dot.limit { fill: none } .line.limit { stroke-dasharray: 4 4; opacity: .6 }
.chart .key { fill: var(--one); stroke: none } .chart .key.line1 { fill: var(--two) }
.chart .key.line2 { fill: var(--three) } .chart .key.line3 { fill: var(--four) } .chart .key.line4 { fill: var(--five) }
.chart .key.line5 { fill: var(--six) } .result { font-size: 1.1rem; font-weight: 600 }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .15rem .6rem; border-bottom: 1px solid var(--faint); text-align: right } th, td.text { text-align: left }
.facts, small { opacity: .7 } article { border-left: 3px solid var(--faint); margin: 1.5rem 0; padding: 0 1rem; max-width: 48rem }
article.user { border-color: var(--one) } article > h2 { font-size: 1rem; margin: 0; opacity: .7 } article h3 { font-size: 1.1rem }
article { unicode-bidi: plaintext; overflow-wrap: anywhere } article table { white-space: normal }
pre { background: var(--shade); border-radius: .3rem; overflow-x: auto; padding: .6rem .8rem } code { font-size: .9em }
blockquote { border-left: 3px solid var(--faint); margin: 1rem 0; padding: 0 1rem; opacity: .8 }
summary { opacity: .7 } img { max-width: 100% }
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; form-action 'none'"
"""The content security policy: nothing is loaded, no script runs, only the style above applies, and pictures are those in the page."""


@contextmanager
def html_page(out: TextIO, title: str) -> Iterator[None]:
    """Write a page around the output of the block."""
    out.write(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(visible(title))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
    )
    yield
    out.write("</body>\n</html>\n")


def write_table(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; without titles it has no heading."""
    out.write('<div class="scroll">\n<table>\n')
    if any(columns):
        out.write(f"<thead><tr>{''.join(f'<th>{escape(visible(column))}</th>' for column in columns)}</tr></thead>\n")
    out.write("<tbody>\n")
    for row in rows:
        out.write(f"<tr>{''.join(map(_cell, row))}</tr>\n")
    out.write("</tbody>\n</table>\n</div>\n")


def _cell(value: object) -> str:
    if value is None:
        return "<td></td>"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    kind = "" if text.removeprefix("~")[:1].isdecimal() else ' class="text"'
    return f"<td{kind}>{escape(visible(text))}</td>"
