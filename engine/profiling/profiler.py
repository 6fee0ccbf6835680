"""Starts captures, one at a time."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import CaptureError
from engine.profiling.capture import Capture
from engine.profiling.request import CaptureRequest, Setting
from engine.profiling.tokens import TokenLog


class Profiler:
    """The profiler of one program run. Feed `tokens` with the engine's timestamps, so that captures report the tokens generated."""

    def __init__(self, on_change: Callable[[bool], None] | None = None) -> None:
        """`on_change` is called with True when a capture begins and with False when it has ended."""
        self.tokens = TokenLog()
        self._on_change = on_change
        self._active: Capture | None = None

    @property
    def active(self) -> Capture | None:
        """The capture that runs."""
        return self._active

    def start(self, request: CaptureRequest, setting: Setting | None = None) -> Capture:
        """Begin a capture; needs a running event loop. Raises CaptureError when one runs already."""
        if self._active is not None:
            raise CaptureError(
                "A capture is running", f"It ends in {self._active.remaining_s:.0f} seconds.", "Stop it first, or wait for it."
            )
        capture = Capture(request, tokens=self.tokens, setting=setting)
        self._active = capture
        if self._on_change is not None:
            self._on_change(True)
        capture.on_end(self._ended)
        return capture

    async def close(self) -> None:
        """Cancel the running capture, and wait until its py-spy has ended."""
        if self._active is not None:
            await self._active.cancel()

    def _ended(self) -> None:
        self._active = None
        if self._on_change is not None:
            self._on_change(False)
