"""Formats numbers for people: three significant digits, thousands with commas, decimal units."""

from __future__ import annotations

UNKNOWN = "–"
"""Shown in place of an unknown number."""


def significant(value: float | None) -> str:
    """Format a number with three significant digits, at most two of them decimals: `0.31`, `16.4`, `1,234`."""
    if value is None:
        return UNKNOWN
    decimals = 0 if abs(round(value, 1)) >= 100 else 1 if abs(round(value, 2)) >= 10 else 2
    return f"{value:,.{decimals}f}"


def byte_size(value: float | None) -> str:
    """Format bytes with decimal units: `98.2 MB`, `638 MB`, `4.31 GB`."""
    if value is None:
        return UNKNOWN
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= limit * 0.9995:
            return f"{significant(value / limit)} {unit}"
    return f"{value:.0f} B"


def milliseconds(value: float | None) -> str:
    """Format a time: `0.31 ms`, `16.4 ms`, `1.28 s`."""
    if value is None:
        return UNKNOWN
    return f"{significant(value / 1e3)} s" if value >= 999.5 else f"{significant(value)} ms"


def percent(share: float | None) -> str:
    """Format a share of one: `7 %`."""
    return UNKNOWN if share is None else f"{share * 100:,.0f} %"
