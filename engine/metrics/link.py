"""How the terminal keeps up, as the screen sees it. Imported before the first frame: nothing else belongs here."""

from __future__ import annotations

from dataclasses import dataclass

STALL_S = 0.05
"""A write that has waited this long means that the terminal is behind."""


@dataclass(frozen=True, slots=True)
class Link:
    """How the terminal is doing at this moment."""

    backlog: int
    """Writes that wait."""
    stalled_s: float
    """For how long the write under way has been waiting."""
    busy: bool = False
    """The terminal has not yet drawn what was sent before: its answer to a query is late."""
    round_trip_s: float | None = None
    """How long its newest answer took; None when it has never answered."""
    blocked_s: float = 0.0
    """How long writes have waited for the terminal in all."""

    @property
    def jammed(self) -> bool:
        """Whether anything large sent now would only wait."""
        return self.busy or self.stalled_s > STALL_S

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken what was sent last."""
        return self.jammed or self.backlog > 0
