"""Measures the time until the terminal has drawn sent output, by queries to the terminal.

A connection has buffers, in the SSH server, the kernel and every router, for seconds of output, so non-blocking writes show little. A
terminal replies to a query after it has drawn everything before it, so the reply shows that the buffers are empty.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

QUERY = "\x1b[c"
"""Primary device attributes: a query that every terminal answers, with a reply that can't be mistaken for a key."""

_ANSWER = re.compile(r"\x1b\[\?[0-9;]*c")
_TORN = re.compile(r"\x1b(\[(\?[0-9;]{0,32})?)?$")

ASK_EVERY_S = 0.25
PATIENCE_S = 5.0
"""Time after which a reply counts as lost; a terminal that never replied is not queried again."""
LATE_S = 60.0
"""Time after a query in which its reply may still arrive."""
HOLD_S = 0.1
"""Time to hold back the possible start of a reply, such as a lone Esc."""
FORGETTING = 0.02
"""Weight of slower replies in the best time, since connections change."""


class RoundTrip:
    """Sends queries and times the replies. Queried on the event loop; replies arrive on the input thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.newest_s: float | None = None
        """Time of the newest reply, in seconds."""
        self._best_s: float | None = None
        self._asked_s: float | None = None
        self._asked_last_s = -ASK_EVERY_S
        self._mute = False
        self._owed_until_s = float("-inf")
        """Time until which a lost reply may still arrive."""
        self._held = ""
        self._held_s = 0.0
        self._answer_came = threading.Event()

    def ask(self) -> str:
        """Return the query to send after a frame; empty while a reply is pending or soon after the last query."""
        now = self._clock()
        if self._asked_s is not None and now - self._asked_s > PATIENCE_S:
            self._owed_until_s = self._asked_s + LATE_S
            self._asked_s, self._mute = None, self.newest_s is None
        if self._mute or self._asked_s is not None or now - self._asked_last_s < ASK_EVERY_S:
            return ""
        self._asked_s = self._asked_last_s = now
        self._answer_came.clear()
        return QUERY

    @property
    def waiting_s(self) -> float:
        """Time since the pending query; 0 without one."""
        asked = self._asked_s
        return 0.0 if asked is None else self._clock() - asked

    @property
    def late_s(self) -> float:
        """Delay of the pending reply over the best time; 0 without one, or once it counts as lost."""
        late = 0.0 if self._best_s is None else self.waiting_s - self._best_s
        return late if 0.0 < late < PATIENCE_S else 0.0

    @property
    def newest_late_s(self) -> float:
        """Delay of the newest reply over the best time."""
        return 0.0 if self.newest_s is None or self._best_s is None else max(0.0, self.newest_s - self._best_s)

    def await_answer(self, longest_s: float) -> None:
        """Wait for the pending reply, so that the next program does not read it. Not on the input thread."""
        if self._asked_s is not None:
            self._answer_came.wait(longest_s)

    def without_answers(self, text: str) -> str:
        """Remove replies from input, late or split ones too; a possible start of one is held back until `tick`."""
        text, self._held = self._held + text, ""
        rest, answers = _ANSWER.subn("", text)
        if answers:
            self._answered()
        torn = _TORN.search(rest)
        expected = self._asked_s is not None or self._clock() < self._owed_until_s
        if torn is not None and (expected or torn.group(2)):
            self._held, rest = torn.group(), rest[: torn.start()]
            self._held_s = self._clock()
        return rest

    def tick(self) -> str:
        """Return input that was held back too long to be a reply."""
        if not self._held or self._clock() - self._held_s < HOLD_S:
            return ""
        held, self._held = self._held, ""
        return held

    @property
    def holding(self) -> bool:
        """Return whether input is held back."""
        return bool(self._held)

    def _answered(self) -> None:
        self._mute = False
        self._owed_until_s = float("-inf")
        if self._asked_s is None:
            return
        self._answer_came.set()
        took = self._clock() - self._asked_s
        self._asked_s, self.newest_s = None, took
        best = self._best_s
        self._best_s = took if best is None or took < best else best + FORGETTING * (took - best)
