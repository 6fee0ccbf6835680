"""Taking an answer apart while it streams: what the model thought, and what it says.

Models mark their thinking with texts such as `<think>…</think>`. A marker may be spread over several pieces, the prompt may already
have opened the block, and a model may forget to close it. Whatever the pieces, the same text gives the same result.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum

from engine.chat.thinking_styles import STYLES

_OPENINGS = tuple(style.opening for style in STYLES)
_CLOSINGS = tuple(style.closing for style in STYLES)
_HARMONY_HEADS = ("<|start|>", "<|channel|>")
_HARMONY_ENDS = ("<|end|>", "<|return|>")
_HARMONY_MARKS = _HARMONY_HEADS + _HARMONY_ENDS
_START_MARKERS = _OPENINGS + _CLOSINGS + _HARMONY_MARKS
_MESSAGE = "<|message|>"
_MAX_HEADER = 200
"""A longer stretch without `<|message|>` is not a channel header, whatever it began with."""


@dataclass(frozen=True, slots=True)
class Split:
    """What one piece added."""

    thinking: str = ""
    answer: str = ""
    moved: bool = False
    """A closing marker showed that everything before it, handed out as answer so far, was thinking."""


class _Mode(Enum):
    START = "nothing but blanks since the beginning or since the thinking ended"
    THINKING = "inside a thinking block"
    HEADER = "between a harmony mark and its message"
    ANSWER = "inside the answer"


class ThinkingParser:
    """Splits the pieces of one generation. Feed every piece, the empty ones too: pieces are counted as tokens.

    An opening marker counts before the answer only, so an answer may talk about markers.
    """

    def __init__(self, *, opens_thinking: bool = False) -> None:
        """`opens_thinking`: the prompt ended inside a thinking block (`PromptFacts.opens_thinking`)."""
        self._mode = _Mode.THINKING if opens_thinking else _Mode.START
        self._closings: tuple[str, ...] = _CLOSINGS + _HARMONY_MARKS
        self._thought = opens_thinking
        self._harmony = False
        self._buffer = ""
        self._offset = 0
        self._starts: list[int] = []
        self._answer_at: int | None = None
        self._thinking: list[str] = []
        self._answer: list[str] = []
        self._thinking_block_is_new = True
        self._answer_block_is_new = True
        self._moved = False

    @property
    def in_thinking(self) -> bool:
        """Whether the model is thinking after the last piece."""
        return self._mode is _Mode.THINKING

    @property
    def thinking(self) -> str:
        """All thinking so far."""
        return "".join(self._thinking)

    @property
    def answer(self) -> str:
        """All of the answer so far."""
        return "".join(self._answer)

    @property
    def thinking_tokens(self) -> int:
        """How many of the pieces belong to the thinking: all up to the first one of the answer, markers included."""
        if not self._thought:
            return 0
        return len(self._starts) if self._answer_at is None else bisect_left(self._starts, self._answer_at)

    @property
    def answer_from(self) -> int | None:
        """Index of the piece that begins the answer; None before the answer, or when it begins in the middle of a piece."""
        if self._answer_at is None:
            return None
        index = bisect_left(self._starts, self._answer_at)
        return index if index < len(self._starts) and self._starts[index] == self._answer_at else None

    def feed(self, piece: str) -> Split:
        """Take the piece of the next token; what can't be told apart yet is handed out with a later one."""
        self._starts.append(self._offset + len(self._buffer))
        self._buffer += piece
        return self._advance(final=False)

    def finish(self, tail: str = "") -> Split:
        """Take the text after the last token, and hand out what was held back. Thinking that was never closed stays thinking."""
        self._buffer += tail
        return self._advance(final=True)

    def _advance(self, *, final: bool) -> Split:
        thinking_from, answer_from = len(self._thinking), len(self._answer)
        progress = True
        while progress:
            match self._mode:
                case _Mode.START:
                    progress = self._start(final=final)
                case _Mode.THINKING:
                    progress = self._think(final=final)
                case _Mode.HEADER:
                    progress = self._read_header(final=final)
                case _Mode.ANSWER:
                    progress = self._reply(final=final)
        moved, self._moved = self._moved, False
        if moved:
            thinking_from = answer_from = 0
        return Split("".join(self._thinking[thinking_from:]), "".join(self._answer[answer_from:]), moved)

    def _start(self, *, final: bool) -> bool:
        text = self._buffer.lstrip()
        blanks = len(self._buffer) - len(text)
        if self._start_with_marker(text, blanks):
            return True
        if not final and (not text or _may_become(text, _START_MARKERS)):
            return False
        if self._thought:
            self._take(self._buffer.rfind("\n", 0, blanks) + 1 if text else blanks)
        if self._buffer:
            self._begin_answer()
        return self._mode is _Mode.ANSWER

    def _start_with_marker(self, text: str, blanks: int) -> bool:
        marker = next((marker for marker in _START_MARKERS if text.startswith(marker)), None)
        if marker is None:
            return False
        self._take(blanks)
        if marker in _HARMONY_HEADS:
            self._mode = _Mode.HEADER
            return True
        self._take(len(marker))
        if marker in _OPENINGS:
            self._begin_thinking((_CLOSINGS[_OPENINGS.index(marker)],))
        self._thought = True
        return True

    def _think(self, *, final: bool) -> bool:
        if self._thinking_block_is_new and not self._skip_reopening(final=final):
            return False
        at, closing = _first_of(self._closings, self._buffer)
        if closing:
            self._add_thinking(self._take(at).rstrip())
            if closing in _HARMONY_HEADS:
                self._mode = _Mode.HEADER
                return True
            self._take(len(closing))
            self._mode = _Mode.START
            return True
        keep = 0 if final else _held_back(self._buffer, self._closings)
        body = self._buffer[: len(self._buffer) - keep].rstrip()
        self._add_thinking(self._take(len(self._buffer) if final else len(body)).rstrip())
        return False

    def _skip_reopening(self, *, final: bool) -> bool:
        """Drop blanks, and a marker that the model repeats although the prompt had opened the block; False while that is open."""
        while True:
            text = self._buffer.lstrip()
            self._take(len(self._buffer) - len(text))
            opening = next((opening for opening in _OPENINGS if text.startswith(opening)), None)
            if opening is None:
                return final or bool(text and not _may_become(text, _OPENINGS))
            self._take(len(opening))

    def _read_header(self, *, final: bool) -> bool:
        at = self._buffer.find(_MESSAGE)
        if not 0 <= at <= _MAX_HEADER:
            if at < 0 and not final and len(self._buffer) < _MAX_HEADER + len(_MESSAGE):
                return False
            self._harmony = False
            self._begin_answer()
            return True
        channel = self._take(at + len(_MESSAGE)).rpartition("<|channel|>")[2]
        if channel.strip().startswith("analysis"):
            self._begin_thinking(_HARMONY_MARKS)
        else:
            self._harmony = True
            self._begin_answer()
        return True

    def _reply(self, *, final: bool) -> bool:
        if self._harmony:
            return self._reply_in_channel(final=final)
        if self._thought:
            self._add_answer(self._take(len(self._buffer)))
            return False
        return self._reply_watching_for_stray_closing(final=final)

    def _reply_in_channel(self, *, final: bool) -> bool:
        at, mark = _first_of(_HARMONY_MARKS, self._buffer)
        if not mark:
            keep = 0 if final else _held_back(self._buffer, _HARMONY_MARKS)
            self._add_answer(self._take(len(self._buffer) - keep))
            return False
        self._add_answer(self._take(at))
        if mark in _HARMONY_ENDS:
            self._take(len(mark))
        self._mode = _Mode.HEADER if mark in _HARMONY_HEADS else _Mode.START
        return True

    def _reply_watching_for_stray_closing(self, *, final: bool) -> bool:
        """A closing marker alone on its line, outside a code fence and without an opening one: all before it was thinking."""
        lines = tuple(f"\n{closing}\n" for closing in _CLOSINGS)
        text = self._buffer + "\n" if final else self._buffer
        at, line = _first_of(lines, text)
        if not line:
            keep = 0 if final else _held_back(self._buffer, lines)
            self._add_answer(self._take(len(self._buffer) - keep))
            return False
        self._add_answer(self._take(at))
        before = self.answer
        if before.count("```") % 2 or any(opening in before for opening in _OPENINGS):
            self._add_answer(self._take(len(line) - 1))
            return True
        self._take(len(line) - 1)
        self._thinking, self._answer = [before.strip()], []
        self._thought, self._answer_at, self._mode = True, None, _Mode.START
        self._moved = True
        return True

    def _take(self, count: int) -> str:
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        self._offset += len(taken)
        return taken

    def _begin_thinking(self, closings: tuple[str, ...]) -> None:
        self._mode, self._closings, self._thought, self._thinking_block_is_new = _Mode.THINKING, closings, True, True

    def _begin_answer(self) -> None:
        self._mode, self._answer_block_is_new = _Mode.ANSWER, True
        if self._answer_at is None:
            self._answer_at = self._offset

    def _add_thinking(self, text: str) -> None:
        if text:
            if self._thinking_block_is_new and self._thinking:
                self._thinking.append("\n\n")
            self._thinking.append(text)
            self._thinking_block_is_new = False

    def _add_answer(self, text: str) -> None:
        if text:
            if self._answer_block_is_new and self._answer:
                self._answer.append("\n\n")
            self._answer.append(text)
            self._answer_block_is_new = False


def _first_of(markers: tuple[str, ...], text: str) -> tuple[int, str]:
    """Where the earliest of the markers stands, and which; an empty one when there is none."""
    found = [(at, marker) for marker in markers if (at := text.find(marker)) >= 0]
    return min(found, default=(-1, ""))


def _may_become(text: str, markers: tuple[str, ...]) -> bool:
    return any(marker.startswith(text) for marker in markers)


def _held_back(text: str, markers: tuple[str, ...]) -> int:
    """How many characters at the end of `text` may be the beginning of a marker."""
    longest = max(map(len, markers)) - 1
    for start in range(max(0, len(text) - longest), len(text)):
        if _may_become(text[start:], markers):
            return len(text) - start
    return 0
