"""Immutable states of a running race or search, for a screen or a progress line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.lab.race import Lane, Race
from engine.lab.statistics import ERROR_RATE, Finding, Interval, hodges_lehmann


@dataclass(frozen=True, slots=True)
class Standing:
    """One arm so far."""

    name: str
    turn_s: float | None
    """Typical time of a turn; None before the first unit."""
    ratio: Interval | None
    """Speed compared with the first arm's, 1.03 is 3 % faster; None for the first. Unbounded before there is an interval."""
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a measurement."""

    stage: str
    """The stage of a search; empty in a race."""
    units: int
    seconds: float
    limit_s: float
    stated: float
    standings: tuple[Standing, ...]
    """The arms; the others are compared with the first."""


def progress_of(race: Race, limit_s: float) -> Progress:
    """Return the state of a race."""
    standings = [
        Standing(
            lane.arm.name,
            lane.typical if lane.seconds else None,
            lane.speed_ratio,
            lane.decision.finding if lane.decision is not None else None,
        )
        for lane in race.lanes
    ]
    return Progress("", race.units, race.seconds, limit_s, race.stated, tuple(standings))


def progress_of_stage(name: str, reference: Lane, running: Sequence[Lane], *, seconds: float, limit_s: float, stated: float) -> Progress:
    """Return the state of a stage of a search; its intervals are not corrected for repeated looks."""
    standings = [Standing("the best so far", reference.typical if reference.seconds else None, None)]
    for lane in running:
        ratio = hodges_lehmann(lane.differences, ERROR_RATE).map(-1.0) if lane.differences else None
        standings.append(Standing(lane.arm.name, lane.typical if lane.seconds else None, ratio))
    return Progress(name, len(reference.seconds), seconds, limit_s, stated, tuple(standings))
