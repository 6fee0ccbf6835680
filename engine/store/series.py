"""Figures over turns or time, for charts on the screen and in exported pages."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, isfinite, log10


@dataclass(frozen=True, slots=True)
class Series:
    """A figure over turns or time; None where it wasn't measured."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines of one unit over one axis, spread evenly from `start` to `end`."""

    title: str
    unit: str
    start: str
    end: str
    lines: tuple[Series, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing was measured."""
        return not any(value is not None for line in self.lines for value in line.values)

    @property
    def top(self) -> float:
        """The upper end of the chart's axis, which starts at zero."""
        return axis_end(max((value for line in self.lines for value in line.values if value is not None and isfinite(value)), default=0.0))


NICE_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


def nice_ceiling(value: float) -> float:
    """Return the smallest round number that is not below `value`."""
    if not isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in NICE_STEPS if step * power >= value * (1 - 1e-9)), 10.0 * power)


def axis_end(highest: float) -> float:
    """Return a round upper end of an axis, with some space above the highest value."""
    return nice_ceiling(highest * 1.05)
