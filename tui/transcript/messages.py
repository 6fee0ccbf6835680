"""Splits messages into blocks, and computes their rows. Independent of widgets."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from engine.messages import Role
from engine.records import Message
from tui.transcript.blocks import Block, Kind
from tui.transcript.look import Look

LABELS = {
    Role.USER: ("You", Kind.USER_LABEL),
    Role.ASSISTANT: ("Assistant", Kind.ASSISTANT_LABEL),
    Role.SYSTEM: ("System", Kind.SYSTEM_LABEL),
}


@dataclass(slots=True, eq=False)
class Entry:
    """A message of the transcript, split into blocks when first shown."""

    id: int
    role: Role
    label: Block
    thinking: str = ""
    text: str = ""
    thought_head: Block | None = None
    thought: list[Block] = field(default_factory=list)
    body: list[Block] = field(default_factory=list)
    notes: list[Block] = field(default_factory=list)
    unfolded: bool = False
    opened: bool = False
    """Whether `body` and `thought` have been split into pieces."""
    live: bool = False

    @classmethod
    def of(cls, message: Message, *, label: str | None = None) -> Entry:
        """Make an entry of a finished message."""
        name, kind = LABELS[message.role]
        entry = cls(message.id, message.role, Block(kind, label or name), message.thinking, message.text)
        whole = Kind.MARKDOWN if message.role is Role.ASSISTANT else Kind.USER_TEXT if message.role is Role.USER else Kind.PLAIN
        entry.body = [Block(whole, message.text, gap=1)]
        entry._head_thinking()
        return entry

    @classmethod
    def streaming(cls, answer_id: int, *, label: str | None = None) -> Entry:
        """Make an entry of an answer that has just begun."""
        name, kind = LABELS[Role.ASSISTANT]
        entry = cls(answer_id, Role.ASSISTANT, Block(kind, label or name), live=True, opened=True)
        entry.body = [Block(Kind.MARKDOWN, "", gap=1)]
        return entry

    def blocks(self) -> list[Block]:
        """Blocks shown, top to bottom."""
        thought = [self.thought_head, *(self.thought if self.unfolded else ())] if self.thought_head else []
        return [self.label, *thought, *self.body, *self.notes]

    def open(self) -> None:
        """Split a finished message into pieces, when it is first shown."""
        from tui.transcript.pieces import split_markdown, split_plain

        if self.opened:
            return
        self.opened = True
        kind = self.body[0].kind
        if kind is Kind.USER_TEXT:
            self._open_parts()
            return
        pieces = split_markdown(self.text) if kind is Kind.MARKDOWN else split_plain(self.text)
        self.body = [Block(kind, piece.source, gap=int(piece.closed)) for piece in pieces]
        self.thought = [Block(Kind.THOUGHT, piece.source, gap=int(piece.closed)) for piece in split_plain(self.thinking.strip())]

    def _open_parts(self) -> None:
        """Split a message of the user; files and long texts are folded to one row each."""
        from tui.transcript.pieces import split_plain, split_user

        self.body = []
        for part in split_user(self.text):
            if part.folded:
                head = f"{'▾' if self.unfolded else '▸'} {part.title}"
                self.body.append(Block(Kind.USER_FOLD, head, gap=0 if self.unfolded else 1))
            if not part.folded or self.unfolded:
                self.body += [Block(Kind.USER_TEXT, piece.source, gap=int(piece.closed)) for piece in split_plain(part.source)]

    def grow(self, text: str, thinking: str, *, in_thinking: bool) -> None:
        """Append text to a live answer; only the last piece changes."""
        from tui.transcript.pieces import LIVE_FENCE_LINES, split_markdown, split_plain

        if thinking:
            self.thinking += thinking
            tail = self.thought.pop().source if self.thought else ""
            pieces = split_plain((tail + thinking).lstrip("\n") if not tail else tail + thinking)
            self.thought += [Block(Kind.THOUGHT, piece.source, gap=int(piece.closed)) for piece in pieces]
        if text:
            self.text += text
            tail_block = self.body[-1]
            source = tail_block.source + text
            first, *rest = split_markdown(source, fence_lines=LIVE_FENCE_LINES)
            tail_block.change(first.source)
            tail_block.gap = int(first.closed)
            self.body += [Block(Kind.MARKDOWN, piece.source, gap=int(piece.closed)) for piece in rest]
        self._head_thinking(under_way=in_thinking)

    def begin_anew(self) -> None:
        """Clear a live answer."""
        self.text = self.thinking = ""
        self.thought, self.thought_head = [], None
        self.body = [Block(Kind.MARKDOWN, "", gap=1)]

    def finish(self, message: Message) -> None:
        """Replace the streamed text by the text of the finished answer."""
        self.text, self.thinking, self.live, self.opened = message.text, message.thinking, False, False
        self.body = [Block(Kind.MARKDOWN, message.text, gap=1)]
        self._head_thinking()
        self.open()

    def fold(self, *, unfolded: bool) -> None:
        """Show or hide thinking, files and long texts of the user."""
        self.unfolded = unfolded
        if self.role is Role.USER and self.opened:
            self._open_parts()
        self._head_thinking(under_way=self.live and not self.text)

    def _head_thinking(self, *, under_way: bool = False) -> None:
        if not self.thinking.strip():
            return
        words = len(self.thinking.split())
        sign = "▾" if self.unfolded else "▸"
        head = f"{sign} Thinking… {words} words" if under_way else f"{sign} Thought, {words} {'word' if words == 1 else 'words'}"
        if self.thought_head is None:
            self.thought_head = Block(Kind.THOUGHT_HEAD, head, gap=1)
        elif self.thought_head.source != head:
            self.thought_head.change(head)
        self.thought_head.gap = 0 if self.unfolded else 1


@dataclass(frozen=True, slots=True)
class Place:
    """A row of the transcript: entry, block of the entry, row of the block."""

    entry: int
    block: int
    line: int


class Pages:
    """Heights of all entries and their running sums, updated from the first changed one."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._heights: list[int] = []
        self._ends: list[int] = []
        self._clean = 0
        """Number of valid entries of `_ends`."""

    def reset(self, entries: Sequence[Entry]) -> None:
        """Show these entries."""
        self.entries = list(entries)
        self.remeasure()

    def remeasure(self) -> None:
        """Invalidate all heights: width or look changed."""
        self._heights = [-1] * len(self.entries)
        self._clean = 0

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""
        self.entries.append(entry)
        self._heights.append(-1)

    def cut(self, length: int) -> None:
        """Remove all entries from `length` on."""
        del self.entries[length:], self._heights[length:]
        self._clean = min(self._clean, length)

    def touch(self, index: int) -> None:
        """Invalidate the height of an entry."""
        self._heights[index] = -1
        self._clean = min(self._clean, index)

    def top(self, index: int, width: int, look: Look) -> int:
        """First row of an entry."""
        self._sum_up(width, look)
        return self._ends[index - 1] if index else 0

    def height(self, width: int, look: Look) -> int:
        """Total number of rows."""
        self._sum_up(width, look)
        return self._ends[-1] if self._ends else 0

    def place(self, y: int, width: int, look: Look) -> Place | None:
        """Return the place at row `y`; None below the end."""
        self._sum_up(width, look)
        index = bisect_right(self._ends, y)
        if y < 0 or index >= len(self.entries):
            return None
        line = y - (self._ends[index - 1] if index else 0)
        for number, block in enumerate(self.entries[index].blocks()):
            height = block.height(width, look)
            if line < height:
                return Place(index, number, line)
            line -= height
        return None

    def _sum_up(self, width: int, look: Look) -> None:
        if self._clean == len(self.entries) == len(self._ends):
            return
        start = self._ends[self._clean - 1] if self._clean else 0
        for index in range(self._clean, len(self.entries)):
            if self._heights[index] < 0:
                self._heights[index] = sum(block.height(width, look) for block in self.entries[index].blocks())
        self._ends[self._clean :] = list(accumulate(self._heights[self._clean :], initial=start))[1:]
        self._clean = len(self.entries)
