"""The turns of two sessions, or of two settings, in figures that can be held against each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.records import TurnRecord

COMPARED = tuple(figure for figure in FIGURES if figure.of_turn)
"""What is compared."""


@dataclass(frozen=True, slots=True)
class Middle:
    """The middle of a figure over some turns."""

    median: float
    deviation: float
    """Median absolute deviation."""
    turns: int
    """How many turns had the figure."""


@dataclass(frozen=True, slots=True)
class Side:
    """Some turns under one name."""

    name: str
    turns: tuple[TurnRecord, ...]
    """Oldest first."""

    @property
    def clean(self) -> tuple[TurnRecord, ...]:
        """Turns whose figures can be compared."""
        return tuple(turn for turn in self.turns if turn.clean)

    def values(self, figure: Figure) -> tuple[float | None, ...]:
        """A figure in each clean turn, in the unit of charts."""
        scale = figure.chart_unit[1]
        found = [figure.of_turn(turn) if figure.of_turn else None for turn in self.clean]
        return tuple(None if value is None else value / scale for value in found)

    def middle(self, figure: Figure) -> Middle | None:
        """The middle of a figure over the clean turns; None when none of them has it."""
        values = [value for value in self.values(figure) if value is not None]
        if not values:
            return None
        centre = median(values)
        return Middle(centre, median(abs(value - centre) for value in values), len(values))


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure on both sides."""

    figure: Figure
    left: Middle | None
    right: Middle | None

    @property
    def change(self) -> float | None:
        """How much more the right side has, as a share of the left one; None when that can't be said."""
        if self.left is None or self.right is None or self.left.median == 0:
            return None
        return self.right.median / self.left.median - 1.0

    @property
    def better(self) -> bool | None:
        """Whether the right side is better by more than both sides vary by themselves; None when that can't be said."""
        if self.left is None or self.right is None or self.figure.less_is_better is None:
            return None
        step = self.right.median - self.left.median
        if abs(step) <= max(self.left.deviation, self.right.deviation):
            return None
        return (step < 0) == self.figure.less_is_better


def side_by_side(left: Side, right: Side, figures: Sequence[Figure] = COMPARED) -> tuple[Difference, ...]:
    """Every figure that at least one side has."""
    pairs = (Difference(figure, left.middle(figure), right.middle(figure)) for figure in figures)
    return tuple(pair for pair in pairs if pair.left is not None or pair.right is not None)
