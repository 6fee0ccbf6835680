"""Measures the effect of a switch of settings or model on the decode speed, and the cost of prefilling again."""

from __future__ import annotations

from collections import deque

from engine.clock import NS_PER_MS, NS_PER_S
from engine.events import AnswerGrew, Event, Notice, SessionOpened, TurnFinished, TurnStarted
from engine.records import TurnRecord

ENOUGH = 32
"""Inter-token gaps after which the speed is reported."""
LEAST = 8
"""Fewest gaps for a speed."""
KEPT = 64
"""Latest gaps that make the current speed."""


class Effect:
    """Compares the decode speed before and after the last switch, and reports it once.

    After a switch between two answers these are the speeds of the answers; within an answer, of its last tokens on both sides.
    """

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=KEPT)
        """Gaps of the current answer, since the last switch within it."""
        self._last_ns: int | None = None
        self._last_answer: float | None = None
        """Decode speed of the last answer."""
        self._before: float | None = None
        self._switch = ""
        """The last switch; empty when its effect has been reported."""
        self._answering = False
        self._within = False
        """Whether it happened within the current answer."""
        self._reads_again = False

    def switched(self, switch: str, *, reads_again: bool) -> None:
        """Measure the effect of a switch from now on; with `reads_again`, the next turn evaluates the conversation again."""
        if self._answering:
            self._before = self._speed()
        elif not self._switch:
            self._before = self._last_answer
        self._gaps.clear()
        self._last_ns = None
        self._switch, self._within, self._reads_again = switch, self._answering, reads_again

    def handle(self, event: Event) -> Notice | None:
        """Handle an event of the session; return the notice about the switch as soon as its effect is measured."""
        if isinstance(event, AnswerGrew):
            for at_ns in event.token_ns:
                if self._last_ns is not None:
                    self._gaps.append(at_ns - self._last_ns)
                self._last_ns = at_ns
            return self._within_answer() if len(self._gaps) >= ENOUGH else None
        if isinstance(event, TurnStarted | SessionOpened):
            self._gaps.clear()
            self._last_ns = None
            self._answering = isinstance(event, TurnStarted)
        elif isinstance(event, TurnFinished):
            self._answering = False
            speed = event.turn.timings.predicted_per_second if event.turn.timings.predicted_n > 1 else None
            notice = self._within_answer() or self._of_answer(event.turn, speed)
            self._last_answer = speed or self._last_answer
            return notice
        return None

    def _within_answer(self) -> Notice | None:
        after = self._speed()
        if not self._switch or not self._within or after is None:
            return None
        return self._notice(f"{after:.1f} tokens/s since then", f"{self._before:.1f} in the same answer before" if self._before else "")

    def _of_answer(self, turn: TurnRecord, speed: float | None) -> Notice | None:
        if not self._switch or self._within or speed is None:
            return None
        again = f"; evaluated {turn.timings.prompt_n:,} tokens again in {turn.timings.prompt_ms * NS_PER_MS / NS_PER_S:.1f} s"
        before = f"{self._before:.1f} in the last answer before" if self._before else ""
        return self._notice(f"{speed:.1f} tokens/s", before, again if self._reads_again else "")

    def _notice(self, after: str, before: str, again: str = "") -> Notice:
        switch, self._switch, self._reads_again = self._switch, "", False
        return Notice("information", f"After the switch to {switch}", ", ".join(filter(None, (after, before))) + again)

    def _speed(self) -> float | None:
        """Tokens per second of the latest gaps."""
        total = sum(self._gaps)
        return len(self._gaps) * NS_PER_S / total if len(self._gaps) >= LEAST and total > 0 else None
