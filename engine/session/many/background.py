"""Conversations whose answers continue while another one is on the screen, which has priority."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engine.backend import Priority
from engine.clock import NS_PER_S, now_ns
from engine.errors import UsageError
from engine.events import BackgroundChanged, Event, TurnFinished
from engine.session.instruments import Instruments
from engine.session.journal import Journal
from engine.session.logged import LoggedSession
from engine.session.turns import Turns, UnderWay

RATE_TOKENS = 16
"""Number of the latest tokens that the speed is computed from."""
PAUSED_NS = 2 * NS_PER_S
"""An answer without a token for this long, and for four of its own gaps, is paused."""


@dataclass(frozen=True, slots=True)
class Running:
    """The answer of a conversation in the background."""

    session_id: int | None
    """None until the conversation is in the database."""
    state: str
    """`waiting`, `reading the prompt`, `answering` or `paused`."""
    tokens: int
    per_second: float | None
    """Speed of the latest tokens; None while there are none."""


class Background:
    """Tracks the conversations in the background. For the event loop's thread."""

    def __init__(self, turns: Turns, journal: Journal, instruments: Instruments, emit: Callable[[Event], None]) -> None:
        self._turns = turns
        self._journal = journal
        self._instruments = instruments
        self._emit = emit

    @property
    def _others(self) -> tuple[UnderWay, ...]:
        return tuple(one for one in self._turns.under_way if one.conversation is not self._turns.conversation)

    @property
    def running(self) -> tuple[Running, ...]:
        """The answers that continue in the background."""
        return tuple(map(_running, self._others))

    def leave(self) -> None:
        """Move the answer of the current conversation to the background; another conversation is current next.

        Raises UsageError when the answer would not be saved, or several answers are being compared.
        """
        if not self._turns.busy:
            return
        current = self._turns.current
        if self._turns.held:
            raise UsageError("Answers are being compared", "", "Stop them first.", "stop")
        if not self._journal.on:
            raise UsageError(
                "An answer is being written", "It can't continue in the background, since it is not logged", "Stop it.", "stop"
            )
        for one in current:
            one.emit = partial(self._left, one)
            self._turns.slot.backend.reclass(one.id, Priority.BATCH)

    def find(self, session_id: int) -> UnderWay | None:
        """Return the answer of this conversation, if it continues in the background."""
        return next((one for one in self._others if one.logged.id == session_id), None)

    def came_back(self) -> None:
        """Report the answer of the current conversation from its beginning, and continue it in the foreground."""
        for one in self._turns.current:
            self._turns.slot.backend.reclass(one.id, Priority.INTERACTIVE)
            one.emit = self._emit
            self._emit(one.started())
            if one.turn.prompt is not None:
                self._turns.last_prompt = one.turn.prompt.prompt.text
                self._emit(one.turn.evaluated(one.turn.prompt))
            if one.turn.token_ns:
                self._emit(one.turn.so_far())
        self.report()

    def report(self) -> None:
        """Report the number of answers in the background."""
        self._emit(BackgroundChanged(len(self._others)))

    async def end(self, session_id: int) -> None:
        """Stop the answer of a conversation, and return when it has ended."""
        one = self.find(session_id)
        if one is not None:
            self._turns.slot.backend.stop(one.id)
            await one.done.wait()

    @property
    def sessions(self) -> tuple[LoggedSession, ...]:
        """The conversations whose answers continue in the background."""
        return tuple(one.logged for one in self._others)

    def _left(self, one: UnderWay, event: Event) -> None:
        self._instruments.wake()
        if isinstance(event, TurnFinished):
            self._emit(BackgroundChanged(len(self._others), one.logged.title, event.turn, event.error))


def _running(one: UnderWay) -> Running:
    stamps = one.turn.token_ns
    recent = stamps[-RATE_TOKENS:]
    span = recent[-1] - recent[0] if len(recent) > 1 else 0
    gap = span / (len(recent) - 1) if span else 0.0
    if not stamps:
        state = "waiting" if one.turn.prompt is None else "reading the prompt"
    else:
        state = "paused" if now_ns() - stamps[-1] > max(PAUSED_NS, 4 * gap) else "answering"
    speed = (len(recent) - 1) * NS_PER_S / span if span and state == "answering" else None
    return Running(one.logged.id, state, len(stamps), speed)
