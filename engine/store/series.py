"""Figures over turns or time, for charts: on the screen and in exported pages."""

from __future__ import annotations

from dataclasses import dataclass


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


def nice_top(highest: float) -> float:
    """The end of an axis: 1, 2 or 5 times a power of ten that is not below the highest value."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** (len(f"{int(highest)}") - 1) if highest >= 1 else 10.0 ** -len(f"{int(1 / highest)}")
    return next(step * power for step in (1, 2, 5, 10, 20) if step * power >= highest)
