"""Lists a conversation with all its branches as rows; each version of a message is one level deeper."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from engine.chat.tree import ConversationTree
from engine.records import Message

SHORTEST_FOLD = 4
"""Shortest run of messages without other versions that is folded."""


@dataclass(frozen=True, slots=True)
class OutlineRow:
    """A message, or a straight run of them folded into one row."""

    messages: tuple[Message, ...]
    depth: int
    version: int
    """Version of the first message, from 1."""
    versions: int
    shown: bool
    """Whether it is on the current branch."""

    @property
    def message(self) -> Message:
        """The first message."""
        return self.messages[0]

    @property
    def folded(self) -> bool:
        """Whether it has more than one message."""
        return len(self.messages) > 1


def outline(messages: Iterable[Message], head_id: int | None, unfolded: frozenset[int] = frozenset()) -> tuple[OutlineRow, ...]:
    """List the rows of a conversation, parents before children, versions by age.

    Runs of messages without other versions are folded, except those whose first message is in `unfolded`. The message before a choice and
    the last one of a branch always have their own rows.
    """
    tree = ConversationTree(messages, head_id)
    shown = {message.id for message in tree.branch()}
    rows: list[OutlineRow] = []
    depths: dict[int | None, int] = {}
    for message in tree.messages():
        versions, index = tree.siblings(message.id)
        depth = depths[message.id] = depths.get(message.parent_id, 0) + (len(versions) > 1)
        rows.append(OutlineRow((message,), depth, index + 1, len(versions), message.id in shown))
    return tuple(row for run in _runs(rows) for row in _folded(run, unfolded))


def branch_count(messages: Iterable[Message]) -> int:
    """Count the branches of a conversation."""
    found = tuple(messages)
    parents = {message.parent_id for message in found}
    return sum(message.id not in parents for message in found)


def sibling_row(rows: Sequence[OutlineRow], at: int, step: int) -> int | None:
    """Return the row of the previous (-1) or next (+1) version of row `at`, or of the nearest row above with versions."""
    for place in range(at, -1, -1):
        row = rows[place]
        if row.versions > 1 and row.depth <= rows[at].depth:
            wanted = row.version + step
            places = range(place + 1, len(rows)) if step > 0 else range(place - 1, -1, -1)
            for other in places:
                if rows[other].depth < row.depth:
                    return None
                if rows[other].depth == row.depth and rows[other].version == wanted and rows[other].versions > 1:
                    return other
            return None
    return None


def _runs(rows: Sequence[OutlineRow]) -> Iterable[list[OutlineRow]]:
    """Group neighbouring rows that may be folded together; the others alone."""
    numbered = list(enumerate(rows))
    for plain, group in groupby(numbered, key=lambda row: (_is_plain(rows, row[0]), row[1].depth, row[1].shown)):
        run = [row for _, row in group]
        if plain[0]:
            yield run
        else:
            yield from ([row] for row in run)


def _is_plain(rows: Sequence[OutlineRow], at: int) -> bool:
    row = rows[at]
    if row.versions > 1 or at == 0 or at + 1 == len(rows):
        return False
    following = rows[at + 1]
    return following.message.parent_id == row.message.id and following.versions == 1


def _folded(run: Sequence[OutlineRow], unfolded: frozenset[int]) -> Sequence[OutlineRow]:
    first = run[0]
    if len(run) < SHORTEST_FOLD or first.message.id in unfolded:
        return run
    return [OutlineRow(tuple(row.message for row in run), first.depth, first.version, first.versions, first.shown)]
