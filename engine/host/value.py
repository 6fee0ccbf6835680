"""A figure that may be unavailable: a number, or the reason why there is none; never zero instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A figure that is unavailable here."""

    reason: str
    """For display, such as `no temperature sensor is readable`."""


Reading = float | Unavailable
"""A measured value, or the reason why there is none."""


def known(reading: Reading) -> float | None:
    """Return the value, or None."""
    return None if isinstance(reading, Unavailable) else reading
