"""The request for a capture, and the settings while it ran."""

from __future__ import annotations

import os
from dataclasses import dataclass

from engine.errors import UsageError
from engine.profiling.records import CaptureMode
from engine.profiling.sampling_cost import affordable_rate

DEFAULT_SECONDS = 10
DEFAULT_RATE = 50
"""Samples per second, unless that rate would slow the answer down."""
LONGEST_SECONDS = 3600
HIGHEST_RATE = 1000


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """The options of a capture."""

    seconds: int = DEFAULT_SECONDS
    rate: int | None = None
    """Samples per second; None is DEFAULT_RATE, or less where sampling is expensive (see `planned_rate`)."""
    mode: CaptureMode = CaptureMode.PYTHON
    pid: int | None = None
    """Another process to record; None is this one."""

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= LONGEST_SECONDS:
            raise UsageError(f"A capture of {self.seconds} seconds can't be made", f"It takes 1 to {LONGEST_SECONDS} seconds.")
        if self.rate is not None and not 1 <= self.rate <= HIGHEST_RATE:
            raise UsageError(f"A rate of {self.rate} can't be recorded", f"It takes 1 to {HIGHEST_RATE} samples a second.")

    @property
    def own_process(self) -> bool:
        """Whether this process is recorded."""
        return self.pid in {None, os.getpid()}

    def planned_rate(self) -> int:
        """Samples per second that this request means now.

        Unless it was chosen, it is bounded in the modes that read all threads while they run; the one that holds the GIL is read in a tenth
        of the time, and the mode with native frames is for those who accept its price.
        """
        if self.rate is not None:
            return self.rate
        dear = self.own_process and self.mode in {CaptureMode.PYTHON, CaptureMode.IDLE}
        return affordable_rate(DEFAULT_RATE) if dear else DEFAULT_RATE


@dataclass(frozen=True, slots=True)
class Setting:
    """The model and preset while a capture ran, as lists show them."""

    model: str = ""
    quant: str = ""
    preset: str = ""
