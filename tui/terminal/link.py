"""Chooses the interval of painting a streaming answer, as short as the connection and the machine allow."""

from __future__ import annotations

from engine.metrics.link import Link
from engine.metrics.pacing import UI_SHARE

LOCAL_S = 0.1
"""Interval of flushes on a local terminal."""
REMOTE_S = 0.25
"""Interval of flushes over SSH, or with `--low-bandwidth`."""
FASTEST_S = 1 / 60
"""Interval of flushes when the user set a fixed stream_batch."""
LONGEST_S = 2.0
"""Longest pause while the terminal is behind."""
EASING = 0.8
"""Factor between successive pauses once the connection keeps up."""
CHECK_AGAIN_S = 0.1
"""Interval of checks whether the terminal is still behind."""
SMALL = 400
"""Characters of a frame that is sent even over a jammed connection: the echo of a key."""
CATCH_UP_S = 0.1
"""Interval of checks whether a jammed connection has recovered."""
CONVERTED_ROWS = 3
"""Rows of the screen converted to another colour depth at a time."""
ASKED_SHARE = 0.10
"""Largest share of one core for painting text with a fixed stream_batch; otherwise `UI_SHARE`."""
LONGEST_REST_S = 0.25
"""Longest pause that limits CPU use."""


class Pacer:
    """Chooses the pause before the next flush."""

    def __init__(self, *, remote: bool) -> None:
        self.usual_s = REMOTE_S if remote else LOCAL_S
        self.floor_s = self.usual_s
        """Shortest pause; smaller with a fixed stream_batch."""
        self.share = UI_SHARE
        """Share of one core for painting text."""
        self._backoff_s = 0.0
        self._behind_s: float | None = None
        """Time when the connection was first found behind with the last flush."""
        self._waited = False

    @property
    def slowed(self) -> bool:
        """Whether the connection forces longer pauses than usual."""
        return self._behind_s is not None or self._backoff_s > self.floor_s

    @property
    def held_up(self) -> bool:
        """Whether the last or the next flush had to wait for the connection."""
        return self._behind_s is not None or self._waited

    def set_remote(self, *, remote: bool) -> None:
        """Set the intervals for a remote or a local connection."""
        at_usual = self.floor_s == self.usual_s
        self.usual_s = REMOTE_S if remote else LOCAL_S
        self.floor_s = self.usual_s if at_usual else self.floor_s

    def due(self, line: Link, now_s: float) -> bool:
        """Return whether to flush at `now_s` (any monotonic clock). Otherwise the terminal is behind; check again after `CHECK_AGAIN_S`.

        The next pause is as long as the connection needed for the last flush, then shorter by `EASING` each time.
        """
        if line.behind:
            self._behind_s = now_s if self._behind_s is None else self._behind_s
            return False
        if self._behind_s is not None:
            self._backoff_s = min(LONGEST_S, self.pause() + now_s - self._behind_s)
            self._behind_s, self._waited = None, True
        else:
            self._backoff_s = self._backoff_s * EASING if self._backoff_s * EASING > self.floor_s else 0.0
            self._waited = False
        return True

    def pause(self, cost_s: float = 0.0) -> float:
        """Return the seconds until the next flush, after one that cost `cost_s` of CPU time."""
        return max(self.floor_s, self._backoff_s, min(LONGEST_REST_S, cost_s / self.share))


SLOW_AFTER_S = 3.0
"""Time behind after which a connection counts as slow."""
WELL_AFTER_S = 7.0
"""Time without delay after which a connection counts as recovered."""


class LinkWatch:
    """Detects that a connection becomes slow or recovers, ignoring short changes."""

    def __init__(self, *, slow: bool) -> None:
        self.slow = slow
        self._since_s: float | None = None

    def sample(self, *, slowed: bool | None, now_s: float) -> bool:
        """Add the pacer's state at `now_s` (any monotonic clock); returns whether `slow` has changed.

        None means that nothing was painted, so the state is unknown.
        """
        if slowed is None or slowed == self.slow:
            self._since_s = None
            return False
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s < (SLOW_AFTER_S if slowed else WELL_AFTER_S):
            return False
        self.slow, self._since_s = slowed, None
        return True
