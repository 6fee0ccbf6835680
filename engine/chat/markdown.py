"""Embeds messages in a Markdown document or an HTML page, and reads the messages of such a document.

Messages are untrusted: in a document they can't end a heading, fence or tag of the document; in a page they can't run or load anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from engine.text import visible

BELOW: Final = 2
"""Heading levels above those of a message: the document's title, and the message's author."""
_DEEPEST: Final = 6

THINKING: Final = "*Thinking*"
"""First line of the quotation with the thinking before an answer."""

BRANCH: Final = "Branch"
"""First word of the facts below the title of a hidden branch."""

_LINKS: Final = ("http://", "https://", "mailto:")
_INLINE: Final = re.compile(r"\\.|(?P<ticks>`+)|(?P<found><)(?=[A-Za-z/!?])(?!(?:https?|mailto):[^\s<>]*>)", re.DOTALL)
"""Matches an escaped character, the start of a code span, or the start of a tag that is not a link."""
_FIRST_TAG: Final = re.compile(r"^([ \t>]*)<(?=[A-Za-z/!?])(?!(?:https?|mailto):[^\s<>]*>)")
_ESCAPED_TAG: Final = re.compile(r"(?P<found>\\<)(?=[A-Za-z/!?])|(?P<ticks>`+)|\\.", re.DOTALL)
_HARD_BREAK: Final = re.compile(r"(?P<found>\\\n)|(?P<ticks>`+)|\\.", re.DOTALL)
_ATX: Final = re.compile(r"( {0,3})(#{1,6})(?=[ \t]|$)")


def embedded(text: str) -> str:
    """Embed a message in a document: headings two levels deeper, fences closed, HTML tags escaped."""
    lines = visible(text).rstrip().split("\n")
    _escape_tags(lines, _parser().disable("table"))
    end: list[str] = []
    for token in _parser().parse("\n".join(lines)):
        if token.map is None:
            continue
        first, last = token.map
        if token.type == "heading_open" and not token.level:
            _shift(lines, token, BELOW)
        elif token.type == "fence" and not token.level and not _closed(lines[first:last], token.markup):
            end = [token.markup]
    _escape_tags(lines, _parser())
    return "\n".join((*lines, *end))


def plain_message(part: str) -> str:
    """Reverse `embedded`; headings of the deepest levels may have become equal."""
    lines = part.strip("\n").split("\n")
    tokens = _parser().parse("\n".join(lines))
    for token in tokens:
        if token.type == "heading_open" and not token.level:
            _shift(lines, token, -BELOW)
    for first, last in _texts(tokens):
        lines[first:last] = _outside_code(_ESCAPED_TAG, "\n".join(lines[first:last]), "<").split("\n")
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Format thinking as a quotation."""
    return "".join(f"> {line}".rstrip() + "\n" for line in (THINKING, "", *embedded(text).split("\n")))


def headings(text: str, deepest: int = BELOW) -> Iterator[tuple[int, str, str]]:
    """Yield level, text and content of each heading of a document, down to a level, without headings inside messages."""
    lines = text.replace("\r\n", "\n").split("\n")
    tokens = _parser().parse("\n".join(lines))
    found = [
        (int(token.tag[1]), tokens[place + 1].content, token.map)
        for place, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0 and token.map is not None and int(token.tag[1]) <= deepest
    ]
    for (level, title, (_, start)), following in zip(found, (*(span for _, _, span in found[1:]), [len(lines)]), strict=True):
        yield level, title, "\n".join(lines[start : following[0]])


def minute(created_ms: int) -> str:
    """Format a time for the headings of a document, in UTC."""
    return datetime.fromtimestamp(created_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def html(text: str) -> str:
    """Render a message as HTML: its own HTML as text, only links to web pages and addresses, nothing to load."""
    parser = _parser()
    tokens = parser.parse(visible(text))
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + BELOW, _DEEPEST)}"
        elif token.type in {"th_open", "td_open"}:
            token.attrs = {}
    return str(parser.renderer.render(tokens, parser.options, {}))


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: url.strip().lower().startswith(_LINKS)  # type: ignore[method-assign]
    parser.add_render_rule("image", _image)
    parser.add_render_rule("link_open", _link)
    return parser


def _image(_: RendererHTML, tokens: Sequence[Token], index: int, __: OptionsDict, ___: EnvType) -> str:
    """Render a picture as its text and URL, since loading it would notify its server."""
    token = tokens[index]
    return escape(f"{token.content or 'picture'} ({token.attrGet('src')})")


def _link(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: EnvType) -> str:
    tokens[index].attrSet("rel", "nofollow noopener noreferrer")
    return renderer.renderToken(tokens, index, options, env)


def _shift(lines: list[str], token: Token, by: int) -> None:
    """Move a heading by some levels; an underlined one gets `#` signs instead."""
    assert token.map is not None
    first, last = token.map
    level = min(max(int(token.tag[1]) + by, 1), _DEEPEST)
    if token.markup.startswith("#"):
        lines[first] = _ATX.sub(lambda match: f"{match[1]}{'#' * level}", lines[first], count=1)
    else:
        stripped = "\n".join(line.strip() for line in lines[first : last - 1])
        words = _outside_code(_HARD_BREAK, stripped, " ").replace("\n", " ")
        lines[first:last] = [f"{'#' * level} {words}", *[""] * (last - first - 1)]


def _closed(fence: Sequence[str], markup: str) -> bool:
    return len(fence) > 1 and re.fullmatch(rf" {{0,3}}{re.escape(markup)}{re.escape(markup[0])}*[ \t]*", fence[-1]) is not None


def _escape_tags(lines: list[str], parser: MarkdownIt) -> None:
    """Escape the tags outside code by this parser; one without tables may see other code spans."""
    for first, last in _texts(parser.parse("\n".join(lines))):
        # A block of HTML begins with its line, even if that line is inside a code span.
        lines[first:last] = [_FIRST_TAG.sub(r"\1\\<", line) for line in lines[first:last]]
        lines[first:last] = _outside_code(_INLINE, "\n".join(lines[first:last]), "\\<").split("\n")


def _texts(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Yield the first line of each text and the one after its last; all cells of a table row have the same."""
    return iter(dict.fromkeys((token.map[0], token.map[1]) for token in tokens if token.type == "inline" and token.map is not None))


def _outside_code(pattern: re.Pattern[str], text: str, by: str) -> str:
    """Replace the group `found` of the pattern in `text`, outside code spans."""
    parts: list[str] = []
    kept = at = 0
    unclosed: set[str] = set()
    while (match := pattern.search(text, at)) is not None:
        at = match.end()
        ticks = match["ticks"]
        if ticks:
            close = None if ticks in unclosed else re.compile(rf"(?<!`){ticks}(?!`)").search(text, at)
            if close is None:
                unclosed.add(ticks)
            else:
                at = close.end()
        elif match["found"]:
            parts += (text[kept : match.start()], by)
            kept = at
    return "".join((*parts, text[kept:]))
