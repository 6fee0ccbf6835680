"""Adds snapshots to the histories of the figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.clock import NS_PER_S
from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure
from engine.metrics.history import Trace, Track, Window
from engine.metrics.snapshot import Snapshot

LONGEST_PAUSE_NS = 10 * NS_PER_S
"""A longer pause between two samples is a gap."""


class Tracks:
    """The histories of a program run."""

    def __init__(self, figures: Iterable[Figure] = FIGURES) -> None:
        self._tracks = [(figure, history, Track(fold=figure.fold)) for figure in figures if (history := figure.history)]
        self._before_ns: int | None = None

    def push(self, now: Snapshot, since_start_ns: int) -> None:
        """Add a snapshot."""
        passed_ns = 0 if self._before_ns is None else since_start_ns - self._before_ns
        self._before_ns = since_start_ns
        covers_s = passed_ns / NS_PER_S if 0 < passed_ns <= LONGEST_PAUSE_NS else 0.0
        for figure, history, track in self._tracks:
            track.push(since_start_ns, figure.kept(now), covers_s=min(covers_s, 1.0) if history.flowing else covers_s)

    def freeze(self) -> Mapping[Window, Mapping[str, Trace]]:
        """Return all histories in every window, frozen."""
        return {window: {figure.id: track.trace(window) for figure, _, track in self._tracks} for window in Window}
