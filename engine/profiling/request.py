"""The request for a capture, and the settings during it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from engine.errors import UsageError
from engine.profiling.records import CaptureMode
from engine.profiling.sampling_cost import affordable_rate

DEFAULT_SECONDS = 10
DEFAULT_RATE = 50
"""Default samples per second, unless that rate would slow the answer down."""
LONGEST_SECONDS = 3600
HIGHEST_RATE = 1000


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """The options of a capture."""

    seconds: int = DEFAULT_SECONDS
    rate: int | None = None
    """Samples per second; None: DEFAULT_RATE, or less where sampling is expensive (see `planned_rate`)."""
    mode: CaptureMode = CaptureMode.PYTHON
    pid: int | None = None
    """Another process to record; None is this one."""

    def __post_init__(self) -> None:
        if not 1 <= self.seconds <= LONGEST_SECONDS:
            raise UsageError(f"A capture of {self.seconds} seconds can't be made", f"A capture has 1 to {LONGEST_SECONDS} seconds.")
        if self.rate is not None and not 1 <= self.rate <= HIGHEST_RATE:
            raise UsageError(f"A rate of {self.rate} can't be recorded", f"The rate is 1 to {HIGHEST_RATE} samples a second.")

    @property
    def own_process(self) -> bool:
        """Whether this process is recorded."""
        return self.pid in {None, os.getpid()}

    def planned_rate(self) -> int:
        """Return the samples per second of this request.

        Unless set, it is bounded in the modes that read all threads without stopping them; the GIL mode needs a tenth of the time, and
        users of the native mode accept its cost.
        """
        if self.rate is not None:
            return self.rate
        dear = self.own_process and self.mode in {CaptureMode.PYTHON, CaptureMode.IDLE}
        return affordable_rate(DEFAULT_RATE) if dear else DEFAULT_RATE


@dataclass(frozen=True, slots=True)
class Setting:
    """The model and preset during a capture, for lists."""

    model: str = ""
    quant: str = ""
    preset: str = ""
