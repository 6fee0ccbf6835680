"""Compares two captures by function, per token where both generated some."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from engine.profiling.frames import is_native, thread_name
from engine.profiling.records import CaptureMode, CaptureRecord
from engine.profiling.tree import FlameTree, Node, SplitStacks, Stack

NEUTRAL = 0.02
"""A change below this share of the larger side counts as equal: sampling can't distinguish it from chance."""

_STEP_MS = 1e-6
"""Milliseconds of one unit of weight, since trees sum whole numbers."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure before and after, in the unit of its DiffTree."""

    before: float
    after: float

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def ratio(self) -> float | None:
        """After divided by before, None where there was nothing before."""
        return self.after / self.before if self.before else None

    @property
    def equal(self) -> bool:
        """Whether the change is too small to count."""
        return abs(self.change) <= NEUTRAL * max(self.before, self.after)

    def words(self, unit: str) -> str:
        """Format the figures, such as `4.2 → 5.1 ms per token, grew by 0.9 (+21 %)`."""
        figures = f"{figure(self.before)} → {figure(self.after)} {unit}"
        if self.equal:
            return f"{figures}, the same"
        if not self.before:
            return f"{figures}, new"
        if not self.after:
            return f"{figures}, gone"
        verb = "grew" if self.change > 0 else "shrank"
        return f"{figures}, {verb} by {figure(abs(self.change))} ({self.change / self.before * 100:+.0f} %)"

    def short(self) -> str:
        """Format the figures without the unit: `4.2 → 5.1 (+21 %)`."""
        figures = f"{figure(self.before)} → {figure(self.after)}"
        return figures if self.equal or not self.before else f"{figures} ({self.change / self.before * 100:+.0f} %)"


@dataclass(frozen=True, slots=True)
class FunctionChange:
    """One function in both captures."""

    frame: str
    own: Measure
    total: Measure


class DiffTree:
    """The merged flame tree of two captures.

    Attributes:
        tree: The shape. The weight of a stack is the larger of both sides, so that stacks that vanished are shown too.
        python_only: Native frames are left out, since only one of the captures has them.
        alike: Both captures were made in the same mode; else waiting is left out, since each mode reports another part of it.
        unit: `ms per token`, `ms per second` or `‰ of the samples`, the first that both captures allow.
    """

    def __init__(
        self,
        before: CaptureRecord,
        after: CaptureRecord,
        *,
        thread: str | None = None,
        hide_idle: bool = False,
        apart: tuple[SplitStacks, SplitStacks] | None = None,
    ) -> None:
        """`apart`: the split stacks of both, for callers that compare them repeatedly."""
        apart = apart or (SplitStacks(before.stacks), SplitStacks(after.stacks))
        self.unit, amounts = _basis(before, after)
        self.python_only = (before.mode is CaptureMode.NATIVE) != (after.mode is CaptureMode.NATIVE)
        self.alike = before.mode is after.mode
        merged: dict[Stack, list[int]] = {}
        for side, (capture, amount) in enumerate(zip((before, after), amounts, strict=True)):
            scale = 1000.0 / (capture.looks_per_second or 1) / amount / _STEP_MS
            for frames, count in apart[side].entries(thread=thread, hide_idle=hide_idle or not self.alike):
                stack = tuple(frame for frame in frames if not is_native(frame)) if self.python_only else frames
                merged.setdefault(stack, [0, 0])[side] += round(count * scale)
        self._stacks = sorted(merged.items())
        self.tree = FlameTree((frames, max(figures)) for frames, figures in self._stacks)
        self._sums = [list(accumulate((figures[side] for _, figures in self._stacks), initial=0)) for side in (0, 1)]

    def total(self, node: Node) -> Measure:
        """Return the time with the node on the stack."""
        return _measure([sums[node.end] - sums[node.first] for sums in self._sums])

    def own(self, node: Node) -> Measure:
        """Return the time with the node as the last frame."""
        kids = self.tree.children(node)
        return _measure([sums[node.end] - sums[node.first] - sum(sums[kid.end] - sums[kid.first] for kid in kids) for sums in self._sums])

    def matching(self, text: str) -> Measure:
        """Return the time with a frame on the stack that contains `text`, ignoring case."""
        wanted = text.casefold()
        sums = [0, 0]
        for frames, figures in self._stacks:
            if wanted and any(wanted in frame.casefold() for frame in frames):
                sums[0] += figures[0]
                sums[1] += figures[1]
        return _measure(sums)

    def functions(self) -> list[FunctionChange]:
        """Return every function in both captures, the largest change of own time first."""
        return list(self._changes.values())

    def function(self, frame: str) -> FunctionChange | None:
        """Return one function in both captures, None when it is in neither."""
        return self._changes.get(frame)

    @cached_property
    def _changes(self) -> dict[str, FunctionChange]:
        """Return the changes by frame, in the order of `functions`; cached, since it passes over all frames."""
        own: dict[str, list[int]] = {}
        total: dict[str, list[int]] = {}
        for frames, figures in self._stacks:
            for sums, touched in ((own, frames[-1:]), (total, set(frames))):
                for frame in touched:
                    row = sums.setdefault(frame, [0, 0])
                    row[0] += figures[0]
                    row[1] += figures[1]
        changes = [
            FunctionChange(frame, _measure(own.get(frame, [0, 0])), _measure(whole))
            for frame, whole in total.items()
            if thread_name(frame) is None
        ]
        return {change.frame: change for change in sorted(changes, key=lambda change: -abs(change.own.change))}


def _measure(steps: list[int]) -> Measure:
    return Measure(steps[0] * _STEP_MS, steps[1] * _STEP_MS)


def _basis(before: CaptureRecord, after: CaptureRecord) -> tuple[str, tuple[float, float]]:
    """Return the unit, and the divisor for the seconds of each side."""
    if before.tokens and after.tokens and before.rate and after.rate:
        return "ms per token", (before.tokens, after.tokens)
    if before.seconds and after.seconds and before.rate and after.rate:
        return "ms per second", (before.seconds, after.seconds)
    return "‰ of the samples", (
        max(before.samples, 1) / (before.looks_per_second or 1),
        max(after.samples, 1) / (after.looks_per_second or 1),
    )


def figure(value: float) -> str:
    """Format a value with three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
