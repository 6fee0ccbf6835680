"""The state of the connection to the terminal. Imported before the first frame: keep it small."""

from __future__ import annotations

from dataclasses import dataclass

STALL_S = 0.05
"""Least wait of a write that means that the terminal is behind."""

LATE_S = 0.1
"""Least delay of a reply, compared with an idle link, that means that the link is busy."""
STARVED_S = 0.02
"""Waiting time of the screen's threads per second below which no other program competes for the CPUs."""
STARVED_FACTOR = 3.0
"""Most waiting of the terminal and the programs between, as a multiple of that of the screen's threads."""
MOST_EXCUSED_S = 1.0
"""Most delay that waiting for a CPU explains."""
MOST_EXCUSED_REMOTE_S = 0.15
"""Most delay that waiting for a CPU explains over SSH, where the link may be slow as well."""
STARVED_BACKLOG = 3
"""Most queued writes while the writer thread waits for a CPU."""


@dataclass(frozen=True, slots=True)
class Link:
    """The state of the connection at one moment."""

    backlog: int
    """Queued writes."""
    stalled_s: float
    """Waiting time of the current write."""
    late_s: float = 0.0
    """Delay of the pending reply to a query, compared with an idle link: the terminal has not drawn everything sent before."""
    round_trip_s: float | None = None
    """Time of the newest reply; None when there was none."""
    blocked_s: float = 0.0
    """Total time that writes have waited for the terminal."""
    starved_s: float = 0.0
    """Time that the screen's own threads waited for a CPU during the last second."""
    remote: bool = False
    """The terminal is reached through SSH or mosh."""

    @property
    def excused_s(self) -> float:
        """Delay explained by the busy machine: other programs that move the bytes wait for a CPU as the screen's threads do."""
        most_s = MOST_EXCUSED_REMOTE_S if self.remote else MOST_EXCUSED_S
        return min(most_s, STARVED_FACTOR * self.starved_s) if self.starved_s > STARVED_S else 0.0

    @property
    def jammed(self) -> bool:
        """Whether the link is too busy for large writes."""
        return self.late_s > LATE_S + self.excused_s or self.stalled_s > STALL_S + self.excused_s

    @property
    def behind(self) -> bool:
        """Whether the terminal has not read the last write, for another reason than a busy machine."""
        return self.jammed or self.backlog > (STARVED_BACKLOG if self.excused_s else 0)
