"""Subjects of the capture viewer: one capture, or the difference of two. Pure: trees, colours, rows and sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from engine.profiling.diff import DiffTree, figure
from engine.profiling.frames import Module, is_idle, module_of, thread_name
from engine.profiling.records import CaptureMode, CaptureRecord
from engine.profiling.tree import FlameTree, FunctionRow, Node, Order, SplitStacks, callees_of, callers_of
from engine.text import drawable
from tui.flame.look import Tint, tint_of_change
from tui.flame.table import Column, Row
from tui.text import capture_text
from tui.text.capture_text import percent, readable, short_name


@dataclass(frozen=True, slots=True)
class Filter:
    """Selection of stacks and their order."""

    thread: str | None = None
    hide_idle: bool = False
    lines: bool = False
    """Whether functions are split by line."""
    order: Order = Order.HEAVY

    def words(self) -> str:
        """Describe the filter."""
        parts = [f"thread {drawable(self.thread)}" if self.thread else "all threads"]
        parts.append("in order of time" if self.order is Order.TIME else "heaviest left")
        parts += ["idle hidden"] * self.hide_idle + ["by line"] * self.lines
        return ", ".join(parts)


class SortKey(StrEnum):
    """Sort keys of the table of functions."""

    OWN = "own"
    TOTAL = "total"
    NAME = "name"


class Subject(Protocol):
    """The interface of the viewer's contents."""

    @property
    def heading(self) -> str:
        """One line that identifies it, the most important part first."""

    @property
    def figures(self) -> str:
        """One line on how it was measured."""

    @property
    def threads(self) -> Sequence[str]:
        """Threads that can be selected."""

    @property
    def columns(self) -> Sequence[Column]:
        """Headings of the table."""

    @property
    def filter(self) -> Filter:
        """The current filter."""

    def narrow(self, wanted: Filter) -> str | None:
        """Apply a filter; returns a sentence, and changes nothing, if that is not possible."""

    @property
    def tree(self) -> FlameTree:
        """The filtered flame tree."""

    def tint(self, node: Node) -> Tint:
        """Return the colour of a block."""

    def describe(self, node: Node) -> str:
        """Return the figures of a block in a sentence."""

    def describe_frame(self, frame: str) -> str:
        """Return the figures of a function in a sentence."""

    def rows(self, key: SortKey) -> list[Row]:
        """Return the table of functions."""

    def found(self, text: str) -> str:
        """Return the result of a search in words."""

    def around(self, frame: str) -> tuple[FlameTree, FlameTree]:
        """Callers and callees of a function."""

    def tint_frame(self, frame: str) -> Tint:
        """Return the colour of a function outside the tree."""

    def lanes(self) -> list[str]:
        """CPU use of each thread, one line each."""


class CaptureSubject:
    """One capture."""

    def __init__(self, capture: CaptureRecord) -> None:
        self.capture = capture
        self.threads = capture.stacks.threads
        self.filter = Filter()
        self._apart: dict[bool, SplitStacks] = {}
        self.tree = FlameTree(self._taken_apart(lines=False).entries())
        if capture.hides_waiting:
            self.narrow(Filter(hide_idle=True))

    @property
    def columns(self) -> Sequence[Column]:
        """Own and total time, as shares and in seconds."""
        unit = "s" if self.capture.rate else "n"
        return (Column("own", 7), Column(f"own {unit}", 8), Column("total", 7), Column(f"total {unit}", 8), Column("function"))

    @property
    def heading(self) -> str:
        """Number, what was running, and the mode."""
        return capture_text.heading(self.capture)

    @property
    def figures(self) -> str:
        """Length, samples, failures, tokens and cost."""
        return capture_text.figures(self.capture)

    def narrow(self, wanted: Filter) -> str | None:
        """Apply a filter to the capture."""
        if wanted.order is Order.TIME and not self.capture.stacks.runs:
            return "This profile has no time order: its stacks are sums"
        if wanted.lines and not self.capture.has_lines:
            return "The default mode does not record lines, to be cheaper; the other modes do"
        apart = self._taken_apart(lines=wanted.lines)
        tree = FlameTree(apart.entries(thread=wanted.thread, hide_idle=wanted.hide_idle, order=wanted.order), order=wanted.order)
        if not tree.total(tree.root):
            return "No stacks match this filter"
        self.tree, self.filter = tree, wanted
        return None

    def _taken_apart(self, *, lines: bool) -> SplitStacks:
        """Return the capture's stacks with or without lines, cached."""
        apart = self._apart.get(lines)
        if apart is None:
            apart = self._apart[lines] = SplitStacks(self.capture.stacks, lines=lines)
        return apart

    def tint(self, node: Node) -> Tint:
        """Return the part of the program."""
        return self.tint_frame(self.tree.label(node)) if node.depth else Tint.THREAD

    def tint_frame(self, frame: str) -> Tint:
        """Return the part of the program, or idle."""
        return Tint(Module.IDLE if is_idle(frame) else module_of(frame))

    def describe(self, node: Node) -> str:
        """Seconds and shares."""
        return self._sentence(self.tree.total(node), self.tree.own(node))

    def _sentence(self, total: int, own: int) -> str:
        whole, time = self.tree.total(self.tree.root), self.capture.time
        return f"total {time(total)} ({percent(total, whole)}), own {time(own)} ({percent(own, whole)})"

    def describe_frame(self, frame: str) -> str:
        """Seconds and shares."""
        row = self.tree.function(frame)
        return self._sentence(row.total, row.own)

    def rows(self, key: SortKey) -> list[Row]:
        """Own and total time of each function."""
        rate = self.capture.looks_per_second or 1
        whole = self.tree.total(self.tree.root)
        functions = self.tree.functions()
        functions.sort(key=_ORDERS[key])
        return [
            Row(
                row.frame,
                (
                    percent(row.own, whole),
                    f"{row.own / rate:.2f}",
                    percent(row.total, whole),
                    f"{row.total / rate:.2f}",
                    readable(row.frame),
                ),
                self.tint_frame(row.frame),
            )
            for row in functions
        ]

    def found(self, text: str) -> str:
        """Return the share of samples that match a search."""
        weight = self.tree.matching(text)
        if not weight:
            return "not found"
        return f"in {percent(weight, self.tree.total(self.tree.root))} of the samples, {self.capture.time(weight)}"

    def around(self, frame: str) -> tuple[FlameTree, FlameTree]:
        """Callers and callees of a function in the filtered tree."""
        entries = list(self.tree.entries())
        return callers_of(entries, frame), callees_of(entries, frame)

    def lanes(self) -> list[str]:
        """One line per thread: average CPU use and a sparkline."""
        return capture_text.lane_lines(self.capture) or ["This capture has no record of the threads' CPU time."]


class DiffSubject:
    """The difference of two captures."""

    def __init__(self, before: CaptureRecord, after: CaptureRecord) -> None:
        self.before, self.after = before, after
        self.threads = tuple(dict.fromkeys((*after.stacks.threads, *before.stacks.threads)))
        self.filter = Filter(hide_idle=before.hides_waiting or after.hides_waiting or before.mode is not after.mode)
        self._apart = SplitStacks(before.stacks), SplitStacks(after.stacks)
        self._diff = DiffTree(before, after, hide_idle=self.filter.hide_idle, apart=self._apart)

    @property
    def columns(self) -> Sequence[Column]:
        """Own time before and after, and the changes."""
        return (Column("own was", 8), Column("own is", 8), Column("own ±", 8), Column("total ±", 8), Column("function"))

    @property
    def tree(self) -> FlameTree:
        """The merged tree; blocks are as wide as the larger side."""
        return self._diff.tree

    @property
    def heading(self) -> str:
        """The names of both captures."""
        return f"{short_name(self.before)} → {short_name(self.after)}"

    @property
    def figures(self) -> str:
        """Totals, and the basis of the comparison."""
        root = self._diff.total(self.tree.root)
        per_token = self._diff.unit == "ms per token"
        basis = f"{self.before.tokens:,} and {self.after.tokens:,} tokens" if per_token else "not both generated tokens"
        left_out = " · without native frames, only one has them" if self._diff.python_only else ""
        return f"{root.words(self._diff.unit)} · {basis}{left_out}"

    def narrow(self, wanted: Filter) -> str | None:
        """Apply a filter to both captures."""
        if wanted.order is Order.TIME:
            return "Two captures can't be compared in time order"
        if wanted.lines:
            return "Two captures are compared by function, since line numbers change with the code"
        if not self._diff.alike and not wanted.hide_idle:
            return "The modes of the two captures record idle time differently, so it is hidden"
        diff = DiffTree(self.before, self.after, thread=wanted.thread, hide_idle=wanted.hide_idle, apart=self._apart)
        if not diff.tree.total(diff.tree.root):
            return "No stacks match this filter"
        self._diff, self.filter = diff, wanted
        return None

    def tint(self, node: Node) -> Tint:
        """Return the tint of the change."""
        return tint_of_change(self._diff.total(node))

    def tint_frame(self, frame: str) -> Tint:
        """Return the tint of the change."""
        change = self._diff.function(frame)
        return tint_of_change(change.total) if change else Tint.SAME

    def describe(self, node: Node) -> str:
        """Both figures and the change, in words."""
        return f"total {self._diff.total(node).words(self._diff.unit)}; own {self._diff.own(node).short()}"

    def describe_frame(self, frame: str) -> str:
        """Both figures and the change, in words."""
        change = self._diff.function(frame)
        return f"total {change.total.words(self._diff.unit)}; own {change.own.short()}" if change else ""

    def rows(self, key: SortKey) -> list[Row]:
        """Functions by change, the largest first."""
        changes = self._diff.functions()
        if key is SortKey.TOTAL:
            changes.sort(key=lambda change: -abs(change.total.change))
        elif key is SortKey.NAME:
            changes.sort(key=lambda change: change.frame)
        return [
            Row(
                change.frame,
                (
                    figure(change.own.before),
                    figure(change.own.after),
                    _signed(change.own.change),
                    _signed(change.total.change),
                    readable(change.frame),
                ),
                tint_of_change(change.own if key is SortKey.OWN else change.total),
            )
            for change in changes
        ]

    def found(self, text: str) -> str:
        """Return the change of all stacks that match a search."""
        measure = self._diff.matching(text)
        return measure.words(self._diff.unit) if measure.before or measure.after else "not found"

    def around(self, frame: str) -> tuple[FlameTree, FlameTree]:
        """Callers and callees in the merged tree."""
        entries = list(self.tree.entries())
        return callers_of(entries, frame), callees_of(entries, frame)

    def lanes(self) -> list[str]:
        """Average use of a core by thread name, before and after."""
        sides: list[dict[str, float]] = []
        for capture in (self.before, self.after):
            means: dict[str, float] = {}
            for lane in capture.lanes:
                means[lane.name] = means.get(lane.name, 0.0) + lane.mean_pct
            sides.append(means)
        names = sorted({*sides[0], *sides[1]}, key=lambda name: -max(side.get(name, 0.0) for side in sides))
        if not names:
            return ["These captures have no record of the threads' CPU time."]
        return [f"{sides[0].get(name, 0.0):5.1f} → {sides[1].get(name, 0.0):5.1f} %  {drawable(name)}" for name in names]


def next_threads(subject: Subject) -> Iterator[Filter]:
    """Filters of one thread each, starting after the current one; after the last thread comes the filter of all."""
    choices = [None, *subject.threads]
    place = choices.index(subject.filter.thread) if subject.filter.thread in choices else 0
    for thread in (*choices[place + 1 :], *choices[:place]):
        yield replace(subject.filter, thread=thread)


def frame_of(tree: FlameTree, node: Node) -> str | None:
    """Return the function of a block; None for the root and for threads."""
    frame = tree.label(node) if node.depth else None
    return frame if frame is not None and thread_name(frame) is None else None


_ORDERS: Mapping[SortKey, Callable[[FunctionRow], Any]] = {
    SortKey.OWN: lambda row: (-row.own, -row.total),
    SortKey.TOTAL: lambda row: (-row.total, -row.own),
    SortKey.NAME: lambda row: row.frame,
}


def _signed(change: float) -> str:
    return f"{'+' if change > 0 else '−'}{figure(abs(change))}" if change else "0"


def notes_of(subject: Subject) -> tuple[str, ...]:
    """Notes to show with the capture: why py-spy was not used. Its warnings are in the help."""
    if isinstance(subject, CaptureSubject) and subject.capture.mode is CaptureMode.IN_PROCESS:
        return subject.capture.notes
    return ()
