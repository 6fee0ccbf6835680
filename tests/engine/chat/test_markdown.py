"""Messages in documents and pages: their Markdown acts, nothing else of theirs does, and they end where they end."""

from __future__ import annotations

from html.parser import HTMLParser
from time import process_time

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from engine.chat.markdown import embedded, headings, html, plain_message, quoted
from engine.text import visible

HOSTILE = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)>",
    "<body onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>*{background:url(http://evil/)}</style>",
    "<link rel=stylesheet href=http://evil/x.css>",
    "<!-- never closed",
    "<pre>\n\n<!-- x",
    "<![CDATA[ x",
    "<?php x",
    "](<img src=x onerror=alert(1)>)",
    "a `b <img src=x onerror=alert(1)>` ` <img src=x onerror=alert(1)>",
    "\\\\<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](java&NewLine;script:alert(1))",
    "[x](vbscript:x) [y](data:text/html;base64,PHNjcmlwdD4=) [z](file:///etc/passwd)",
    "[x][1]\n\n[1]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "![x](http://evil/pixel.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    '![x" onerror="alert(1)](http://evil/a.png "t" onerror=alert(1))',
    '[x](http://a.b/"onmouseover="alert(1) "t")',
    '```html" onload="alert(1)\n<script>\n```',
    "| <script>alert(1)</script> | b |\n|:--|--:|\n| <img src=x onerror=alert(1)> | `<i>` |",
    "</article></section></body></html><script>alert(1)</script>",
    "> <script>\n> alert(1)",
    "- <script>\n  alert(1)",
    "# <script>alert(1)</script>\n<b>\n===",
    "\x1b[31m\u202egnp.exe",
)


class Page(HTMLParser):
    """The elements and attributes that a browser would make."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in {"br", "hr"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


ELEMENTS = {
    "h3",
    "h4",
    "h5",
    "h6",
    "p",
    "a",
    "em",
    "strong",
    "s",
    "code",
    "pre",
    "ul",
    "ol",
    "li",
    "blockquote",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "br",
    "hr",
}
ATTRIBUTES = {"href", "title", "rel", "class", "start"}


def check_page(source: str) -> None:
    page = Page(source)
    assert page.open == []
    for tag, attributes in page.seen:
        assert tag in ELEMENTS
        assert set(attributes) <= ATTRIBUTES
        if tag == "a":
            assert (attributes["href"] or "").lower().startswith(("http://", "https://", "mailto:"))
    assert not set(source) & set("\x1b\u202e")


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_hostile_runs_or_is_loaded_in_a_page(text: str) -> None:
    check_page(html(text))
    check_page(html("Before\n\n" + text + "\n\nafter"))


PIECES = (
    *HOSTILE,
    *("# h", "## User, 2026-01-01 10:00", "h\n===", "h\n---", "```", "~~~~", "```py", "    code", "- a\n  ```", "> ```", "`", "``"),
    *(
        "\\",
        "word",
        "<b>",
        "&lt;",
        "*e*",
        "| a |\n|---|\n| <u> |",
        "1. x",
        "---",
        "[l](http://a.b)",
        "<http://a.b>",
        "\\<b>",
        "",
        "\t",
        "\r",
    ),
)
pieces = st.sampled_from(PIECES)
messages = st.one_of(st.lists(pieces, max_size=8).map("\n".join), st.lists(pieces, max_size=8).map("".join), st.text(max_size=60))


@settings(deadline=None)
@given(messages)
def test_a_page_has_only_what_markdown_makes(text: str) -> None:
    check_page(html(text))


@settings(deadline=None)
@given(st.lists(messages, min_size=1, max_size=4))
def test_messages_in_a_document_end_where_they_end(texts: list[str]) -> None:
    names = ["Title", *(f"Message {number}" for number in range(len(texts)))]
    document = "# Title\n\nFacts\n" + "".join(f"\n## Message {number}\n\n{embedded(text)}\n" for number, text in enumerate(texts))
    for syntax in ("commonmark", "gfm-like"):
        tokens = MarkdownIt(syntax, {"html": True, "linkify": False}).parse(document)
        kinds = {inner.type for token in tokens for inner in (token, *(token.children or ()))}
        assert not kinds & {"html_block", "html_inline"}
    found = [tokens[at + 1].content for at, token in enumerate(tokens) if (token.type, token.level) == ("heading_open", 0)]
    assert [title for title in found if title in names] == names
    assert not [token for token in tokens if token.tag in {"h1", "h2"} and token.nesting > 0 and token.level == 0][len(names) :]
    parts = [part for level, _, part in headings(document) if level == 2]
    for text, part in zip(texts, parts, strict=True):
        assert html(plain_message(part)) == html(plain_message(embedded(text)))


@settings(deadline=None)
@example("\\\nh\n===")
@example("`a\\\nb`\n===")
@given(messages)
def test_a_part_of_a_document_reads_like_its_message(text: str) -> None:
    assume("](<" not in text)  # an address in angle brackets is read as a tag

    def read(markdown: str) -> str:
        tokens = MarkdownIt("commonmark", {"html": False}).enable("table").parse(markdown)
        parts = (inner for token in tokens for inner in (token.children or (token,)))
        return "".join("".join(part.content.split()) for part in parts if part.type in {"text", "code_inline", "fence", "code_block"})

    assert read(embedded(text)) == read(visible(text).rstrip())


def test_headings_move_below_those_of_the_document_and_fences_are_closed() -> None:
    assert embedded("# One\n\nTwo\n---\n\n```py\n# not\n") == "### One\n\n#### Two\n\n\n```py\n# not\n```"
    assert plain_message("### One\n\n```py\n# not\n```") == "# One\n\n```py\n# not\n```"


def test_tags_are_escaped_but_in_code_and_links() -> None:
    assert embedded("<b> `<i>` <https://a.b>\n\n    <u>") == "\\<b> `<i>` <https://a.b>\n\n    <u>"


def test_a_thought_is_a_quotation_that_ends_where_it_ends() -> None:
    assert quoted("```\nopen") == "> *Thinking*\n>\n> ```\n> open\n> ```\n"


def test_many_backticks_take_no_quadratic_time() -> None:
    text = " ".join("`" * (1 + number % 900) for number in range(4_000))
    assert len(embedded(text)) >= len(text) - 1


def test_a_wide_table_takes_as_long_as_a_long_one() -> None:
    def seconds(columns: int, rows: int) -> float:
        table = "".join(f"{'|' + cell * columns}\n" for cell in ("a|", "-|", *["<b> `x`|"] * rows))
        began = process_time()
        assert plain_message(embedded(table)) == table.rstrip()
        return process_time() - began

    assert seconds(columns=2_000, rows=3) < 3 * seconds(columns=3, rows=2_000)
