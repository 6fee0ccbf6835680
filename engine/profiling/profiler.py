"""Where captures start: one at a time, and remembered long enough to say which turns they disturbed."""

from __future__ import annotations

from collections.abc import Callable

from engine.clock import now_ns
from engine.errors import CaptureError
from engine.profiling.capture import Capture
from engine.profiling.request import CaptureRequest, Setting
from engine.profiling.tokens import TokenLog

NOISE = "capture"
"""What `TurnRecord.noisy` says of a turn during which a capture ran."""


class Profiler:
    """The profiler of one program run.

    Attributes:
        tokens: To be fed with the engine's timestamps, so that captures know what was generated meanwhile.
    """

    def __init__(self, on_change: Callable[[bool], None] | None = None) -> None:
        """`on_change` is called with True when a capture begins and with False when it has ended, whatever the end."""
        self.tokens = TokenLog()
        self._on_change = on_change
        self._active: Capture | None = None
        self._ended_ns: int | None = None

    @property
    def active(self) -> Capture | None:
        """The capture that runs."""
        return self._active

    def start(self, request: CaptureRequest, setting: Setting | None = None) -> Capture:
        """Begin a capture; needs a running event loop.

        Raises:
            CaptureError: One runs already.
        """
        if self._active is not None:
            raise CaptureError(
                "A capture is running", f"It has {self._active.remaining_s:.0f} seconds to go.", "End it first, or wait for it."
            )
        capture = Capture(request, tokens=self.tokens, setting=setting)
        self._active = capture
        if self._on_change is not None:
            self._on_change(True)
        capture.on_end(self._ended)
        return capture

    def noise_since(self, started_ns: int) -> str | None:
        """Why figures measured from `started_ns` until now are not to be compared, None when no capture touched them."""
        if self._active is not None or (self._ended_ns is not None and self._ended_ns >= started_ns):
            return NOISE
        return None

    async def close(self) -> None:
        """Cancel what runs; afterwards no py-spy of this program is left."""
        if self._active is not None:
            await self._active.cancel()

    def _ended(self) -> None:
        self._active = None
        self._ended_ns = now_ns()
        if self._on_change is not None:
            self._on_change(False)
