"""Runs one turn after the other: sends the question to the engine, emits its events as facts, and logs the end.

Backend events are made on the compute thread and hop over to the event loop once per chunk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from engine.backend import (
    BackendEvent,
    GenerateRequest,
    GenerationFinished,
    LoadProgressed,
    PrefillProgressed,
    PromptReady,
    TokensDecoded,
)
from engine.chat.titles import session_title
from engine.clock import now_ns, wall_ms
from engine.errors import UsageError
from engine.events import EngineDied, Event, ModelLoading, Notice, TurnFinished, TurnStarted
from engine.guide import builtin
from engine.guide.respelling import ActionNames
from engine.messages import constraint_of
from engine.session.answer import Turn
from engine.session.conversation import Conversation, Question
from engine.session.instruments import Instruments
from engine.session.journal import Journal
from engine.session.model_slot import ModelSlot


class Turns:
    """Runs the turns of the current conversation. Lives on the event loop's thread, except for `arrive`."""

    def __init__(self, slot: ModelSlot, journal: Journal, instruments: Instruments, emit: Callable[[Event], None]) -> None:
        """Must be called on the running event loop."""
        self.conversation = Conversation()
        self.last_prompt = ""
        self.action_names: Mapping[str, ActionNames] = {}
        """Keys and commands for the answers of the built-in model; empty leaves them as the model learned them."""
        self.slot = slot
        self._journal = journal
        self.instruments = instruments
        self.emit = emit
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[BackendEvent] = deque()
        self._turn: Turn | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._adapted: set[str] = set()
        """Shown notices on adaptations for this model's template; each is shown once."""

    @property
    def answer_id(self) -> int | None:
        """The answer in progress, if any."""
        return self._turn.answer.id if self._turn else None

    @property
    def busy(self) -> bool:
        """Whether a turn is in progress."""
        return self._turn is not None

    def refuse_while_busy(self, hint: str = "Stop it first.") -> None:
        """Raise UsageError when a turn is in progress."""
        if self._turn is not None:
            raise UsageError("An answer is being written", "", hint, "stop")

    async def wait_idle(self) -> None:
        """Return when no turn is in progress."""
        await self._idle.wait()

    def model_changed(self) -> None:
        """Reset what depends on the model or the context."""
        self.conversation.first_kept = 0
        self._adapted.clear()

    def ask(self, question: Callable[[Conversation], Question]) -> int:
        """Send a question to the engine; return the id of the answer. Raises as `Session.send`."""
        self.refuse_while_busy()
        engine = self.slot.ready()
        constraint = constraint_of(self.slot.preset)
        if constraint is not None and not self.slot.capabilities.constraints:
            raise UsageError("This engine can't keep answers in a form", "", "Set json_schema, grammar and regex to none.")
        asked = question(self.conversation)
        answer = self.conversation.begin(asked)
        preset = self.slot.preset
        respelling = builtin.respelling(engine.model.ref, self.action_names)
        turn = self._turn = Turn(answer, engine, preset, self.slot.stream_batch, now_ns(), wall_ms(), respelling)
        self._idle.clear()
        if self._journal.session is None:
            self._journal.begin(session_title(asked.user.text), asked.user.created_ms, self.conversation.tree.messages)
        self._journal.write(lambda store, session_id: store.save_message(session_id, asked.user), asked.user)
        self._journal.write(lambda store, session_id: store.mark_answering(session_id, True))
        self.emit(TurnStarted(asked.user, answer.id, turn.submitted_ns, turn.started_ms))
        self.slot.backend.submit(
            GenerateRequest(
                turn=answer.id,
                prompt=self.conversation.prompt(asked, preset),
                sampling=preset.sampling,
                on_event=self.arrive,
                submitted_ns=turn.submitted_ns,
                max_tokens=preset.max_tokens,
                repeatable=preset.repeatable,
                constraint=constraint,
            )
        )
        return answer.id

    def stop(self) -> None:
        """Stop the current answer and keep its text."""
        if self._turn is not None:
            self.slot.backend.stop(self._turn.answer.id)

    def arrive(self, event: BackendEvent) -> None:
        """Queue an event, and wake the loop once for all queued ones; called on the compute thread."""
        self._arrived.append(event)
        if len(self._arrived) == 1:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the program is ending
                self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        """Handle the queued events. Each stays queued until handled, so that `arrive` does not wake a running loop again."""
        while self._arrived:
            try:
                self._take(self._arrived[0])
            except Exception:
                self._loop.call_soon(self._drain)  # an exception of a listener must not delay the rest of the answer
                raise
            finally:
                self._arrived.popleft()

    def _take(self, event: BackendEvent) -> None:
        turn = self._turn
        if isinstance(event, LoadProgressed):
            self.emit(ModelLoading(event.ref, event.fraction))
            return
        if turn is None or event.turn != turn.answer.id:
            return
        self.instruments.log_moves()
        if isinstance(event, TokensDecoded):
            self.emit(turn.grew(turn.grow(event), event.token_ns))
        elif isinstance(event, PromptReady):
            self._prompt_ready(turn, event)
        elif isinstance(event, PrefillProgressed) and turn.prompt is not None:
            self.emit(turn.evaluated(turn.prompt, event))
        elif isinstance(event, GenerationFinished):
            self._finish(turn, event)

    def _prompt_ready(self, turn: Turn, event: PromptReady) -> None:
        turn.prompt_ready(event)
        self.conversation.first_kept = event.prompt.first_kept
        self.last_prompt = event.prompt.text
        for sentence in event.prompt.notices:
            if sentence not in self._adapted:
                self._adapted.add(sentence)
                self.emit(Notice("warning", sentence))
        self.emit(turn.evaluated(event))

    def _finish(self, turn: Turn, end: GenerationFinished) -> None:
        """End the turn, also when a listener or the rest of the text raises."""
        try:
            late = turn.finish(end.tail)
            if late.answer or late.thinking:
                self.emit(turn.grew(late))
        finally:
            self._turn = None
            self._idle.set()
            self._ended(turn, end)

    def _ended(self, turn: Turn, end: GenerationFinished) -> None:
        answer, record = turn.final(end), turn.record(end, self.instruments.figures(end.taken_share))
        self.conversation.tree.add(answer)
        self._journal.write(lambda store, session_id: store.save_turn(replace(record, session_id=session_id), answer), answer, record)
        self.emit(TurnFinished(answer, record, end.error))
        if self.slot.backend.dead is not None:
            self.emit(EngineDied(self.slot.backend.dead))
