"""Records the CPU use of each thread during a capture, including native compute threads, which py-spy doesn't sample."""

from __future__ import annotations

import threading
from pathlib import Path

from engine.host.threads import ThreadTimes
from engine.profiling.records import ThreadLane

LANE_INTERVAL_S = 0.5
"""Interval between two samples, covered by one figure of a lane."""

MOST_LANES = 64
"""Most threads kept, the busiest ones."""


class LaneRecorder:
    """Collects lanes, one figure per thread and sample."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._times = ThreadTimes(proc)
        self._samples = 0
        self._lanes: dict[int, tuple[str, list[float]]] = {}
        self._python: dict[int | None, str] = {}

    def sample(self, now_ns: int) -> None:
        """Add the figures since the last sample; the first call only begins."""
        self._python |= {thread.native_id: thread.name for thread in threading.enumerate()}
        shares = self._times.read(now_ns)
        if not shares:
            return
        for share in shares:
            _, figures = self._lanes.setdefault(share.tid, (share.name, [0.0] * self._samples))
            figures.append(round(share.running_pct, 1))
        self._samples += 1
        for _, figures in self._lanes.values():
            figures.extend([0.0] * (self._samples - len(figures)))

    def finish(self) -> tuple[ThreadLane, ...]:
        """End the recording and return the lanes, busiest first; threads of Python have their names of the stacks."""
        self._times.close()
        named = self._python
        lanes = [ThreadLane(tid, named.get(tid, name), tid in named, tuple(figures)) for tid, (name, figures) in self._lanes.items()]
        return tuple(sorted(lanes, key=lambda lane: -lane.mean_pct)[:MOST_LANES])
