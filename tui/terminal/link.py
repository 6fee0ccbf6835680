"""How often the screen is painted while an answer streams: as often as the line and the machine allow, and no oftener."""

from __future__ import annotations

from engine.metrics.link import Link
from engine.metrics.pacing import UI_SHARE

LOCAL_S = 0.1
"""Between two flushes on a local terminal."""
REMOTE_S = 0.25
"""Between two flushes over SSH, or when asked to spend few bytes."""
FASTEST_S = 1 / 60
"""Between two flushes when the person asked for small chunks."""
LONGEST_S = 2.0
"""Longest pause while the terminal is behind."""
EASING = 0.8
"""Each pause is this share of the one before once the line keeps up."""
LOOK_AGAIN_S = 0.1
"""Between two looks whether the terminal is still behind."""
SMALL = 400
"""Characters of a frame that is sent into a jammed line all the same: the echo of a key."""
CATCH_UP_S = 0.1
"""Between two looks whether a jammed line can take a large frame."""
ASKED_SHARE = 0.10
"""Largest share of one core that painting text may take when the person asked for small chunks; otherwise it is `UI_SHARE`."""
LONGEST_REST_S = 0.25
"""Longest pause for the sake of the processor."""


class Pacer:
    """Chooses the pause before the next flush."""

    def __init__(self, *, remote: bool) -> None:
        self.usual_s = REMOTE_S if remote else LOCAL_S
        self.floor_s = self.usual_s
        """The pause while all is well; smaller when the person asked for small chunks."""
        self.share = UI_SHARE
        """Of one core, for painting text."""
        self._backoff_s = 0.0
        self._behind_s: float | None = None
        """When the line was first seen to be behind with the last flush."""
        self._waited = False

    @property
    def slowed(self) -> bool:
        """Whether the line forces longer pauses than usual."""
        return self._behind_s is not None or self._backoff_s > self.floor_s

    @property
    def held_up(self) -> bool:
        """Whether the last flush had to wait for the line, or the next one has to."""
        return self._behind_s is not None or self._waited

    def set_remote(self, *, remote: bool) -> None:
        """Take the pace of a remote line, or of a local one."""
        at_usual = self.floor_s == self.usual_s
        self.usual_s = REMOTE_S if remote else LOCAL_S
        self.floor_s = self.usual_s if at_usual else self.floor_s

    def due(self, line: Link, now_s: float) -> bool:
        """Whether to flush at `now_s` (any monotonic clock). Otherwise the terminal is behind: look again after `LOOK_AGAIN_S`.

        The next pause is as long as the line needed for the last flush, and then a little shorter each time.
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
        """Seconds until the next flush, after one that cost `cost_s` of processor time."""
        return max(self.floor_s, self._backoff_s, min(LONGEST_REST_S, cost_s / self.share))


SLOW_AFTER_S = 3.0
"""A line that has been behind for so long is a slow line."""
WELL_AFTER_S = 7.0
"""A line that has kept up for so long is well again."""


class LinkWatch:
    """Notices that a line is slow, and that it is well again; not at every wobble."""

    def __init__(self, *, slow: bool) -> None:
        self.slow = slow
        self._since_s: float | None = None

    def sample(self, *, slowed: bool | None, now_s: float) -> bool:
        """Take what the pacer sees at `now_s` (any monotonic clock); returns whether `slow` has changed.

        None stands for a time in which nothing is painted, so that nothing can be learnt about the line.
        """
        if slowed is None or slowed == self.slow:
            self._since_s = None
            return False
        self._since_s = now_s if self._since_s is None else self._since_s
        if now_s - self._since_s < (SLOW_AFTER_S if slowed else WELL_AFTER_S):
            return False
        self.slow, self._since_s = slowed, None
        return True
