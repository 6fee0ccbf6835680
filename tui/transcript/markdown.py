"""Markdown from a model as lines of segments. Imported after the first frame: parser and highlighter take their time to load.

Model output is data. HTML, entities that stand for control characters, links and images are shown as text; no hyperlink escape
sequence is ever made from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import ClassVar

from markdown_it import MarkdownIt
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
"""Longer code is shown without colours: some lexers take quadratic time on hostile text."""
HIGHLIGHT_LINE = 4_000
BAR = "│ "


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")


def _fit_to_draw(tokens: Iterable[Token]) -> None:
    """Make what the parser found drawable: entities may have produced anything, and a model means its line breaks."""
    for token in tokens:
        token.content = drawable(token.content)
        if token.type == "softbreak":
            token.type = "hardbreak"
        elif token.type == "image":
            token.type, token.tag = "text", ""
            token.content = f"{token.content or 'image'} ({drawable(str(token.attrs.get('src', '')))})"
            token.children = None
        elif "href" in token.attrs:
            token.attrs["href"] = drawable(str(token.attrs["href"]))
        if token.children:
            _fit_to_draw(token.children)


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
        # rich 15 makes a parser for each Markdown: 0.4 ms, a tenth of a paint while text streams.
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
    """`code` in the colours of the look; plain when the language is unknown or the code too long to be worth the time."""
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
    """`source` laid out to `width` cells."""
    console = look.console
    options = console.options.update(width=width, height=None)
    return console.render_lines(_Markdown(source, look), options, pad=False)
