"""Splits a streamed answer into thinking and text.

Models mark their thinking with texts such as `<think>…</think>`. A marker may be spread over several pieces, the prompt may have opened the
block, and a model may forget to close it. The result does not depend on the pieces.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum

from engine.chat.thinking_styles import STYLES, WRAPPERS
from engine.messages import ThinkingStyle

_TOKEN = "\ufdd4"
"""Precedes a marker that is a single token; a noncharacter, replaced where a piece contains it."""
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
_HARMONY_HEADS = ("<|start|>", "<|channel|>")
_HARMONY_ENDS = ("<|end|>", "<|return|>")
_HARMONY_MARKS = _HARMONY_HEADS + _HARMONY_ENDS
_MESSAGE = "<|message|>"
_MAX_HEADER = 200
"""Most characters of a channel header; a longer text without `<|message|>` is not one."""


@dataclass(frozen=True, slots=True)
class Split:
    """The thinking and the text added by a piece."""

    thinking: str = ""
    answer: str = ""
    moved: bool = False
    """Whether a closing marker showed that the answer so far was thinking."""


class _Mode(Enum):
    START = "nothing but blanks since the beginning or since the thinking ended"
    THINKING = "inside a thinking block"
    HEADER = "between a harmony mark and its message"
    ANSWER = "inside the answer"


class ThinkingParser:
    """Splits the pieces of one generation. Feed every piece, also empty ones, since pieces are counted as tokens.

    An opening marker counts before the answer only, so an answer may talk about markers.
    """

    def __init__(
        self, own: ThinkingStyle | None = None, marker_tokens: frozenset[str] = frozenset(), *, opens_thinking: bool = False
    ) -> None:
        """`own`, `marker_tokens` and `opens_thinking` as in `PromptFacts`."""
        self._mode = _Mode.THINKING if opens_thinking else _Mode.START
        self._tokens = re.compile("|".join(map(re.escape, sorted(marker_tokens, key=len, reverse=True))) or "(?!)")
        styles = (own, *STYLES) if own else STYLES
        self._pairs = {form: self._forms(style.closing) for style in reversed(styles) for form in self._forms(style.opening)}
        self._openings = tuple(self._pairs)
        self._all_closings = tuple(dict.fromkeys(form for style in styles for form in self._forms(style.closing)))
        self._loose = frozenset(style.closing for style in styles if self._tokens.search(style.closing))
        """Texts of closing markers that are tokens; as plain text they count only alone on a line."""
        self._wrappers = {form: self._forms(end) for begin, end in WRAPPERS for form in self._forms(begin)}
        self._own_wrappers: tuple[str, ...] = ()
        if own and own.answer[0]:
            self._own_wrappers = self._forms(own.answer[0])
            self._wrappers |= dict.fromkeys(self._own_wrappers, self._forms(own.answer[1]))
        self._ends: tuple[str, ...] = ()
        self._end_left_out = False
        self._opened_by_prompt = opens_thinking
        self._block = 0
        self._closings: tuple[str, ...] = self._all_closings + _HARMONY_MARKS
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
    def may_move(self) -> bool:
        """Whether a closing marker may still show that the answer so far was thinking: it is a token, and there was no thinking."""
        return not self._thought and any(mark.startswith(_TOKEN) for mark in self._all_closings)

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
        """Number of pieces of the thinking: all up to the first one of the answer, markers included."""
        if not self._thought:
            return 0
        return len(self._starts) if self._answer_at is None else bisect_left(self._starts, self._answer_at)

    @property
    def answer_from(self) -> int | None:
        """Index of the piece that begins the answer; None before the answer, or when it begins in the middle of a piece."""
        if self._answer_at is None or self._end_left_out:
            return None
        index = bisect_left(self._starts, self._answer_at)
        return index if index < len(self._starts) and self._starts[index] == self._answer_at else None

    def feed(self, piece: str) -> Split:
        """Add the piece of the next token; ambiguous text is returned with a later one."""
        self._starts.append(self._offset + len(self._buffer))
        self._buffer += self._marked(piece)
        return self._advance(final=False)

    def finish(self, tail: str = "") -> Split:
        """Add the text after the last token, and return the text held back. Unclosed thinking stays thinking."""
        self._buffer += self._marked(tail)
        return self._advance(final=True)

    def _forms(self, marker: str) -> tuple[str, ...]:
        """Return the marker as tokens, and as plain text."""
        return tuple(dict.fromkeys((self._tokens.sub(rf"{_TOKEN}\g<0>", marker), marker))) if marker else ()

    def _marked(self, piece: str) -> str:
        """Return the piece with a mark before the marker that is its token; it may begin with text held back."""
        piece = piece.replace(_TOKEN, "\ufffd")
        ends = [found.start() for found in self._tokens.finditer(piece) if found.end() == len(piece)]
        return f"{piece[: ends[0]]}{_TOKEN}{piece[ends[0] :]}" if ends else piece

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
        if not final and (not text or _may_become(text, self._start_markers())):
            return False
        if self._thought:
            self._take(self._buffer.rfind("\n", 0, blanks) + 1 if text else blanks)
        if self._buffer:
            self._begin_answer()
        return self._mode is _Mode.ANSWER

    def _start_with_marker(self, text: str, blanks: int) -> bool:
        marker = max((marker for marker in self._start_markers() if text.startswith(marker)), key=len, default=None)
        if marker is None:
            return False
        self._take(blanks)
        if marker in _HARMONY_HEADS:
            self._mode = _Mode.HEADER
            return True
        self._take(len(marker))
        if marker in self._wrappers:
            self._ends = self._wrappers[marker]
            self._begin_answer()
            return True
        if marker in self._openings:
            self._begin_thinking(self._pairs[marker])
        self._thought = True
        return True

    def _start_markers(self) -> tuple[str, ...]:
        wrappers = tuple(self._wrappers) if self._thought else self._own_wrappers
        return (*self._openings, *self._all_closings, *_HARMONY_MARKS, *wrappers)

    def _think(self, *, final: bool) -> bool:
        if self._thinking_block_is_new and not self._skip_reopening(final=final):
            return False
        at, closing = _first_of(self._closings, self._buffer)
        while closing and (closes := self._closes(at, closing, final=final)) is not True:
            if closes is None:
                self._add_thinking(self._take(len(self._buffer[:at].rstrip())))
                return False
            at, closing = _first_of(self._closings, self._buffer, at + len(closing))
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

    def _closes(self, at: int, closing: str, *, final: bool) -> bool | None:
        """Return whether the closing marker at this position ends the thinking or is quoted; None while undecided."""
        if closing in _HARMONY_MARKS:
            return True
        before = "".join(self._thinking[self._block :]) + self._buffer[:at]
        if closing in self._loose:
            return self._alone(before, self._buffer[at + len(closing) :], final=final)
        quoted = _quoted(before, self._buffer[at + len(closing) :], final=final)
        if quoted is None or quoted:
            return None if quoted is None else False
        code = before.rpartition("```")[2] if before.count("```") % 2 else ""
        opened = sum(code.count(opening) for opening in self._openings if not opening.startswith(_TOKEN))
        return opened <= sum(code.count(mark) for mark in self._all_closings if not mark.startswith(_TOKEN))

    def _alone(self, before: str, after: str, *, final: bool) -> bool | None:
        rest, newline, _ = after.partition("\n")
        if before.rpartition("\n")[2].strip() or rest.strip():
            return False
        return True if newline or final else None

    def _skip_reopening(self, *, final: bool) -> bool:
        """Drop blanks, and a repeated marker of the block that the prompt opened; False while undecided."""
        while True:
            text = self._buffer.lstrip()
            self._take(len(self._buffer) - len(text))
            opening = next((opening for opening in self._openings if text.startswith(opening)), None)
            if opening is None:
                return final or bool(text and not _may_become(text, self._openings))
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
        if self._ends:
            return self._reply_up_to_its_end(final=final)
        if self._thought and not (self._opened_by_prompt and not self._thinking):
            self._add_answer(self._take(len(self._buffer)))
            return False
        return self._reply_watching_for_stray_closing(final=final)

    def _reply_up_to_its_end(self, *, final: bool) -> bool:
        """Add the answer without the closing text at its end."""
        at, end = _first_of(self._ends, self._buffer)
        if end and self._buffer[at + len(end) :].strip():
            self._add_answer(self._take(at + len(end)))
            return True
        keep = len(self._buffer) - at if end else 0 if final else _held_back(self._buffer, self._ends)
        self._add_answer(self._take(len(self._buffer) - keep))
        if end and final:
            self._take(keep)
            self._end_left_out = True
        return False

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
        """Add the answer, unless a closing marker alone on its line, outside code and without an opening one, makes it thinking."""
        lines = tuple(f"\n{closing}\n" for closing in self._all_closings)
        anywhere = self._all_closings if self._thought else tuple(mark for mark in self._all_closings if mark.startswith(_TOKEN))
        text = self._buffer + "\n" if final else self._buffer
        at, line = _first_of((*lines, *anywhere), text)
        if not line:
            keep = 0 if final else _held_back(self._buffer, (*lines, *anywhere))
            self._add_answer(self._take(len(self._buffer) - keep))
            return False
        size = len(line) - (line in lines)
        quoted = line in anywhere and _quoted(self.answer + self._buffer[:at], self._buffer[at + size :], final=final)
        self._add_answer(self._take(at))
        if quoted is None:
            return False
        before = self.answer
        if quoted or before.count("```") % 2 or any(opening in before for opening in self._openings):
            self._add_answer(self._take(size))
            return True
        self._take(size)
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
        self._block = len(self._thinking)

    def _begin_answer(self) -> None:
        self._mode, self._answer_block_is_new = _Mode.ANSWER, True
        if self._answer_at is None:
            self._answer_at = self._offset

    def _add_thinking(self, text: str) -> None:
        if text:
            if self._thinking_block_is_new and self._thinking:
                self._thinking.append("\n\n")
            self._thinking.append(text.replace(_TOKEN, ""))
            self._thinking_block_is_new = False

    def _add_answer(self, text: str) -> None:
        if text:
            if self._answer_block_is_new and self._answer:
                self._answer.append("\n\n")
            self._answer.append(text.replace(_TOKEN, ""))
            self._answer_block_is_new = False


def _quoted(before: str, after: str, *, final: bool) -> bool | None:
    """Return whether a marker between these texts is quoted, or inline code; None while undecided."""
    line, (rest, newline, _) = before.rpartition("\n")[2], after.partition("\n")
    if line.count("`") % 2:
        if "`" in rest:
            return True
        if not newline and not final:
            return None
    quote = _QUOTES.get(line[-1:])
    if quote is None:
        return False
    return rest.startswith(quote) if after or final else None


def _first_of(markers: tuple[str, ...], text: str, start: int = 0) -> tuple[int, str]:
    """Return the position of the earliest marker from `start` on, and the marker; an empty one when there is none."""
    found = [(at, marker) for marker in markers if (at := text.find(marker, start)) >= 0]
    return min(found, default=(-1, ""))


def _may_become(text: str, markers: tuple[str, ...]) -> bool:
    return any(marker.startswith(text) for marker in markers)


def _held_back(text: str, markers: tuple[str, ...]) -> int:
    """Count the characters at the end of `text` that may begin a marker."""
    longest = max(map(len, markers)) - 1
    for start in range(max(0, len(text) - longest), len(text)):
        if _may_become(text[start:], markers):
            return len(text) - start
    return 0
