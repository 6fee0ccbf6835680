"""Pacing by the connection to the terminal: fewer bytes and longer pauses while it is slow."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.timer import Timer

from engine.metrics.link import Link
from tui.chat.context import ChatContext
from tui.terminal.link import LinkWatch, Pacer

CHECK_EVERY_S = 1.0
"""Interval of the checks whether a slow connection has recovered."""

REMOTE_JUMP = 8
"""Lines that the conversation scrolls at once over a remote connection, where each step repaints everything."""


class PacingController:
    """Adapts the pace of painting to the connection."""

    def __init__(self, context: ChatContext, *, remote: bool, low_bandwidth: bool, slow_changed: Callable[[bool], None]) -> None:
        """`slow_changed` is called when the connection turns slow (True) or recovers."""
        self._context = context
        self._remote = remote
        self._low_bandwidth = low_bandwidth
        self._slow_changed = slow_changed
        self._watch = LinkWatch(slow=low_bandwidth)
        self._starved = LinkWatch(slow=False)
        self._timer: Timer | None = None
        self.pacer = Pacer(remote=remote)
        context.transcript.jump = REMOTE_JUMP if remote else 1

    @property
    def slow(self) -> bool:
        """Whether the connection counts as slow."""
        return self._watch.slow

    def terminal_figures(self) -> tuple[int, bool, Link]:
        """Bytes sent so far, whether the connection forces pauses on an answer, and its state."""
        program, session = self._context.program, self._context.session
        slowed = self.pacer.slowed and session is not None and session.busy
        return program.bytes_written(), slowed, program.link()

    def check_link(self, now_s: float) -> None:
        """Send fewer bytes while the connection is slow, unless `--low-bandwidth` is set. `now_s`: any monotonic clock."""
        context, session = self._context, self._context.session
        slowed: bool | None
        if session is not None and session.busy:
            slowed = self.pacer.held_up if self._watch.slow else self.pacer.slowed
        else:
            # While nothing is painted, only a probe can measure the connection.
            slowed = context.program.probe_line() if self._watch.slow and not self._low_bandwidth else None
        self._show_starved(now_s)
        if self._low_bandwidth or not self._watch.sample(slowed=slowed, now_s=now_s):
            return
        slow = self._watch.slow
        context.program.limit_colours(slow)
        if slow:
            self._timer = context.screen.set_interval(CHECK_EVERY_S, lambda: self.check_link(time.monotonic()))
        elif self._timer is not None:
            self._timer.stop()
        remote = slow or self._remote
        self.pacer.set_remote(remote=remote)
        context.transcript.jump = REMOTE_JUMP if remote else 1
        self._slow_changed(slow)
        context.set_status(slow_line=slow)
        if slow:
            context.notify(
                "The connection is slow",
                "Text is sent first; charts repaint less often, with fewer colours.",
                "Start with --low-bandwidth, or use ssh -C.",
            )
        else:
            context.notify("Connection recovered", "Full repaint rate restored.")

    def _show_starved(self, now_s: float) -> None:
        """Show when the machine is slow; sending less would not help then."""
        session = self._context.session
        starved = self._context.program.link().excused_s > 0 and session is not None and session.busy
        if self._starved.sample(slowed=starved, now_s=now_s):
            self._context.set_status(busy_machine=self._starved.slow)
