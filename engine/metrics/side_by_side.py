"""Compares the figures of turns of two sessions or settings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from engine.backend import StopReason
from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.records import TurnRecord

UNKNOWN_SHARE = 0.5
"""Assumed share of a disturbed turn taken by other programs, where it was not measured."""
MOST_TAKEN = 0.99
"""Upper limit of that share, so that every turn has some weight."""

TIMED = frozenset({"ms", "tokens/s"})
"""Units of figures that other programs affect by taking time."""

COMPARED = tuple(figure for figure in FIGURES if figure.of_turn)
"""The figures that are compared."""


@dataclass(frozen=True, slots=True)
class Middle:
    """The median of a figure over some turns."""

    median: float
    deviation: float
    """Median absolute deviation."""
    turns: int
    """Number of turns with the figure."""
    disturbed: bool = False
    """Whether they were disturbed; the deviation is then at least the share taken by other programs."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison."""

    name: str
    turns: tuple[TurnRecord, ...]
    """Oldest first."""

    @property
    def clean(self) -> tuple[TurnRecord, ...]:
        """Turns whose figures can be compared."""
        return tuple(turn for turn in self.turns if turn.clean)

    @property
    def compared(self) -> tuple[TurnRecord, ...]:
        """The clean turns, or the disturbed ones where there are none."""
        return self.clean or tuple(turn for turn in self.turns if turn.stop_reason is not StopReason.ERROR)

    @property
    def disturbed(self) -> bool:
        """Whether the figures are of disturbed turns, as there are no clean ones."""
        return bool(self.compared) and not self.clean

    def values(self, figure: Figure) -> tuple[float | None, ...]:
        """Return a figure of each compared turn, in the unit of charts."""
        scale = figure.chart_unit[1]
        found = [figure.of_turn(turn) if figure.of_turn else None for turn in self.compared]
        return tuple(None if value is None else value / scale for value in found)

    def middle(self, figure: Figure) -> Middle | None:
        """Return the median of a figure over the compared turns; None when none of them has it.

        Speeds and times of disturbed turns are scaled by the share of their time that was not taken, with the taken share as uncertainty;
        other figures are unchanged.
        """
        found = [(value, _taken(turn)) for value, turn in zip(self.values(figure), self.compared, strict=True) if value is not None]
        if not found:
            return None
        values = [value for value, _ in found]
        disturbed = self.disturbed and figure.unit in TIMED
        centre = _weighted_median([(value, 1.0 - taken) for value, taken in found]) if disturbed else median(values)
        deviation = median(abs(value - centre) for value in values)
        if disturbed:
            deviation = max(deviation, abs(centre) * median(taken for _, taken in found))
        return Middle(centre, deviation, len(values), disturbed)


def _taken(turn: TurnRecord) -> float:
    """Return the share of the turn's time taken by other programs; half where it was not measured."""
    return UNKNOWN_SHARE if turn.disturbed is None else min(turn.disturbed, MOST_TAKEN)


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    """Return the weighted median of (value, weight) pairs, the lower one."""
    ordered = sorted(values)
    half, weight = sum(weight for _, weight in ordered) / 2, 0.0
    return next(value for value, own in ordered if (weight := weight + own) >= half)


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure on both sides."""

    figure: Figure
    left: Middle | None
    right: Middle | None

    @property
    def change(self) -> float | None:
        """Relative difference of the right side; None when it can't be computed."""
        if self.left is None or self.right is None or self.left.median == 0:
            return None
        return self.right.median / self.left.median - 1.0

    @property
    def better(self) -> bool | None:
        """Whether the right side is better by more than both sides vary by themselves; None when it can't be computed."""
        if self.left is None or self.right is None or self.figure.less_is_better is None:
            return None
        step = self.right.median - self.left.median
        if abs(step) <= max(self.left.deviation, self.right.deviation):
            return None
        return (step < 0) == self.figure.less_is_better


def side_by_side(left: Side, right: Side, figures: Sequence[Figure] = COMPARED) -> tuple[Difference, ...]:
    """Compare every figure that at least one side has."""
    pairs = (Difference(figure, left.middle(figure), right.middle(figure)) for figure in figures)
    return tuple(pair for pair in pairs if pair.left is not None or pair.right is not None)
