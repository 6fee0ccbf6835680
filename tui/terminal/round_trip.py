"""How long the terminal takes to draw what was sent, asked of the terminal itself.

A line has buffers, in the SSH server, the kernel and every router, that take seconds of output without a word, so that writes which
do not block say little. A terminal answers a query in its turn, after it has drawn everything before it: the answer says that the
line is empty again.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

QUERY = "\x1b[c"
"""Primary device attributes: the query that every terminal answers, and whose answer can't be taken for a key."""

_ANSWER = re.compile(r"\x1b\[\?[0-9;]*c")
_TORN = re.compile(r"\x1b(\[(\?[0-9;]{0,32})?)?$")

ASK_EVERY_S = 0.25
PATIENCE_S = 5.0
"""An answer that has not come by then was lost; a terminal that has never answered is not asked again."""
LATE_S = 60.0
"""So long after a question its answer may still come, given up or not."""
HOLD_S = 0.1
"""So long the beginning of what may become an answer is kept back; a lone Esc among it."""
FORGETTING = 0.02
"""Share of each slower answer that moves the best one, since lines change."""


class RoundTrip:
    """Asks, hears, and says how the line is doing. Asked on the event loop; hears on the input thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.newest_s: float | None = None
        """From the newest question answered to its answer."""
        self._best_s: float | None = None
        self._asked_s: float | None = None
        self._asked_last_s = -ASK_EVERY_S
        self._mute = False
        self._owed_until_s = float("-inf")
        """Until when an answer that was given up may still come."""
        self._held = ""
        self._held_s = 0.0
        self._answer_came = threading.Event()

    def ask(self) -> str:
        """What to send after a frame; empty while an answer is under way, or too soon after the last."""
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
        """For how long an answer has been under way; 0 when none is."""
        asked = self._asked_s
        return 0.0 if asked is None else self._clock() - asked

    @property
    def late_s(self) -> float:
        """By how much the answer under way is later than on the empty line; 0 when none is, or once it is given up."""
        late = 0.0 if self._best_s is None else self.waiting_s - self._best_s
        return late if 0.0 < late < PATIENCE_S else 0.0

    @property
    def newest_late_s(self) -> float:
        """By how much the newest answer was later than on the empty line."""
        return 0.0 if self.newest_s is None or self._best_s is None else max(0.0, self.newest_s - self._best_s)

    def await_answer(self, longest_s: float) -> None:
        """Wait for the answer under way, so that it is not typed into what reads the terminal next. Not on the input thread."""
        if self._asked_s is not None:
            self._answer_came.wait(longest_s)

    def without_answers(self, text: str) -> str:
        """Input with the answers taken out, however late or torn they come; what may become one is kept back until `tick`."""
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
        """What was kept back for too long to be an answer."""
        if not self._held or self._clock() - self._held_s < HOLD_S:
            return ""
        held, self._held = self._held, ""
        return held

    @property
    def holding(self) -> bool:
        """Whether something is kept back."""
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
