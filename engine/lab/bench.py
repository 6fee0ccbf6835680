"""Measures the points of a grid in rounds, so that a drift affects all of them, until each is precise enough."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from statistics import median
from typing import Final

import msgspec

from engine.clock import NS_PER_S, now_ns, wall_ms
from engine.disturbance import QUIET_SHARE
from engine.errors import XchatError
from engine.lab.engine import LabEngine
from engine.lab.grid import window_of
from engine.lab.statistics import Interval, mean_interval, outliers
from engine.llama.measuring.work import ModelFigures, Setup, Took, Work
from engine.models.fit import TooLargeError

LEAST_REPEATS: Final = 5
"""Fewest repetitions of a point, llama-bench's number, unless its time is up."""
PRECISION: Final = 0.01
"""Half width of the interval, as a share of the mean, at which a point is precise enough."""
SECONDS: Final = 30.0
"""Time limit of one point."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop."""

    repeats: int | None = None
    """Exact number of repetitions; None: until the interval is narrow enough or the time is up."""
    precision: float = PRECISION
    seconds: float = SECONDS
    """Time limit of each point."""
    minutes: float | None = None
    """Measure all points for this time, whatever their precision."""


@dataclass(slots=True)
class Point:
    """One point of the grid with its measurements."""

    setup: Setup
    work: Work
    figures: ModelFigures | None = None
    samples_ns: list[int] = field(default_factory=list)
    prompt_ns: list[int] = field(default_factory=list)
    """The prompt's part of each sample."""
    disturbed: list[float | None] = field(default_factory=list)
    skipped: str | None = None
    """Why it can't be measured; None if it can."""
    measured_ms: int = 0
    """When the first measurement ended, Unix time."""

    @property
    def speeds(self) -> list[float]:
        """Tokens per second of each repetition."""
        return [self.work.tokens * NS_PER_S / max(1, took) for took in self.samples_ns]

    @property
    def interval(self) -> Interval:
        """The mean speed in tokens per second, with its 95 % interval."""
        return mean_interval(self.speeds)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Disturbances of the measurement, in sentences."""
        known = [share for share in self.disturbed if share is not None]
        noisy = sum(share >= QUIET_SHARE for share in known)
        found = []
        if noisy:
            share = sum(known) / len(known)
            found.append(f"other programs took {share:.0%} of the time ({noisy} of {len(known)} repetitions were disturbed)")
        far = outliers(self.samples_ns)
        if far:
            found.append(f"{len(far)} of {len(self.samples_ns)} repetitions are outliers; they are kept")
        if self.drift is not None and abs(self.drift) >= 0.05:
            found.append(f"the speed changed by {self.drift:+.0%} from the first third to the last")
        return tuple(found)

    @property
    def drift(self) -> float | None:
        """Median speed of the last third of the repetitions against the first; None for fewer than nine."""
        third = len(self.samples_ns) // 3
        return median(self.speeds[-third:]) / median(self.speeds[:third]) - 1 if third >= 3 else None

    def add(self, took: Took) -> None:
        """Add a repetition."""
        self.measured_ms = self.measured_ms or wall_ms()
        self.samples_ns.append(took.prompt_ns + took.gen_ns)
        self.prompt_ns.append(took.prompt_ns)
        self.disturbed.append(took.disturbed)

    def enough(self, limits: Limits) -> bool:
        """Return whether the point needs no more repetitions."""
        if self.skipped is not None:
            return True
        count = len(self.samples_ns)
        if limits.minutes is not None:
            return False
        if limits.repeats is not None:
            return count >= limits.repeats
        if sum(self.samples_ns) >= limits.seconds * NS_PER_S:
            return True
        if count < LEAST_REPEATS:
            return False
        interval = self.interval
        return interval.high - interval.estimate <= limits.precision * interval.estimate


def measure(
    engine: LabEngine, points: Sequence[Point], limits: Limits, report: Callable[[Point], None] = lambda _point: None, seed: int = 1
) -> None:
    """Measure `points` in place; `report` is called after each repetition and for each point that is skipped.

    The points of one context are shuffled in each round; contexts and models are visited in alternating order. One context exists at a
    time. A point that does not fit is skipped with the reason.

    Raises:
        KeyboardInterrupt: The points have the measurements so far.
    """
    rng = random.Random(seed)
    end_ns = None if limits.minutes is None else now_ns() + round(limits.minutes * 60 * NS_PER_S)
    visits = _visits(points)
    per_visit = 1 if len(visits) == 1 else LEAST_REPEATS
    while any(not point.enough(limits) for point in points):
        for visit in visits:
            waiting = [point for point in visit if not point.enough(limits)]
            if waiting:
                engine.keep_only(tuple(point.setup for point in waiting))
            for _ in range(per_visit):
                rng.shuffle(waiting)
                for point in waiting:
                    if end_ns is not None and now_ns() >= end_ns:
                        return
                    if not point.enough(limits):
                        _repeat(engine, point, visit)
                        report(point)
        visits.reverse()


def _repeat(engine: LabEngine, point: Point, visit: Sequence[Point]) -> None:
    try:
        point.figures = point.figures or engine.figures(point.setup)
        point.add(engine.run(point.setup, point.work))
    except TooLargeError as error:
        window = point.setup.preset.n_ctx
        for large in visit:  # those that need the shared window; the others get a smaller one
            if window_of(large.work) == window:
                large.skipped = str(error)
        _share_window([other for other in visit if other.skipped is None])
    except XchatError as error:
        point.skipped = str(error)


def _visits(points: Sequence[Point]) -> list[list[Point]]:
    """Group the points by model and context settings, with one window per group."""

    def key(point: Point) -> tuple[object, ...]:
        preset = msgspec.structs.replace(point.setup.preset, threads="auto", threads_batch="auto", n_ctx=256)
        return (str(point.setup.ref), preset)

    visits = []
    for _, group in groupby(points, key):
        visit = list(group)
        _share_window(visit)
        visits.append(visit)
    return visits


def _share_window(points: Sequence[Point]) -> None:
    """Give all points the largest window that one of them needs, so that one context is enough."""
    window = max((window_of(point.work) for point in points), default=0)
    for point in points:
        point.setup = Setup(point.setup.ref, msgspec.structs.replace(point.setup.preset, n_ctx=window))
