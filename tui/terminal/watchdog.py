"""A time limit for the end of the program."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass


@dataclass
class Watchdog:
    """Ends the process when an orderly exit takes too long: a blocked terminal, a hung thread."""

    _timer: threading.Timer | None = None

    def arm(self, seconds: float, code: int) -> None:
        """End the process with `code` after `seconds`; of several calls, the shortest time counts."""
        timer = threading.Timer(seconds, os._exit, (code,))
        timer.daemon = True
        if self._timer is None or seconds < self._timer.interval:
            self.disarm()
            self._timer = timer
            timer.start()

    def disarm(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
