"""Limits the time of the program's end."""

from __future__ import annotations

import os
import signal
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
            try:
                timer.start()
                self._timer = timer
            except RuntimeError:  # without memory for a thread, the default action of the signal ends the process
                signal.setitimer(signal.ITIMER_REAL, seconds)

    def disarm(self) -> None:
        """Cancel the timer."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._timer is not None:
            self._timer.cancel()
