"""How often the screen is painted while an answer streams: as often as the line and the machine allow, and no oftener."""

from __future__ import annotations

from dataclasses import dataclass

LOCAL_S = 0.1
"""Between two flushes on a local terminal."""
REMOTE_S = 0.25
"""Between two flushes over SSH, or when asked to spend few bytes."""
FASTEST_S = 1 / 60
"""Between two flushes when the person asked for small chunks."""
LONGEST_S = 2.0
"""Longest pause while the terminal is behind."""
STALL_S = 0.05
"""A write that has waited this long means that the terminal is behind."""
DUTY = 0.10
"""Largest share of one core that painting text may take."""
LONGEST_REST_S = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """How the terminal is doing at this moment."""

    backlog: int
    """Writes that wait."""
    stalled_s: float
    """For how long the write under way has been waiting."""

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken what was sent last."""
        return self.backlog > 0 or self.stalled_s > STALL_S


class Pacer:
    """Chooses the pause before the next flush."""

    def __init__(self, *, remote: bool) -> None:
        self.usual_s = REMOTE_S if remote else LOCAL_S
        self.floor_s = self.usual_s
        """The pause while all is well; smaller when the person asked for small chunks."""
        self._backoff_s = 0.0

    @property
    def slowed(self) -> bool:
        """Whether the line forces longer pauses than usual."""
        return self._backoff_s > self.floor_s

    def due(self, line: Line) -> bool:
        """Whether to flush now. Otherwise the terminal is behind: look again after `pause`."""
        if line.behind:
            self._backoff_s = min(LONGEST_S, max(self._backoff_s, self.floor_s) * 1.5)
            return False
        self._backoff_s = self._backoff_s * 0.9 if self._backoff_s * 0.9 > self.floor_s else 0.0
        return True

    def pause(self, cost_s: float = 0.0) -> float:
        """Seconds until the next flush, after one that cost `cost_s` of processor time."""
        return max(self.floor_s, self._backoff_s, min(LONGEST_REST_S, cost_s / DUTY))
