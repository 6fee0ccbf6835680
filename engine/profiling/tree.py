"""Flame trees: stacks merged by their common prefixes, and tables of functions.

Ten thousand stacks have a quarter of a million nodes, of which a terminal shows a thousand. So a tree is stored as sorted stacks: a node is
a range of stacks with the same prefix, found on demand, and its weight is a difference of two prefix sums.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import accumulate
from operator import itemgetter
from typing import NamedTuple

from engine.profiling.frames import thread_name, waits, without_line
from engine.profiling.stacks import FoldedStacks

Stack = tuple[str, ...]
"""Frames, the outermost first."""


class Order(StrEnum):
    """The order of siblings."""

    HEAVY = "left-heavy"
    """The heaviest first; equal stacks are one block."""
    TIME = "time"
    """In order of time; a function called twice is two blocks."""


class Node(NamedTuple):
    """A frame in its place: stacks `first` to `end` (exclusive) of a tree, which share their first `depth` frames."""

    depth: int
    first: int
    end: int


class FlameTree:
    """Merged stacks. Weights are integers, usually samples."""

    def __init__(self, stacks: Iterable[tuple[Stack, int]], *, order: Order = Order.HEAVY, root: str = "all") -> None:
        """`stacks` are frames with a weight; for time order they come thread by thread, in order of time."""
        entries = list(stacks)
        if order is Order.HEAVY:
            entries.sort(key=itemgetter(0))
        self.order = order
        self._root_label = root
        self._stacks = [frames for frames, _ in entries]
        self._before = list(accumulate((weight for _, weight in entries), initial=0))
        self._children: dict[Node, list[Node]] = {}

    @property
    def root(self) -> Node:
        """The whole profile."""
        return Node(0, 0, len(self._stacks))

    def label(self, node: Node) -> str:
        """Return the frame of a node."""
        return self._stacks[node.first][node.depth - 1] if node.depth else self._root_label

    def path(self, node: Node) -> Stack:
        """Return the frames from below the root down to the node."""
        return self._stacks[node.first][: node.depth] if node.depth else ()

    def total(self, node: Node) -> int:
        """Return the weight of the stacks that go through the node."""
        return self._before[node.end] - self._before[node.first]

    def own(self, node: Node) -> int:
        """Return the weight of the stacks that end with the node."""
        return self.total(node) - sum(map(self.total, self.children(node)))

    def start(self, node: Node) -> int:
        """Return the weight of everything before the node; in time order, its position in time."""
        return self._before[node.first]

    def children(self, node: Node) -> list[Node]:
        """Return the callees of the node, in the order of the tree."""
        found = self._children.get(node)
        if found is None:
            found = list(self._split(node))
            if self.order is Order.HEAVY:
                found.sort(key=self.total, reverse=True)
            self._children[node] = found
        return found

    def matching(self, text: str) -> int:
        """Return the weight of the stacks with a frame that contains `text`, ignoring case."""
        wanted = text.casefold()
        if not wanted:
            return 0
        hits = {frame for frame in {frame for frames in self._stacks for frame in frames} if wanted in frame.casefold()}
        return sum(weight for frames, weight in self.entries() if not hits.isdisjoint(frames))

    def functions(self) -> list[FunctionRow]:
        """Return own and total weight of every function, without threads; recursion counts once per stack."""
        return list(self._functions.values())

    def function(self, frame: str) -> FunctionRow:
        """Return own and total weight of one function, 0 when it is not in the tree."""
        return self._functions.get(frame) or FunctionRow(frame, 0, 0)

    @cached_property
    def _functions(self) -> dict[str, FunctionRow]:
        """Return the functions by frame; cached, since it passes over all frames."""
        own: defaultdict[str, int] = defaultdict(int)
        total: defaultdict[str, int] = defaultdict(int)
        for frames, weight in self.entries():
            if frames:
                own[frames[-1]] += weight
            for frame in set(frames):
                total[frame] += weight
        return {frame: FunctionRow(frame, own.get(frame, 0), weight) for frame, weight in total.items() if thread_name(frame) is None}

    def entries(self) -> Iterator[tuple[Stack, int]]:
        """Yield the stacks and their weights."""
        before = self._before
        for index, frames in enumerate(self._stacks):
            yield frames, before[index + 1] - before[index]

    def _split(self, node: Node) -> Iterator[Node]:
        stacks, depth, end = self._stacks, node.depth, node.end
        index = node.first
        while index < end:
            frames = stacks[index]
            first = index
            index += 1
            if len(frames) == depth:
                continue
            frame = frames[depth]
            while index < end and len(stacks[index]) > depth and stacks[index][depth] == frame:
                index += 1
            yield Node(depth + 1, first, index)


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """One function over all its calls."""

    frame: str
    own: int
    """Weight of the stacks that end with it."""
    total: int
    """Weight of the stacks that contain it."""


def frames_of(
    stacks: FoldedStacks, *, thread: str | None = None, hide_idle: bool = False, lines: bool = False, order: Order = Order.HEAVY
) -> Iterator[tuple[Stack, int]]:
    """Yield the stacks with their counts for `FlameTree`; see `SplitStacks`."""
    return SplitStacks(stacks, lines=lines).entries(thread=thread, hide_idle=hide_idle, order=order)


class SplitStacks:
    """A profile with its stacks split into frames; that costs more than a tree, so it is done once for all trees."""

    def __init__(self, stacks: FoldedStacks, *, lines: bool = False) -> None:
        """With `lines`, lines of the same function are separate frames."""
        texts = _FrameTexts(lines)
        self._profile = stacks
        self._stacks: list[Stack] = [tuple([texts[frame] for frame in stack.split(";")]) for stack in stacks.stacks]

    def entries(self, *, thread: str | None = None, hide_idle: bool = False, order: Order = Order.HEAVY) -> Iterator[tuple[Stack, int]]:
        """Yield stacks and counts: of one thread, without waiting ones, or in order of time with an entry per run."""
        profile = self._profile
        pairs = profile.runs if order is Order.TIME and profile.runs else enumerate(profile.counts)
        for index, count in pairs:
            if (thread is None or self._threads[index] == thread) and not (hide_idle and self._waits[index]):
                yield self._stacks[index], count

    @cached_property
    def _threads(self) -> list[str | None]:
        """The thread of each stack."""
        return [thread_name(stack.partition(";")[0]) for stack in self._profile.stacks]

    @cached_property
    def _waits(self) -> list[bool]:
        """Whether each stack ends in waiting."""
        return [waits(frames) for frames in self._stacks]


class _FrameTexts(dict[str, str]):
    """Interns frames, with or without their lines, so that comparisons are mostly of addresses."""

    def __init__(self, lines: bool) -> None:
        super().__init__()
        self._lines = lines

    def __missing__(self, frame: str) -> str:
        text = frame if self._lines else without_line(frame)
        self[frame] = text = self.get(text, text)
        return text


def callers_of(stacks: Iterable[tuple[Stack, int]], frame: str) -> FlameTree:
    """Return the callers of a function: its stacks inverted, from its outermost call towards the thread."""
    return FlameTree(((frames[: frames.index(frame)][::-1], weight) for frames, weight in stacks if frame in frames), root=frame)


def callees_of(stacks: Iterable[tuple[Stack, int]], frame: str) -> FlameTree:
    """Return the callees of a function: its stacks from its outermost call on."""
    return FlameTree(((frames[frames.index(frame) + 1 :], weight) for frames, weight in stacks if frame in frames), root=frame)
