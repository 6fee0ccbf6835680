"""A figure that may not exist on this machine: a number, or the reason why there is none; never zero instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A figure that can't be known here."""

    reason: str
    """For display, such as `no temperature sensor is readable`."""


Reading = float | Unavailable
"""A measured value, or why there is none."""


def known(reading: Reading) -> float | None:
    """The value, or None."""
    return None if isinstance(reading, Unavailable) else reading
