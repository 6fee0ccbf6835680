"""The last resort at the end of the program."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass


@dataclass
class Watchdog:
    """Ends the process when its orderly end takes too long: a terminal that takes nothing, a thread that hangs."""

    _timer: threading.Timer | None = None

    def arm(self, seconds: float, code: int) -> None:
        """End the process with `code` after so many seconds; the shortest time asked for counts."""
        timer = threading.Timer(seconds, os._exit, (code,))
        timer.daemon = True
        if self._timer is None or seconds < self._timer.interval:
            self.rest()
            self._timer = timer
            timer.start()

    def rest(self) -> None:
        """The end came in time."""
        if self._timer is not None:
            self._timer.cancel()
