"""What a switch of settings or of the model did to the decode speed, and what evaluating the conversation again took."""

from __future__ import annotations

from engine.clock import NS_PER_MS, NS_PER_S
from engine.events import AnswerGrew, Event, Notice, SessionOpened, TurnFinished, TurnStarted
from engine.metrics.before_after import BeforeAfter
from engine.records import TurnRecord


class Effect:
    """Compares the speed before and after the last switch, and reports it once."""

    def __init__(self) -> None:
        self._speed = BeforeAfter()
        self._what = ""
        self._reads_again = False

    def switched(self, what: str, *, reads_again: bool) -> None:
        """A switch has happened; with `reads_again`, the next turn evaluates the conversation anew."""
        self._speed.switched()
        self._what, self._reads_again = what, reads_again

    def handle(self, event: Event) -> Notice | None:
        """Handle an event of the session; return the notice about the switch as soon as its effect is measured."""
        if isinstance(event, AnswerGrew):
            self._speed.tokens(event.token_ns)
            if self._speed.ready and not self._reads_again:
                return self._told(None)
        elif isinstance(event, TurnStarted | SessionOpened):
            self._speed.began()
        elif isinstance(event, TurnFinished) and self._speed.pending:
            return self._told(event.turn)
        return None

    def _told(self, turn: TurnRecord | None) -> Notice | None:
        speeds = self._speed.take()
        if speeds is None:
            return None
        after, before = speeds
        text = f"{after:.1f} tokens/s" + (f", {before:.1f} before" if before is not None else "")
        if self._reads_again and turn is not None:
            text += f"; evaluated {turn.timings.prompt_n:,} tokens again in {turn.timings.prompt_ms * NS_PER_MS / NS_PER_S:.1f} s"
        self._reads_again = False
        return Notice("information", f"After the switch to {self._what}", text)
