"""The decode speed before and after a switch of settings or of the model."""

from __future__ import annotations

from collections import deque

from engine.clock import NS_PER_MS, NS_PER_S
from engine.events import AnswerGrew, Event, Notice, SessionOpened, TurnFinished, TurnStarted
from engine.records import TurnRecord

ENOUGH = 32
"""Inter-token gaps after which the speed is reported."""
LEAST = 8
"""Fewer gaps make no speed."""
KEPT = 64
"""The latest gaps are the current speed."""


class Effect:
    """Compares the decode speed before and after the last switch, and reports it once."""

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=KEPT)
        self._last_ns: int | None = None
        self._before: float | None = None
        self._switch = ""
        """The last switch; empty when its effect has been reported."""
        self._reads_again = False

    def switched(self, switch: str, *, reads_again: bool) -> None:
        """Measure the effect of a switch from now on; with `reads_again`, the next turn evaluates the conversation again."""
        self._before = self._speed() or self._before
        self._gaps.clear()
        self._last_ns = None
        self._switch, self._reads_again = switch, reads_again

    def handle(self, event: Event) -> Notice | None:
        """Handle an event of the session; return the notice about the switch as soon as its effect is measured."""
        if isinstance(event, AnswerGrew):
            for at_ns in event.token_ns:
                if self._last_ns is not None:
                    self._gaps.append(at_ns - self._last_ns)
                self._last_ns = at_ns
            if len(self._gaps) >= ENOUGH and not self._reads_again:
                return self._notice(None)
        elif isinstance(event, TurnStarted | SessionOpened):
            self._last_ns = None
        elif isinstance(event, TurnFinished):
            return self._notice(event.turn)
        return None

    def _notice(self, turn: TurnRecord | None) -> Notice | None:
        switch, after = self._switch, self._speed()
        if not switch or after is None:
            return None
        text = f"{after:.1f} tokens/s" + (f", {self._before:.1f} before" if self._before is not None else "")
        if self._reads_again and turn is not None:
            text += f"; evaluated {turn.timings.prompt_n:,} tokens again in {turn.timings.prompt_ms * NS_PER_MS / NS_PER_S:.1f} s"
        self._switch, self._reads_again = "", False
        return Notice("information", f"After the switch to {switch}", text)

    def _speed(self) -> float | None:
        """Tokens per second of the latest gaps."""
        total = sum(self._gaps)
        return len(self._gaps) * NS_PER_S / total if len(self._gaps) >= LEAST and total > 0 else None
