"""The state of the connection to the terminal. Imported before the first frame: keep it small."""

from __future__ import annotations

from dataclasses import dataclass

STALL_S = 0.05
"""A write that has waited this long means that the terminal is behind."""

LATE_S = 0.1
"""An answer this much later than on the empty line means that the line is busy."""
STARVED_S = 0.02
"""The screen's threads wait less than this in a second where nobody competes for the CPUs."""
STARVED_FACTOR = 3.0
"""The terminal, and what stands between, wait up to that many times as long as the screen's threads."""
MOST_EXCUSED_S = 1.0
"""No queue for a CPU explains more lateness."""
MOST_EXCUSED_REMOTE_S = 0.15
"""The same over SSH, where there is a line that may be slow as well: what it has not taken adds up beyond this."""
STARVED_BACKLOG = 3
"""Writes that may wait for a writer thread that waits for a CPU."""


@dataclass(frozen=True, slots=True)
class Link:
    """How the terminal is doing at this moment."""

    backlog: int
    """Writes that wait."""
    stalled_s: float
    """For how long the write under way has been waiting."""
    late_s: float = 0.0
    """By how much the answer under way to a query is later than on an empty line: the terminal has not yet drawn what was sent before."""
    round_trip_s: float | None = None
    """How long its newest answer took; None when it has never answered."""
    blocked_s: float = 0.0
    """How long writes have waited for the terminal in all."""
    starved_s: float = 0.0
    """How long the screen's own threads waited for a CPU during the last second."""
    remote: bool = False
    """The terminal is reached through SSH or mosh."""

    @property
    def excused_s(self) -> float:
        """Lateness that the machine explains: whatever else moves the bytes here waits for a CPU as the screen's threads do."""
        most_s = MOST_EXCUSED_REMOTE_S if self.remote else MOST_EXCUSED_S
        return min(most_s, STARVED_FACTOR * self.starved_s) if self.starved_s > STARVED_S else 0.0

    @property
    def jammed(self) -> bool:
        """Whether anything large sent now would only wait for the line."""
        return self.late_s > LATE_S + self.excused_s or self.stalled_s > STALL_S + self.excused_s

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken what was sent last, and not only because everybody waits for a CPU."""
        return self.jammed or self.backlog > (STARVED_BACKLOG if self.excused_s else 0)
