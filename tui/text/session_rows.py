"""Formats saved sessions: rows of the list, hits of a search, previews. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from rich.cells import cell_len, get_character_cell_size
from textual.content import Content

from engine.numbers import significant
from engine.records import Message, MessageStatus, SessionInfo
from engine.session.many.background import Running
from engine.store.queries.search import HIT_END, HIT_START, Hit
from engine.text import drawable, one_line
from tui.text.cells import cut
from tui.text.wording import count

NOTHING_RUNS: Mapping[int, str] = MappingProxyType({})

HIT_STYLE = "bold $warning"

AGO_CELLS = 14
TURNS_CELLS = 9
MODEL_CELLS = 26
NUMBER_CELLS = 7
LEAST_TITLE = 24
"""Least width of the title; columns beside it are dropped first."""

PREVIEW_CHARACTERS = 2_000
"""Characters of a message shown in a preview."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time span to filter a list by."""

    label: str
    days: int | None
    """Number of days; None is unlimited."""

    def since_ms(self, now_ms: int) -> int | None:
        """Start of the span in Unix milliseconds."""
        return None if self.days is None else now_ms - self.days * 86_400_000


SPANS: tuple[Span, ...] = (Span("any time", None), Span("24 hours", 1), Span("7 days", 7), Span("30 days", 30), Span("a year", 365))


def ago(then_ms: int, now_ms: int) -> str:
    """Format an age in its largest unit."""
    seconds = max(0, now_ms - then_ms) // 1000
    for size, unit in ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {unit}{'' if number == 1 else 's'} ago"
    return "just now"


def running_states(answers: Iterable[Running]) -> Mapping[int, str]:
    """Format what answers in the background do, by session: `answering, 34 tokens, 12.1 tokens/s`."""
    return {one.session_id: _state(one) for one in answers if one.session_id is not None}


def _state(running: Running) -> str:
    tokens = count(running.tokens, "token") if running.tokens else ""
    speed = f"{significant(running.per_second)} tokens/s" if running.per_second else ""
    return ", ".join(filter(None, (running.state, tokens, speed)))


def session_row(info: SessionInfo, now_ms: int, current: int | None, width: int, running: Mapping[int, str] = NOTHING_RUNS) -> Content:
    """Format a session as a row; `running` says what goes on in the background, by session."""
    marks = [("pinned", info.pinned), ("cut off", info.interrupted and info.id not in running), ("open now", info.id == current)]
    shown = ", ".join(filter(None, [*(word for word, holds in marks if holds), running.get(info.id, "")]))
    facts = [
        (ago(info.updated_ms, now_ms), AGO_CELLS),
        (count(info.n_turns, "turn"), TURNS_CELLS),
        (one_line(f"{info.model or ''} {info.quant or ''}"), MODEL_CELLS),
    ]
    number = Content.styled(f"{info.id:>{NUMBER_CELLS - 2}}  ", "$muted")
    room = width - NUMBER_CELLS - (cell_len(shown) + 2 if shown else 0)
    kept = []
    for text, cells in facts:
        if room - cells - 2 >= LEAST_TITLE:
            kept.append(f"  {cut(text, cells)}")
            room -= cells + 2
    return Content.assemble(
        number,
        cut(one_line(info.title) or "untitled", max(1, room)),
        Content.styled(f"  {shown}" if shown else "", "$warning"),
        Content.styled("".join(kept), "$muted"),
    )


def hit_row(hit: Hit, now_ms: int, current: int | None, width: int, running: Mapping[int, str] = NOTHING_RUNS) -> Content:
    """Format a search hit: its session, and below it the matching text."""
    return Content("\n").join([session_row(hit.session, now_ms, current, width, running), _snippet(hit.snippet, width)])


def _snippet(snippet: str, width: int) -> Content:
    parts = _parts(snippet)
    before = parts[0][0] if parts and not parts[0][1] else ""
    room = max(8, (width - NUMBER_CELLS) // 3)
    if cell_len(before) > room:
        parts[0] = ("…" + _last_cells(before, room - 1), False)
    return Content.assemble(" " * NUMBER_CELLS, *(Content.styled(text, HIT_STYLE) if hit else Content(text) for text, hit in parts))


def _parts(snippet: str) -> list[tuple[str, bool]]:
    """Split a snippet into parts, each with whether it matches."""
    found: list[tuple[str, bool]] = []
    hit = False
    for part in re.split(f"([{HIT_START}{HIT_END}])", " ".join(snippet.split())):
        if part in {HIT_START, HIT_END}:
            hit = part == HIT_START
        elif part:
            found.append((drawable(part), hit))
    return found


def _last_cells(text: str, cells: int) -> str:
    used = 0
    for place in range(len(text) - 1, -1, -1):
        used += get_character_cell_size(text[place])
        if used > cells:
            return text[place + 1 :]
    return text


# Preview


def preview(info: SessionInfo, messages: Sequence[Message], words: str = "") -> Content:
    """Format the preview of a session, or of the messages around a hit."""
    when = datetime.fromtimestamp(info.created_ms / 1000).astimezone()
    model = " ".join(filter(None, (info.model, info.quant)))
    facts = [f"{when:%Y-%m-%d %H:%M}", count(info.n_messages, "message"), count(info.n_turns, "turn"), model, info.preset or ""]
    head = Content.assemble(
        Content.styled(one_line(info.title) or "untitled", "bold $heading"),
        "\n",
        Content.styled(one_line(" · ".join(filter(None, facts))), "$muted"),
    )
    return Content("\n\n").join([head, *(message_text(message, words) for message in messages)])


def message_text(message: Message, words: str = "") -> Content:
    """Format a message under its role; a long one is cut around the first hit."""
    pattern = _pattern(words)
    text = message.text or message.thinking
    found = pattern.search(text) if pattern is not None else None
    begin = max(0, found.start() - PREVIEW_CHARACTERS // 4) if found is not None and len(text) > PREVIEW_CHARACTERS else 0
    end = begin + PREVIEW_CHARACTERS
    shown = ("…" if begin else "") + drawable(text[begin:end].strip()) + (f"… ({count(len(text), 'character')})" if len(text) > end else "")
    how = "" if message.status is MessageStatus.COMPLETE else f" ({message.status.value})"
    return Content.assemble(
        Content.styled(f"{message.role.capitalize()}{how}", f"bold ${message.role.value}" if message.role.value in _COLOURED else "bold"),
        "\n",
        *_highlighted(shown, pattern),
    )


_COLOURED = frozenset({"user", "assistant"})


def _pattern(words: str) -> re.Pattern[str] | None:
    terms = [re.escape(term) for term in re.findall(r"\w+", words)]
    return re.compile(rf"\b(?:{'|'.join(terms)})", re.IGNORECASE) if terms else None


def _highlighted(text: str, pattern: re.Pattern[str] | None) -> Iterable[Content]:
    at = 0
    for match in pattern.finditer(text) if pattern is not None else ():
        yield Content(text[at : match.start()])
        yield Content.styled(match[0], HIT_STYLE)
        at = match.end()
    yield Content(text[at:])
