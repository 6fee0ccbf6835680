"""Renders Markdown from a model as rows of segments. Imported after the first frame, since parser and highlighter load slowly.

Model output is data. HTML, entities for control characters, links and images are shown as text; no hyperlink escape sequence is made from
them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, Literal, Name, Number, Operator, String, _TokenType
from pygments.util import ClassNotFound
from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.markdown import CodeBlock, Heading, HorizontalRule, Markdown, MarkdownElement, TableElement
from rich.rule import Rule
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from engine.text import drawable
from tui.transcript.look import Look

HIGHLIGHT_CHARACTERS = 40_000
"""Length from which code is shown without colours, since some lexers take quadratic time on hostile text."""
HIGHLIGHT_LINE = 4_000
BAR = "│ "


_OF_FORMULAS = frozenset("()[]{}\\,;:!|%&$")
"""Characters after a LaTeX backslash, which models rarely escape for Markdown."""
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_NOT_SHOWN = re.compile(r"^[\s>*+-]*(?:\d+[.)]|(?:`{3,}|~{3,}).*)|<br\s*/?>|&#?\w+;", re.MULTILINE | re.IGNORECASE)
"""Markup that is drawn differently: item numbers, languages of code, line breaks and entities."""


@cache
def _parser() -> MarkdownIt:
    # A reference and its address may be in different pieces of a text, so both are shown verbatim.
    parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table").disable("reference")
    parser.inline.ruler.before("escape", "formula", _formula)
    parser.inline.ruler.before("autolink", "break", _line_break)
    parser.normalizeLink = lambda url: url  # type: ignore[method-assign]
    parser.normalizeLinkText = lambda link: link  # type: ignore[method-assign]
    return parser


def _formula(state: StateInline, silent: bool) -> bool:
    """Keep the backslashes of LaTeX."""
    if state.src[state.pos] != "\\" or state.src[state.pos + 1 : state.pos + 2] not in _OF_FORMULAS:
        return False
    if not silent:
        state.pending += state.src[state.pos : state.pos + 2]
    state.pos += 2
    return True


def _line_break(state: StateInline, silent: bool) -> bool:
    """Break the line at `<br>`, which models write in tables."""
    tag = _BREAK.match(state.src, state.pos)
    if tag is None:
        return False
    if not silent:
        state.push("hardbreak", "br", 0)
    state.pos = tag.end()
    return True


def shows_all(source: str, rows: Iterable[Iterable[Segment]]) -> bool:
    """Return whether every letter and digit of `source` is in its rendered rows.

    Parsers and layouts drop columns of wide tables, surplus cells, and deep levels of lists and quotes.
    """
    shown = Counter("".join(segment.text for row in rows for segment in row))
    text = drawable(source)
    if not any(map(str.isalnum, Counter(text) - shown)):
        return True
    return not any(map(str.isalnum, Counter(_NOT_SHOWN.sub("", text)) - shown))


def _fit_to_draw(tokens: Iterable[Token]) -> None:
    """Make parsed tokens drawable: sanitize entities, keep line breaks, show images and links as text."""
    for token in tokens:
        token.content = drawable(token.content)
        if token.type == "softbreak":
            token.type = "hardbreak"
        elif token.type == "image":
            token.type, token.tag = "text", ""
            token.content = f"{token.content or 'image'} ({_address(token, 'src')})"
            token.children = None
        elif "href" in token.attrs:
            token.attrs["href"] = _address(token, "href")
        if token.children:
            _fit_to_draw(token.children)


def _address(token: Token, attribute: str) -> str:
    """Return address and title of a link."""
    title = token.attrs.get("title")
    return drawable(f"{token.attrs.get(attribute, '')}{f' “{title}”' if title else ''}")


class _Heading(Heading):
    LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = {}


class _Rule(HorizontalRule):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Rule(style=console.get_style("markdown.table.border"), characters="─")


class _Table(TableElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, border_style="markdown.table.border")
        if self.header is not None and self.header.row is not None:
            for column in self.header.row.cells:
                heading = column.content.copy()
                heading.stylize("markdown.table.header")
                table.add_column(heading, overflow="fold")
        if self.body is not None:
            for row in self.body.rows:
                table.add_row(*[cell.content for cell in row.cells])
        yield table


class _Code(CodeBlock):
    def __init__(self, language: str, look: Look) -> None:
        super().__init__(language, "")
        self.look = look

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Code:
        assert isinstance(markdown, _Markdown)
        return cls(token.info.split(maxsplit=1)[0] if token.info.strip() else "", markdown.look)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        fill, bar = self.look.code, self.look.code + self.look.rule
        width = max(1, options.max_width - len(BAR) - 1)
        code = highlight(str(self.text).rstrip("\n").expandtabs(4), self.lexer_name, self.look)
        for line in code.wrap(console, width, overflow="fold") if code.plain else [Text()]:
            yield Segment(BAR, bar)
            yield from (Segment(text, fill + style if style else fill) for text, style, _ in line.render(console) if text)
            yield Segment(" " * max(0, width + 1 - line.cell_len), fill)
            yield Segment.line()


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _Heading,
        "hr": _Rule,
        "table_open": _Table,
        "fence": _Code,
        "code_block": _Code,
    }

    def __init__(self, source: str, look: Look) -> None:
        # rich 15 makes a parser for each Markdown, which costs 0.4 ms, a tenth of a paint while text streams.
        vars(self).update(vars(_blank()))
        self.look = look
        self.parsed = _parser().parse(drawable(source))
        _fit_to_draw(self.parsed)


@cache
def _blank() -> Markdown:
    return Markdown("", hyperlinks=False)


@lru_cache(maxsize=64)
def _lexer(name: str) -> Lexer | None:
    try:
        return get_lexer_by_name(name, stripnl=False, ensurenl=False) if name else None
    except ClassNotFound:
        return None


def highlight(code: str, language: str, look: Look) -> Text:
    """Highlight `code`; plain when the language is unknown or the code too long."""
    lexer = _lexer(language.strip().lower()[:40])
    if lexer is None or len(code) > HIGHLIGHT_CHARACTERS or any(len(line) > HIGHLIGHT_LINE for line in code.split("\n")):
        return Text(code, style=look.code)
    text = Text(style=look.code)
    styles = _token_styles(look)
    for kind, part in lexer.get_tokens(code):
        text.append(part, next((style for root, style in styles if kind in root), None))
    return text


def _token_styles(look: Look) -> tuple[tuple[_TokenType, Style], ...]:
    return (
        (Comment, look.code_comment),
        (String, look.code_string),
        (Number, look.code_number),
        (Literal, look.code_string),
        (Keyword, look.code_keyword),
        (Operator.Word, look.code_keyword),
        (Name.Function, look.code_name),
        (Name.Class, look.code_name),
        (Name.Tag, look.code_name),
        (Name.Decorator, look.code_name),
        (Name.Builtin, look.code_name),
    )


def markdown_lines(source: str, width: int, look: Look) -> list[list[Segment]]:
    """Render `source` at `width` cells."""
    console = look.console
    options = console.options.update(width=width, height=None)
    return console.render_lines(_Markdown(source, look), options, pad=False)
